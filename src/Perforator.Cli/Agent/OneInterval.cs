using System.Text.Json;
using Perforator.Agent;
using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.Processes;

namespace Perforator.Cli.Agent;

/// <summary><c>perforator agent --once</c>: records one interval and prints what there was, with no server.</summary>
internal static class OneInterval
{
    public static async Task<int> RunAsync(AgentSettings settings, BranchSourceChoice choice, bool json, CancellationToken stop)
    {
        ServiceDiscovery discovery = new(settings.Rules);
        using LiveModules modules = new();
        ServiceProfiles profiles = new(discovery, modules);
        using IBranchRecorder recorder = choice.Open(discovery, settings.Software);
        using CancellationTokenSource ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        DateTimeOffset start = DateTimeOffset.UtcNow;
        Task recording = Task.Factory.StartNew(
            () => recorder.Run(profiles, ending.Token), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Task.WhenAny(recording, Task.Delay(settings.Interval, stop));
        IReadOnlyDictionary<string, int> running = discovery.Running;
        await ending.CancelAsync();
        await recording;

        DateTimeOffset end = DateTimeOffset.UtcNow;
        BranchProfileSet[] sets =
            [.. profiles.Take().Select(taken => Labelled(ProfileUpload.NewSet(taken.Service, recorder.Source, taken.Counted, start, end)))];
        if (json)
            PrintJson(sets, running, end - start, recorder.Statistics);
        else
            Print(sets, running, end - start, recorder.Statistics);
        return sets.Length == 0 ? ExitCodes.Failed : ExitCodes.Ok;

        BranchProfileSet Labelled(BranchProfileSet set)
        {
            foreach ((string name, string value) in settings.Labels)
                set.Labels.TryAdd(name, value);
            return set;
        }
    }

    private static void Print(
        BranchProfileSet[] sets, IReadOnlyDictionary<string, int> running, TimeSpan time, RecorderStatistics statistics)
    {
        TextTable table = new("Service", "Processes", "Branch stacks", "Branches", "Lost");
        foreach (BranchProfileSet set in sets.OrderByDescending(Branches))
            table.Add(set.Service!, $"{running.GetValueOrDefault(set.Service!)}", $"{set.TotalSamples:N0}", $"{Branches(set):N0}", $"{set.Losses.Total:N0}");
        table.Write();
        Console.Out.WriteLine(
            $"{time.TotalSeconds:0.0} s: {statistics.Samples:N0} branch stacks with {statistics.Branches:N0} branches; with its start, the agent took {HostUse.SinceStart()}");
        foreach ((string reason, ulong count) in sets.SelectMany(static set => set.Losses.LargestFirst())
            .GroupBy(static loss => loss.Reason)
            .Select(static g => (g.Key, g.Aggregate(0UL, static (sum, loss) => sum + loss.Count))))
            Console.Out.WriteLine($"lost {count:N0}: {reason}");
        if (statistics.Notice is { } notice)
            Console.Out.WriteLine(notice);
        if (sets.Length == 0)
            Console.Out.WriteLine(
                "nothing was recorded: nothing that may be recorded used CPU time ('perforator agent --dry-run' lists it, 'perforator doctor' tells what is missing)");
    }

    private static void PrintJson(
        BranchProfileSet[] sets, IReadOnlyDictionary<string, int> running, TimeSpan time, RecorderStatistics statistics)
    {
        using Stream output = Console.OpenStandardOutput();
        using Utf8JsonWriter writer = new(output, new JsonWriterOptions { Indented = true });
        writer.WriteStartObject();
        writer.WriteNumber("seconds", Math.Round(time.TotalSeconds, 3));
        writer.WriteNumber("branchStacks", statistics.Samples);
        writer.WriteNumber("branches", statistics.Branches);
        writer.WriteString("notice", statistics.Notice);
        HostUse use = HostUse.SinceStart();
        writer.WriteNumber("cpuShareOfHost", Math.Round(use.CpuShare, 5));
        writer.WriteNumber("memoryBytes", use.MemoryBytes);
        writer.WriteStartArray("services");
        foreach (BranchProfileSet set in sets)
        {
            writer.WriteStartObject();
            writer.WriteString("service", set.Service);
            writer.WriteNumber("processes", running.GetValueOrDefault(set.Service!));
            writer.WriteNumber("branchStacks", set.TotalSamples);
            writer.WriteNumber("branches", Branches(set));
            writer.WriteStartObject("labels");
            foreach ((string name, string value) in set.Labels)
                writer.WriteString(name, value);
            writer.WriteEndObject();
            writer.WriteStartArray("binaries");
            foreach (BranchProfile profile in set.Profiles.Values)
            {
                writer.WriteStartObject();
                writer.WriteString("buildId", profile.BuildId.ToString());
                writer.WriteString("path", profile.Path);
                writer.WriteNumber("branches", profile.BranchEntries);
                writer.WriteEndObject();
            }
            writer.WriteEndArray();
            writer.WriteStartObject("losses");
            foreach ((string reason, ulong count) in set.Losses.ByReason)
                writer.WriteNumber(reason, count);
            writer.WriteEndObject();
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static ulong Branches(BranchProfileSet set) =>
        set.Profiles.Values.Aggregate(0UL, static (sum, profile) => sum + profile.BranchEntries);
}
