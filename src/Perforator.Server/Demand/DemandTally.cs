using System.Collections.Concurrent;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Telemetry;

namespace Perforator.Server.Demand;

/// <summary>What came in of one build since it was last added to its <see cref="BuildEvidence"/>. Locked by whoever uses it.</summary>
internal sealed class PendingBuild
{
    /// <summary>Branches of one half of the uploads, and of the other.</summary>
    public PairCounts One { get; } = new();

    /// <inheritdoc cref="One"/>
    public PairCounts Other { get; } = new();

    /// <summary>Branches with both ends in the build, each as often as it was seen, of either half.</summary>
    public double OnesTotal { get; set; }

    /// <inheritdoc cref="OnesTotal"/>
    public double OthersTotal { get; set; }

    /// <summary>The same of both, and those of all builds in the same uploads.</summary>
    public double OwnBranches { get; set; }

    /// <inheritdoc cref="OwnBranches"/>
    public double WholeBranches { get; set; }

    /// <summary>Hosts that run it.</summary>
    public HostCensus Hosts { get; } = new();

    /// <summary>Branches that hosts say they recorded of its service.</summary>
    public double Recorded { get; set; }

    /// <summary>In how many seconds, each counted by its rate.</summary>
    public double RecordedSeconds { get; set; }

    /// <summary>Whether hosts named it.</summary>
    public bool IsExecutable { get; set; }

    /// <summary>Whether it has been taken away: what comes now goes to another.</summary>
    public bool IsTaken { get; set; }

    /// <summary>Adds another's.</summary>
    public void Add(PendingBuild other)
    {
        One.Merge(other.One);
        Other.Merge(other.Other);
        OnesTotal += other.OnesTotal;
        OthersTotal += other.OthersTotal;
        OwnBranches += other.OwnBranches;
        WholeBranches += other.WholeBranches;
        Hosts.Add(other.Hosts);
        Recorded += other.Recorded;
        RecordedSeconds += other.RecordedSeconds;
        IsExecutable |= other.IsExecutable;
    }
}

/// <summary>
/// Collects in memory what uploads and hosts tell, until it is added to what is kept. What a server loses by a crash is half a minute's
/// worth of demand, and nothing of any profile.
/// </summary>
internal sealed class DemandTally
{
    /// <summary>Builds collected at most at a time; what is beyond is not counted for demand.</summary>
    private const int MaxBuilds = 20_000;

    /// <summary>A build with a smaller share of an upload's branches is not looked at: it is as well known as what it runs in.</summary>
    public const double LeastShare = 1 / 20.0;

    /// <summary>From so many hosts on, halves are of hosts; with fewer they are of uploads, as one host might be one half.</summary>
    private const long HostsForHalves = 16;

    /// <summary>
    /// Distinct branches collected at most at a time, some 70 bytes each, with those that are just being added to what is kept. What is
    /// beyond counts for no demand: where uploads come in so fast, builds are known soon by a part of them.
    /// </summary>
    private const long MaxRows = 300_000;

    private readonly ConcurrentDictionary<(string Service, BuildId Build), PendingBuild> pending = [];
    private long rows;

    /// <summary>Counts a stored upload.</summary>
    /// <param name="hash">Its identity.</param>
    /// <param name="hosts">How many hosts run its service.</param>
    public void Add(BranchProfileSet set, string hash, long hosts)
    {
        string host = set.Labels.GetValueOrDefault(ProfileLabels.Host) ?? "";
        bool isOne = (StableHash.Of(hosts >= HostsForHalves ? host : hash) & 1) == 0;
        double whole = set.Profiles.Values.Sum(static profile => (double)profile.InternalBranches);
        foreach (BranchProfile profile in set.Profiles.Values)
        {
            double own = profile.InternalBranches;
            if (own == 0 || own < whole * LeastShare)
                continue;
            Change((set.Service!, profile.BuildId), build =>
            {
                if (Interlocked.Read(ref rows) < MaxRows)
                {
                    PairCounts half = isOne ? build.One : build.Other;
                    int before = half.Count;
                    profile.AddBranchesTo(half);
                    Interlocked.Add(ref rows, half.Count - before);
                    (build.OnesTotal, build.OthersTotal) = (build.OnesTotal + (isOne ? own : 0), build.OthersTotal + (isOne ? 0 : own));
                }
                else
                {
                    ServerMetrics.NotCountedForDemand("branches");
                }
                build.OwnBranches += own;
                build.WholeBranches += whole;
                build.Hosts.Add(StableHash.Of(host));
            });
        }
    }

    /// <summary>Counts a service that a host says it runs.</summary>
    public void Add(string host, RunningService service)
    {
        ulong hash = StableHash.Of(host);
        bool isMeasured = service is { Rate: > 0 and <= 1, Seconds: > 0 and < 86_400, Branches: >= 0 and < 1e15 };
        foreach (string id in service.Builds)
            if (BuildId.TryParse(id, out BuildId build))
                Change((service.Service, build), pending =>
                {
                    pending.IsExecutable = true;
                    pending.Hosts.Add(hash);
                    if (isMeasured)
                    {
                        pending.Recorded += service.Branches / service.Builds.Count;
                        pending.RecordedSeconds += service.Rate * service.Seconds;
                    }
                });
    }

    /// <summary>How many hosts have told of a build since it was last added to what is kept.</summary>
    public long HostsOf(string service, BuildId build)
    {
        if (!pending.TryGetValue((service, build), out PendingBuild? known))
            return 0;
        lock (known)
            return known.Hosts.Count;
    }

    /// <summary>
    /// Takes away what was collected of the builds that are wanted. Each of them goes to <see cref="Release"/> or <see cref="Return"/>
    /// afterwards.
    /// </summary>
    public ConcurrentQueue<(string Service, BuildId Build, PendingBuild Pending)> Take(Func<string, BuildId, bool> wants)
    {
        ConcurrentQueue<(string, BuildId, PendingBuild)> taken = [];
        foreach ((string Service, BuildId Build) key in pending.Keys)
            if (wants(key.Service, key.Build) && pending.TryRemove(key, out PendingBuild? build))
            {
                lock (build)
                    build.IsTaken = true;
                taken.Enqueue((key.Service, key.Build, build));
            }
        return taken;
    }

    /// <summary>Makes room for others once what was taken was added to what is kept.</summary>
    public void Release(PendingBuild taken) => Interlocked.Add(ref rows, -(taken.One.Count + taken.Other.Count));

    /// <summary>Gives back what could not be added to what is kept.</summary>
    public void Return(string service, BuildId build, PendingBuild taken)
    {
        Change((service, build), pending =>
        {
            int before = pending.One.Count + pending.Other.Count;
            pending.Add(taken);
            Interlocked.Add(ref rows, pending.One.Count + pending.Other.Count - before);
        });
        Release(taken);
    }

    private void Change((string Service, BuildId Build) key, Action<PendingBuild> change)
    {
        while (true)
        {
            if (pending.Count >= MaxBuilds && !pending.ContainsKey(key))
            {
                ServerMetrics.NotCountedForDemand("builds");
                return;
            }
            PendingBuild build = pending.GetOrAdd(key, static _ => new PendingBuild());
            lock (build)
                if (!build.IsTaken)
                {
                    change(build);
                    return;
                }
        }
    }
}
