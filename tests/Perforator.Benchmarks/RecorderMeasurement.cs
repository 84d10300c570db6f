using System.Diagnostics;
using System.Globalization;
using Perforator.Recording;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Benchmarks;

/// <summary>
/// What the software recorder gives and costs, on programs that do a fixed amount of work. eng/bench recorder calls it and makes a table
/// of the <c>name: value</c> lines that it prints:
/// <c>recorder cost ROUNDS PROGRAM [ARGUMENT…]</c>, <c>recorder fidelity CALLGRIND-FILE ROUNDS PROGRAM [ARGUMENT…]</c> or
/// <c>recorder coverage PROGRAM [ARGUMENT…]</c>.
/// </summary>
internal static class RecorderMeasurement
{
    private const double Unthrottled = 1;

    public static int Run(string[] arguments)
    {
        switch (arguments)
        {
            case ["cost", string rounds, .. string[] command]:
                Cost(int.Parse(rounds, CultureInfo.InvariantCulture), command);
                return 0;
            case ["fidelity", string callgrind, string rounds, .. string[] command]:
                Fidelity(callgrind, int.Parse(rounds, CultureInfo.InvariantCulture), command);
                return 0;
            case ["coverage", .. string[] command]:
                Coverage(command);
                return 0;
            default:
                Console.Error.WriteLine("recorder: cost, fidelity or coverage");
                return 2;
        }
    }

    /// <summary>Rate and slowdown at several bounds, the runs interleaved.</summary>
    private static void Cost(int rounds, string[] command)
    {
        double usual = new SoftwareRecorderOptions().MaxOverhead;
        List<Measured> alone = [];
        Dictionary<double, List<Measured>> recorded = new() { [usual] = [], [0.01] = [], [Unthrottled] = [] };
        _ = Measure(command, null);
        for (int round = 0; round < rounds; round++)
        {
            alone.Add(Measure(command, null));
            foreach ((double bound, List<Measured> runs) in recorded)
                runs.Add(Measure(command, new SoftwareRecorderOptions { MaxOverhead = bound }));
        }
        double seconds = Median(alone.Select(r => r.Seconds));
        Print("seconds", "F2", seconds);
        foreach ((double bound, List<Measured> runs) in recorded)
        {
            string name = bound == usual ? "default" : bound == Unthrottled ? "unthrottled" : "1%";
            Print($"{name} rate", "N0", Median(runs.Select(r => r.BranchesPerSecond)));
            Print($"{name} slowdown", "P1", (Median(runs.Select(r => r.Seconds)) / seconds) - 1);
            Print($"{name} stopped", "P1", Median(runs.Select(r => r.Stopped)));
        }
    }

    /// <summary>The sum over branches of the smaller of the recorded and the exact share, and the function that came off worst.</summary>
    private static void Fidelity(string callgrind, int rounds, string[] command)
    {
        Dictionary<(ulong From, ulong To), double> exact = CallgrindBranches.Load(callgrind, command[0]);
        HashSet<ulong> sources = [.. exact.Keys.Select(k => k.From)];
        Dictionary<(ulong From, ulong To), double> recorded = [];
        for (int round = 0; round < rounds; round++)
        {
            foreach (((ulong From, ulong To) key, long count) in Measure(command, new SoftwareRecorderOptions { MaxOverhead = Unthrottled }).Sink.Branches)
                if (sources.Contains(key.From))
                    recorded[key] = recorded.GetValueOrDefault(key) + count;
        }
        double exactTotal = exact.Values.Sum(), total = recorded.Values.Sum();
        Print("recorded branches", "N0", total);
        Print("fidelity", "P1", exact.Sum(e => Math.Min(e.Value / exactTotal, recorded.GetValueOrDefault(e.Key) / total)));
        FunctionNames functions = new(command[0]);
        Dictionary<string, double> exactShares = functions.Shares(exact), shares = functions.Shares(recorded);
        (string function, double share) = exactShares.MinBy(f => shares.GetValueOrDefault(f.Key) - f.Value);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"worst: `{function}` {shares.GetValueOrDefault(function):P1} for {share:P1}"));
        (string thin, double exactly) = exactShares.Where(f => f.Value >= 0.005).MinBy(f => shares.GetValueOrDefault(f.Key) / f.Value);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"thinnest: `{thin}` {shares.GetValueOrDefault(thin):P2} for {exactly:P2}"));
    }

    /// <summary>The share of bursts that an instruction ended which is not interpreted.</summary>
    private static void Coverage(string[] command)
    {
        Measured measured = Measure(command, new SoftwareRecorderOptions { MaxOverhead = Unthrottled });
        const string Reason = "not interpreted: ";
        KeyValuePair<string, ulong>[] ended = [.. measured.Sink.Losses.ByReason.Where(l => l.Key.Contains(Reason, StringComparison.Ordinal))];
        Print("bursts", "N0", measured.Bursts);
        Print("not interpreted", "P2", ended.Sum(l => (double)l.Value) / Math.Max(measured.Bursts, 1));
        foreach ((string reason, ulong count) in ended)
            Console.WriteLine($"by {reason[(reason.IndexOf(Reason, StringComparison.Ordinal) + Reason.Length)..]}: {count}");
    }

    private sealed record Measured(double Seconds, double Stopped, double BranchesPerSecond, double Bursts, BranchCounter Sink);

    private static Measured Measure(string[] command, SoftwareRecorderOptions? options)
    {
        HeldCommand held = HeldCommand.Start(["sh", "-c", "exec \"$@\" >/dev/null 2>&1", "sh", .. command]);
        long begin = 0;
        void Release()
        {
            if (begin != 0)
                return;
            begin = Stopwatch.GetTimestamp();
            held.Release();
        }
        // The recorder notices some tenths of a second later that its target has ended.
        Task<long> end = Task.Factory.StartNew(
            () =>
            {
                held.Process.WaitForExit(TimeSpan.FromHours(1));
                return Stopwatch.GetTimestamp();
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        BranchCounter sink = new(Path.GetFullPath(command[0])) { Begun = Release };
        RecorderStatistics statistics = new(0, 0, TimeSpan.Zero);
        if (options is null)
            Release();
        else
        {
            using SoftwareRecorder recorder = new(new ProcessTreeTargets([held.Process.Id]), options);
            recorder.Run(sink, CancellationToken.None);
            statistics = recorder.Statistics;
        }
        double seconds = Stopwatch.GetElapsedTime(begin, end.Result).TotalSeconds;
        if (held.Process.ExitCode != 0)
            throw new InvalidOperationException($"{string.Join(' ', command)} ended with exit code {held.Process.ExitCode}");
        return new(seconds, statistics.TargetStoppedTime.TotalSeconds / seconds, statistics.Branches / seconds, statistics.Bursts, sink);
    }

    private static void Print(string name, string format, double value) =>
        Console.WriteLine($"{name}: {value.ToString(format, CultureInfo.InvariantCulture)}");

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }
}
