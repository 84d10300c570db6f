using System.Text.Json.Nodes;
using Perforator.Branches;

namespace Perforator.Generation;

/// <summary>What a part of a service's data comes from.</summary>
/// <param name="Hosts">Hosts by their share of the branches, largest first.</param>
/// <param name="Cpus">CPU models likewise.</param>
/// <param name="Sources">Sources of branch records likewise.</param>
/// <param name="FirstSeen">Start of the earliest profile.</param>
/// <param name="LastSeen">End of the latest profile.</param>
public sealed record Provenance(
    IReadOnlyList<(string Name, double Share)> Hosts, IReadOnlyList<(string Name, double Share)> Cpus,
    IReadOnlyList<(string Name, double Share)> Sources,
    DateTimeOffset FirstSeen, DateTimeOffset LastSeen)
{
    internal static Provenance Of(IReadOnlyCollection<Observation> observations)
    {
        return new Provenance(
            Shares(ProfileLabels.Host), Shares(ProfileLabels.Cpu), Shares(ProfileLabels.Source), observations.Min(static o => o.FirstSeen),
            observations.Max(static o => o.LastSeen));

        IReadOnlyList<(string, double)> Shares(string label)
        {
            double total = observations.Sum(static o => (double)o.Branches.Branches.Total);
            return
            [
                .. observations.SelectMany(o => o.BranchesBy(label)).GroupBy(static tally => tally.Value, StringComparer.Ordinal)
                    .Select(group => (Name: group.Key, Share: total == 0 ? 0 : group.Sum(static tally => tally.Branches) / total))
                    .OrderByDescending(static share => share.Share).ThenBy(static share => share.Name, StringComparer.Ordinal),
            ];
        }
    }

    internal void AddTo(JsonObject json)
    {
        json["hosts"] = Shares(Hosts);
        json["cpus"] = Shares(Cpus);
        json["sources"] = Shares(Sources);
        json["firstSeen"] = FirstSeen;
        json["lastSeen"] = LastSeen;

        static JsonArray Shares(IEnumerable<(string Name, double Share)> shares) =>
            new([.. shares.Select(static share => new JsonObject { ["name"] = share.Name, ["share"] = share.Share })]);
    }
}

/// <summary>What a service's report says of one build of one of its files.</summary>
public sealed class BuildReport
{
    private BuildReport(BuildId buildId, string path, Provenance provenance) => (BuildId, Path, Provenance) = (buildId, path, provenance);

    /// <summary>The build.</summary>
    public BuildId BuildId { get; }

    /// <summary>Where it ran, the last time.</summary>
    public string Path { get; }

    /// <summary>Which file of the service it is a build of: the path's last part, without versions.</summary>
    public string File => ServiceFile.NameOf(Path);

    /// <summary>Whether hosts run it now.</summary>
    public bool IsCurrent { get; private init; }

    /// <summary>Hosts, CPU models, sources and times.</summary>
    public Provenance Provenance { get; }

    /// <summary>Branch profiles that were added up.</summary>
    public ulong TotalProfiles { get; private init; }

    /// <summary>Samples that touched it, not faded.</summary>
    public ulong TotalSamples { get; private init; }

    /// <summary>Taken branches with both ends in it, not faded.</summary>
    public ulong TotalBranches { get; private init; }

    /// <summary>Why nothing of it is in the profile; null when something is.</summary>
    public string? Problem { get; internal set; }

    /// <summary>How its own profile was generated, from faded counts; null when it could not be.</summary>
    public GenerationReport? Generation { get; private set; }

    /// <summary>What the compiler made of it; null when that is not known.</summary>
    public CodeEffect? Effect { get; private set; }

    /// <summary>Functions left out, as their control flow is another one in the newest build (checksum mismatch).</summary>
    public ulong FunctionsLeftOut { get; internal set; }

    /// <summary>How far its counts fit the newest build of its file; null for that build itself.</summary>
    public ProfileFit? FitToNewest { get; internal set; }

    /// <summary>Samples that it adds to the service's profile.</summary>
    public double SamplesInProfile { get; internal set; }

    /// <summary>The share of the service's branches that is of it, from 0 to 1; not faded.</summary>
    public double ShareOfBranches { get; internal set; }

    /// <summary>The share of the profile's samples that it adds, from 0 to 1.</summary>
    public double ShareOfProfile { get; internal set; }

    /// <summary>Taken branches, not faded, for each byte of its code; null when its code is not known.</summary>
    public double? TakenBranchesToExecutableBytesRatio =>
        Generation is { ExecutableBytes: > 0 } generation ? (double)TotalBranches / generation.ExecutableBytes : null;

    internal static BuildReport Of(BuildId buildId, string path, IReadOnlyCollection<Observation> observations, bool isCurrent) =>
        new(buildId, path, Provenance.Of(observations))
        {
            IsCurrent = isCurrent,
            TotalProfiles = (ulong)observations.Sum(static o => o.Uploads),
            TotalSamples = observations.Aggregate(0UL, static (sum, o) => PairCounts.Saturating(sum, o.Branches.Samples)),
            TotalBranches = observations.Aggregate(0UL, static (sum, o) => PairCounts.Saturating(sum, o.Branches.Branches.InternalTotal)),
        };

    internal void Add(GenerationReport generation, CodeEffect effect) => (Generation, Effect) = (generation, effect);

    internal JsonObject ToJson()
    {
        JsonObject json = new()
        {
            ["buildId"] = BuildId.ToString(),
            ["path"] = Path,
            ["isCurrent"] = IsCurrent,
            ["totalProfiles"] = TotalProfiles,
            ["totalSamples"] = TotalSamples,
            ["totalBranches"] = TotalBranches,
            ["shareOfBranches"] = ShareOfBranches,
            ["shareOfProfile"] = ShareOfProfile,
            ["problem"] = Problem,
            ["takenBranchesToExecutableBytesRatio"] = TakenBranchesToExecutableBytesRatio,
            ["functionsLeftOut"] = FunctionsLeftOut,
            ["fitToNewest"] = FitToNewest?.Share,
            ["effect"] = Effect is not { } effect ? null : new JsonObject
            {
                ["instructionsPerTakenBranch"] = effect.InstructionsPerTakenBranch,
                ["bytesOf90Percent"] = effect.BytesOf90Percent,
                ["bytesOf99Percent"] = effect.BytesOf99Percent,
                ["callsPer1000Instructions"] = effect.CallsPer1000Instructions,
                ["mispredictedShare"] = effect.MispredictedShare,
            },
            ["generation"] = Generation?.ToJsonObject(),
        };
        Provenance.AddTo(json);
        return json;
    }
}
