using System.Globalization;
using Perforator.Branches;

namespace Perforator.Inputs;

/// <summary>Says of a recording without branches in a binary of interest what it does have, so that the user can name the right file.</summary>
/// <param name="name">What messages call the recording.</param>
/// <param name="aggregator">What was counted of it.</param>
/// <param name="binaries">The binaries of interest.</param>
internal sealed class UnmatchedRecording(string name, BranchAggregator aggregator, RecordedBinaries binaries)
{
    /// <summary>The most executables listed; they are the busiest.</summary>
    private const int MaxListed = 8;

    /// <summary>What happened and what to do next, in a line.</summary>
    public string Message
    {
        get
        {
            foreach (Module module in binaries.Named)
                if (aggregator.OtherBinaries.FirstOrDefault(other => !other.BuildId.IsEmpty && module.HasName(other.Path)) is { } other)
                    return $"{name} is of another build of {module.Path}: {other.BuildId} was recorded, the file has {module.BuildId}; name the binary that ran";
            string wanted = binaries.Named.Count == 0 ? "any binary found here" : string.Join(" or ", binaries.Named.Select(static module => module.Path));
            return $"{name} has no branches in {wanted}{Recorded()}";
        }
    }

    private string Why(OtherBinary other) => binaries.WhyNot(other.Path) is { } why ? $", {why}" : "";

    private string Recorded()
    {
        OtherBinary[] busiest = [.. aggregator.OtherBinaries.Where(static other => other.Entries > 0)
            .OrderByDescending(static other => other.Entries).ThenBy(static other => other.Path, StringComparer.Ordinal)];
        if (busiest.Length == 0)
            return aggregator.OtherBinaries.Count == 0
                ? $": it does not say what was mapped where (print text with --show-mmap-events){RecordedInput.MainLoss(aggregator.Losses)}"
                : RecordedInput.MainLoss(aggregator.Losses);
        ulong total = Math.Max(aggregator.BranchEntries, aggregator.Samples);
        IEnumerable<string> listed = busiest.Take(MaxListed).Select(other => string.Create(CultureInfo.InvariantCulture,
            $"{other.Path} ({(other.BuildId.IsEmpty ? "no build id" : other.BuildId)}, {100.0 * other.Entries / Math.Max(1, total):0.#} %{Why(other)})"));
        return $"; what it recorded is {string.Join(", ", listed)}{(busiest.Length > MaxListed ? $" and {busiest.Length - MaxListed} more" : "")}: name the file of one of these with --binary";
    }
}
