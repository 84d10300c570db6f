using Perforator.Branches;
using Perforator.Generation;

namespace Perforator.Server.Results;

/// <summary>
/// Adds profiles up for generation: by build, day and labels where few sets of labels were selected; else by build, day and half of the
/// hosts, with the branches of each host, CPU and source beside, so that memory does not grow with the fleet.
/// </summary>
internal sealed class ObservationSums
{
    /// <summary>Up to so many sets of labels have sums of their own.</summary>
    private const int MaxLabelSets = 8;

    private static readonly string[] Tallied = [ProfileLabels.Host, ProfileLabels.Cpu, ProfileLabels.Source];

    private readonly Dictionary<(BuildId Build, DateOnly Day, string Labels), Sum> sums = [];
    private readonly bool inHalves;

    public ObservationSums(SelectedProfiles selected) =>
        inHalves = selected.Days.Select(static day => string.Join('\n', day.Labels)).Distinct().Take(MaxLabelSets + 1)
            .Count() > MaxLabelSets;

    /// <summary>What was lost before it could be attributed to a binary.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>Adds what was read; it may be changed by that.</summary>
    public void Add(ReadProfiles read)
    {
        Losses.Merge(read.Set.Losses);
        IReadOnlyDictionary<string, string> labels = inHalves ? HalfOf(read.Labels) : read.Labels;
        string key = string.Join('\n', labels);
        foreach (BranchProfile profile in read.Set.Profiles.Values)
        {
            if (profile.IsEmpty)
                continue;
            double branches = inHalves ? profile.TotalBranches : 0;
            if (sums.TryGetValue((profile.BuildId, read.Day, key), out Sum? sum))
                sum.Add(profile);
            else
                sums.Add((profile.BuildId, read.Day, key), sum = new Sum(profile, labels, read.Start, read.End));
            sum.Uploads += read.Uploads;
            sum.Start = read.Start < sum.Start ? read.Start : sum.Start;
            sum.End = read.End > sum.End ? read.End : sum.End;
            if (!inHalves)
                continue;
            foreach (string name in Tallied)
                if (read.Labels.TryGetValue(name, out string? value))
                    sum.ByLabel[(name, value)] = sum.ByLabel.GetValueOrDefault((name, value)) + branches;
        }
    }

    /// <summary>Adds all of another's, which is not used any more.</summary>
    public void Add(ObservationSums others)
    {
        Losses.Merge(others.Losses);
        foreach (((BuildId, DateOnly, string) key, Sum other) in others.sums)
            if (sums.TryGetValue(key, out Sum? sum))
                sum.Add(other);
            else
                sums.Add(key, other);
    }

    /// <summary>The sums, in one order whatever order they were read in.</summary>
    public IReadOnlyList<Observation> ToObservations() =>
    [
        .. sums.OrderBy(static sum => sum.Key.Build).ThenBy(static sum => sum.Key.Day)
            .ThenBy(static sum => sum.Key.Labels, StringComparer.Ordinal)
            .Select(sum => new Observation(sum.Value.Branches, sum.Key.Day, sum.Value.Labels, sum.Value.Uploads, sum.Value.Start, sum.Value.End)
            {
                BranchesByLabel = inHalves ? sum.Value.ByLabel : null,
            }),
    ];

    /// <summary>Hosts fall into two halves by their name, the same each time.</summary>
    private static SortedDictionary<string, string> HalfOf(IReadOnlyDictionary<string, string> labels)
    {
        uint hash = 0;
        foreach (char c in labels.TryGetValue(ProfileLabels.Host, out string? host) ? host : "")
            hash = (hash ^ c) * 16777619;
        return new SortedDictionary<string, string>(StringComparer.Ordinal)
        {
            [ProfileLabels.Host] = ((hash >> 16) & 1) == 0 ? "one half" : "other half"
        };
    }

    private sealed class Sum(BranchProfile branches, IReadOnlyDictionary<string, string> labels, DateTimeOffset start, DateTimeOffset end)
    {
        public BranchProfile Branches { get; private set; } = branches;

        public IReadOnlyDictionary<string, string> Labels { get; } = labels;

        public long Uploads { get; set; }

        public DateTimeOffset Start { get; set; } = start;

        public DateTimeOffset End { get; set; } = end;

        public SortedDictionary<(string Name, string Value), double> ByLabel { get; } = [];

        /// <summary>Of several files of the build the sum names the first by name, whatever order they were read in.</summary>
        public void Add(BranchProfile other)
        {
            if (string.CompareOrdinal(other.Path, Branches.Path) < 0)
                (Branches, other) = (other, Branches);
            Branches.Merge(other);
        }

        public void Add(Sum other)
        {
            Add(other.Branches);
            Uploads += other.Uploads;
            Start = other.Start < Start ? other.Start : Start;
            End = other.End > End ? other.End : End;
            foreach (((string, string) label, double branches) in other.ByLabel)
                ByLabel[label] = ByLabel.GetValueOrDefault(label) + branches;
        }
    }
}
