using Perforator.Branches;

namespace Perforator.Tests.Server;

/// <summary>Makes branch profile sets for tests of storage and API.</summary>
internal static class Uploads
{
    public static readonly DateTimeOffset Start = DateTimeOffset.Parse("2026-03-01T10:00:00Z");

    /// <summary>A set of one build with one branch of the given count, one minute long.</summary>
    public static BranchProfileSet Set(
        string service = "search", string buildId = "aa01", ulong count = 10, int minute = 0, string host = "node-1")
    {
        BranchProfileSet set = new() { Start = Start.AddMinutes(minute), End = Start.AddMinutes(minute + 1), TotalSamples = count };
        set.Labels[ProfileLabels.Service] = service;
        set.Labels[ProfileLabels.Host] = host;
        BranchProfile profile = new(BuildId.Parse(buildId), "/opt/" + service) { Samples = count, BranchEntries = count };
        profile.AddBranch(new(0x1040), new(0x1010), count);
        profile.AddBranch(BinaryAddress.External, new(0x1000), 1);
        profile.AddRange(new(0x1010), new(0x1040), count);
        set.Add(profile);
        return set;
    }
}
