using Perforator.Branches;

namespace Perforator.Generation;

/// <summary>What was observed of one binary on one day under one set of labels.</summary>
/// <param name="Branches">The sum of what was uploaded.</param>
/// <param name="Day">The day (UTC) it was observed on, by which its counts fade.</param>
/// <param name="Labels">What is the same of all that was added up: host, CPU, source and what else agents say.</param>
/// <param name="Uploads">How many profiles were added up.</param>
/// <param name="FirstSeen">Start of the earliest.</param>
/// <param name="LastSeen">End of the latest.</param>
public sealed record Observation(
    BranchProfile Branches, DateOnly Day, IReadOnlyDictionary<string, string> Labels, long Uploads, DateTimeOffset FirstSeen,
    DateTimeOffset LastSeen)
{
    /// <summary>
    /// Where several sets of labels were added up: taken branches by name and value of each label. The labels then only tell such sums
    /// apart.
    /// </summary>
    public IReadOnlyDictionary<(string Name, string Value), double>? BranchesByLabel { get; init; }

    /// <summary>Taken branches by a label's value.</summary>
    internal IEnumerable<(string Value, double Branches)> BranchesBy(string label) => BranchesByLabel is null
        ? Label(label) is { Length: > 0 } value ? [(value, Branches.Branches.Total)] : []
        : BranchesByLabel.Where(tally => tally.Key.Name == label).Select(static tally => (tally.Key.Value, tally.Value));

    /// <summary>A label's value; empty when it has none.</summary>
    internal string Label(string name) => Labels.GetValueOrDefault(name, "");
}

/// <summary>What was observed of a service: of its program, libraries and plugins, in all releases of the time asked for.</summary>
/// <param name="Service">Its name.</param>
/// <param name="Observations">In any order.</param>
/// <param name="Losses">What was lost before it could be attributed to a binary.</param>
/// <param name="Current">The builds that hosts run now, the one on most hosts first; of each file its first build here counts as the
/// newest.</param>
public sealed record ServiceObservations(
    string Service, IReadOnlyList<Observation> Observations, LossCounts Losses, IReadOnlyList<BuildId> Current);

/// <summary>Where the binaries of a service are.</summary>
public interface IBinaries
{
    /// <summary>Opens a binary with its debug info; the caller disposes it.</summary>
    /// <param name="id">Which one.</param>
    /// <param name="path">Where it ran, for people to read.</param>
    /// <param name="target">The compiler that the profile is for.</param>
    /// <param name="why">What is the matter when it cannot be used, as the end of a sentence: "the server does not have it".</param>
    /// <returns>Null when it cannot be used.</returns>
    ProfiledBinary? Open(BuildId id, string path, TargetCompiler target, out string why);
}

/// <summary>What of a service goes into its profile, and how it is written.</summary>
public sealed record ServiceProfileOptions
{
    /// <summary>The half-life that counts fade with unless told otherwise, in days.</summary>
    public const double DefaultHalfLifeDays = 7;

    /// <summary>After so many days a count weighs half; null for no fading.</summary>
    public double? HalfLifeDays { get; init; } = DefaultHalfLifeDays;

    /// <summary>Only files of these names or paths, or builds of these ids or beginnings of ids; all when empty.</summary>
    public IReadOnlyList<string> Only { get; init; } = [];

    /// <summary>How the profile is written.</summary>
    public ProfileForm Form { get; init; } = new(SampleProfiles.SampleProfileFormat.ExtBinary);
}
