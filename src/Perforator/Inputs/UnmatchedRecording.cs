using System.Globalization;
using Perforator.Branches;

namespace Perforator.Inputs;

/// <summary>
/// Says of a recording without branches in a binary of interest what it does have, so that the user can name the right file.
/// </summary>
/// <param name="name">What messages call the recording.</param>
/// <param name="others">The binaries that it does have.</param>
/// <param name="losses">What was dropped of it.</param>
/// <param name="binaries">The binaries of interest.</param>
internal sealed class UnmatchedRecording(string name, IReadOnlyCollection<OtherBinary> others, LossCounts losses, RecordedBinaries binaries)
{
    /// <summary>The most executables listed; they are the busiest.</summary>
    private const int MaxListed = 8;

    /// <summary>What happened and what to do next, in a line.</summary>
    public string Message
    {
        get
        {
            foreach (Module module in binaries.Named)
                if (others.FirstOrDefault(other => !other.BuildId.IsEmpty && module.HasName(other.Path)) is { } other)
                    return module.HasOwnBuildId
                        ? $"{name} is of another build of {module.Path}: {other.BuildId} was recorded, the file has {module.BuildId}; name the binary that ran"
                        : $"{name} has {other.Path} with build id {other.BuildId}, and {module.Path} has none, so that it cannot be told whether it is the build that ran: give the file that has it, or say --recorded-as {other.Path}";
            string wanted =
                binaries.Named.Count == 0
                    ? "any binary found here" : string.Join(" or ", binaries.Named.Select(static module => module.Path));
            return $"{name} has no branches in {wanted}{Recorded()}";
        }
    }

    private string Why(OtherBinary other) => binaries.WhyNot(other.Path) is { } why ? $", {why}" : "";

    private string Recorded()
    {
        OtherBinary[] busiest = [.. others.Where(static other => other.Entries > 0)
            .OrderByDescending(static other => other.Entries).ThenBy(static other => other.Path, StringComparer.Ordinal)];
        if (busiest.Length == 0)
            return others.Count == 0
                ? $": it does not say what was mapped where (print text with --show-mmap-events){RecordedInput.MainLoss(losses)}"
                : RecordedInput.MainLoss(losses);
        decimal total = busiest.Sum(static other => (decimal)other.Entries);
        IEnumerable<string> listed = busiest.Take(MaxListed).Select(other => string.Create(CultureInfo.InvariantCulture,
            $"{other.Path} ({(other.BuildId.IsEmpty ? "no build id" : other.BuildId)}, {100 * (other.Entries / total):0.#} %{Why(other)})"));
        return $"; what it recorded is {string.Join(", ", listed)}{(busiest.Length > MaxListed ? $" and {busiest.Length - MaxListed} more" : "")}: name the file of one of these with --binary";
    }
}
