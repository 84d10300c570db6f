using System.Diagnostics;
using System.Globalization;
using Perforator.Branches;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Benchmarks;

/// <summary>
/// What the software recorder gives and costs on a program that does a fixed amount of work: <c>recorder [--callgrind FILE] PROGRAM
/// [ARGUMENT…]</c>. eng/bench recorder calls it.
/// </summary>
internal static class RecorderMeasurement
{
    private const int Rounds = 5;

    public static int Run(string[] arguments)
    {
        string? callgrind = arguments is ["--callgrind", _, ..] ? arguments[1] : null;
        string[] command = callgrind is null ? arguments : arguments[2..];
        List<double> alone = [];
        Dictionary<double, List<Measured>> recorded = new() { [0.01] = [], [0.03] = [], [1] = [] };
        for (int round = 0; round < Rounds; round++)
        {
            alone.Add(Measure(command, null).Seconds);
            foreach ((double overhead, List<Measured> runs) in recorded)
                runs.Add(Measure(command, new SoftwareRecorderOptions { MaxOverhead = overhead }));
        }
        double baseline = Median(alone);
        Console.WriteLine($"| {Path.GetFileName(command[0])} | seconds | slowdown | stopped | branches/s |");
        Console.WriteLine("|---|---:|---:|---:|---:|");
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| not recorded | {baseline:F2} | | | |"));
        foreach ((double overhead, List<Measured> runs) in recorded)
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| --max-overhead {overhead:P0} | {Median(runs.Select(r => r.Seconds)):F2} | {(Median(runs.Select(r => r.Seconds)) / baseline) - 1:P1} | {Median(runs.Select(r => r.Stopped)):P1} | {Median(runs.Select(r => r.BranchesPerSecond)):N0} |"));
        Measured[] all = [.. recorded.Values.SelectMany(r => r)];
        foreach (IGrouping<string, KeyValuePair<string, ulong>> loss in all.SelectMany(r => r.Sink.Losses.ByReason).GroupBy(l => l.Key))
            Console.WriteLine($"{loss.Sum(l => (long)l.Value)} {loss.Key}");
        if (callgrind is not null)
            Compare(CallgrindBranches.Load(callgrind, command[0]), all);
        return 0;
    }

    private sealed record Measured(double Seconds, double Stopped, double BranchesPerSecond, Counts Sink);

    private static Measured Measure(string[] command, SoftwareRecorderOptions? options)
    {
        Counts sink = new(Path.GetFullPath(command[0]));
        long begin = Stopwatch.GetTimestamp();
        LaunchedProcess process = LaunchedProcess.Start(["sh", "-c", "exec \"$@\" >/dev/null", "sh", .. command]);
        double stopped = 0, branches = 0;
        if (options is not null)
        {
            using SoftwareRecorder recorder = new(new ProcessTreeTargets([process.Id]), options);
            recorder.Run(sink, CancellationToken.None);
            stopped = recorder.Statistics.TargetStoppedTime.TotalSeconds;
            branches = recorder.Statistics.Branches;
        }
        process.WaitForExit(TimeSpan.FromHours(1));
        double seconds = Stopwatch.GetElapsedTime(begin).TotalSeconds;
        return new(seconds, stopped / seconds, branches / seconds, sink);
    }

    /// <summary>Fidelity: the sum over branches of the smaller of the recorded and the exact share.</summary>
    private static void Compare(Dictionary<(ulong From, ulong To), double> exact, Measured[] runs)
    {
        HashSet<ulong> sources = [.. exact.Keys.Select(k => k.From)];
        Dictionary<(ulong, ulong), double> recorded = [];
        foreach ((ulong From, ulong To) key in runs.SelectMany(r => r.Sink.Branches.Keys).Distinct().Where(k => sources.Contains(k.From)))
            recorded[key] = runs.Sum(r => r.Sink.Branches.GetValueOrDefault(key));
        double exactTotal = exact.Values.Sum(), total = recorded.Values.Sum();
        double common = exact.Sum(e => Math.Min(e.Value / exactTotal, recorded.GetValueOrDefault(e.Key) / total));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"fidelity {common:P2} of {total:N0} recorded against {exactTotal:N0} exact branches"));
    }

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

    /// <summary>Counts branches within one binary by file offset, which is the address in binaries whose code segment lies so.</summary>
    private sealed class Counts(string binary) : IBranchSink
    {
        private readonly Dictionary<int, List<Mapping>> mappings = [];

        public Dictionary<(ulong From, ulong To), long> Branches { get; } = [];

        public LossCounts Losses { get; } = new();

        public void OnMapping(Mapping mapping)
        {
            if (mapping.Path != binary)
                return;
            if (!mappings.TryGetValue(mapping.ProcessId, out List<Mapping>? list))
                mappings.Add(mapping.ProcessId, list = []);
            list.Add(mapping);
        }

        public void OnFork(int processId, int parentProcessId)
        {
        }

        public void OnExec(int processId) => mappings.Remove(processId);

        public void OnExit(int processId) => mappings.Remove(processId);

        public void OnLost(string reason, ulong count) => Losses.Add(reason, count);

        public void OnSample(in BranchSample sample)
        {
            if (!mappings.TryGetValue(sample.ProcessId, out List<Mapping>? list))
                return;
            foreach (BranchEntry entry in sample.Stack)
                if (Offset(list, entry.From) is { } from && Offset(list, entry.To) is { } to)
                    Branches[(from, to)] = Branches.GetValueOrDefault((from, to)) + 1;
        }

        private static ulong? Offset(List<Mapping> list, RuntimeAddress address)
        {
            foreach (Mapping mapping in list)
                if (address >= mapping.Start && address < mapping.End)
                    return address.Value - mapping.Start.Value + mapping.Offset.Value;
            return null;
        }
    }
}
