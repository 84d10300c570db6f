using System.Globalization;
using Perforator.Branches;

namespace Perforator.Benchmarks;

/// <summary>
/// What the software recorder gives and costs, on programs that do a fixed amount of work. eng/bench recorder calls it and makes a table
/// of the <c>name: value</c> lines that it prints:
/// <c>recorder cost ROUNDS PROGRAM [ARGUMENT…]</c>, <c>recorder fidelity CALLGRIND-FILE ROUNDS MAX-OVERHEAD PROGRAM [ARGUMENT…]</c> or
/// <c>recorder coverage PROGRAM [ARGUMENT…]</c>.
/// </summary>
internal static class RecorderMeasurement
{
    private static readonly string[] Unthrottled = ["--max-overhead", "100%"];

    public static int Run(string[] arguments)
    {
        try
        {
            switch (arguments)
            {
                case ["cost", string rounds, .. string[] command]:
                    Cost(int.Parse(rounds, CultureInfo.InvariantCulture), command);
                    return 0;
                case ["fidelity", string callgrind, string rounds, string bound, .. string[] command]:
                    Fidelity(callgrind, int.Parse(rounds, CultureInfo.InvariantCulture), bound, command);
                    return 0;
                case ["coverage", .. string[] command]:
                    Coverage(command);
                    return 0;
                default:
                    Console.Error.WriteLine("recorder: cost, fidelity or coverage");
                    return 2;
            }
        }
        catch (InvalidOperationException e)
        {
            // Caught, or .NET would not dispose of what is under way: programs held stopped.
            Console.Error.WriteLine($"recorder: {e.Message}");
            return 1;
        }
    }

    /// <summary>
    /// Rate and slowdown at several bounds, by the program that people use and at the program's own pace, next to a copy that is not
    /// recorded. Another that is not recorded either ("again") tells what such a comparison is worth.
    /// </summary>
    private static void Cost(int rounds, string[] command)
    {
        (string Name, string[]? Bound)[] bounds =
            [("default", []), ("1%", ["--max-overhead", "1%"]), ("unthrottled", Unthrottled), ("again", null)];
        List<double> alone = [];
        Dictionary<string, List<RecordedRun>> runs = bounds.ToDictionary(b => b.Name, _ => new List<RecordedRun>());
        for (int round = 0; round < rounds; round++)
        {
            RecordedRun[] taken = TurnTaking.Run([null, .. bounds.Select(b => b.Bound)], command, round);
            alone.Add(taken[0].Seconds);
            for (int i = 0; i < bounds.Length; i++)
                runs[bounds[i].Name].Add(taken[i + 1]);
        }
        Print("seconds", "F2", Median(alone));
        foreach ((string name, List<RecordedRun> recorded) in runs)
            Console.WriteLine($"{name} slowdown: {Percentage([.. recorded.Select((r, i) => (r.Seconds / alone[i]) - 1)])}");
        foreach ((string name, string[]? bound) in bounds)
        {
            if (bound is null)
                continue;
            Print($"{name} rate", "N0", Median(runs[name].Select(r => r.Branches / r.Seconds)));
            Print($"{name} stopped", "P1", Median(runs[name].Select(r => r.Stopped / r.Seconds)));
            Print($"{name} computed", "P1", Median(runs[name].Select(r => r.Computed / r.Seconds)));
        }
    }

    /// <summary>The median, with the standard error of the mean.</summary>
    private static string Percentage(List<double> shares)
    {
        double mean = shares.Average(), error = Math.Sqrt(
            shares.Sum(s => (s - mean) * (s - mean)) / Math.Max(1, shares.Count - 1) / shares.Count);
        return string.Create(CultureInfo.InvariantCulture, $"{Median(shares):P1}{(shares.Count > 1 ? $" ± {100 * error:F1}" : "")}");
    }

    /// <summary>The sum over branches of the smaller of the recorded and the exact share, and the function that came off worst.</summary>
    private static void Fidelity(string callgrind, int rounds, string bound, string[] command)
    {
        Dictionary<(ulong From, ulong To), double> exact = CallgrindBranches.Load(callgrind, command[0]);
        HashSet<ulong> sources = [.. exact.Keys.Select(k => k.From)];
        Dictionary<(ulong From, ulong To), double> recorded = [], even = [], odd = [];
        string path = Path.GetFullPath(command[0]);
        double moments = 0;
        for (int round = 0; round < rounds; round++)
        {
            RecordedRun run = RecordedRun.Record(["--max-overhead", bound], command);
            moments += run.Moments;
            foreach (PairCount branch in Of(run.Profiles, path).Branches.Sorted())
            {
                (ulong From, ulong To) key = (branch.First.Value, branch.Second.Value);
                if (!sources.Contains(key.From) || branch.Second == BinaryAddress.External)
                    continue;
                foreach (Dictionary<(ulong From, ulong To), double> counts in new[] { recorded, round % 2 == 0 ? even : odd })
                    counts[key] = counts.GetValueOrDefault(key) + branch.Count;
            }
        }
        Print("recorded branches", "N0", recorded.Values.Sum());
        Print("moments", "N0", moments);
        Print("fidelity", "P1", Overlap(exact, recorded));
        // What chance makes of fewer samples: if each half of the rounds were exact, they would be equal.
        Print("halves", "P1", Overlap(even, odd));
        FunctionNames functions = new(command[0]);
        Dictionary<string, double> exactShares = functions.Shares(exact), shares = functions.Shares(recorded);
        (string function, double share) = exactShares.MinBy(f => shares.GetValueOrDefault(f.Key) - f.Value);
        Console.WriteLine(
            string.Create(CultureInfo.InvariantCulture, $"worst: `{function}` {shares.GetValueOrDefault(function):P1} for {share:P1}"));
        (string thin, double exactly) = exactShares.Where(f => f.Value >= 0.005).MinBy(f => shares.GetValueOrDefault(f.Key) / f.Value);
        Console.WriteLine(
            string.Create(CultureInfo.InvariantCulture, $"thinnest: `{thin}` {shares.GetValueOrDefault(thin):P2} for {exactly:P2}"));
    }

    private static BranchProfile Of(BranchProfileSet profiles, string path) => profiles.Profiles.Values.FirstOrDefault(p => p.Path == path)
        ?? throw new InvalidOperationException(
            $"nothing was recorded of {path}, but of {string.Join(", ", profiles.Profiles.Values.Select(p => p.Path))}");

    private static double Overlap(Dictionary<(ulong From, ulong To), double> one, Dictionary<(ulong From, ulong To), double> other)
    {
        double total = one.Values.Sum(), otherTotal = other.Values.Sum();
        return one.Sum(e => Math.Min(e.Value / total, other.GetValueOrDefault(e.Key) / otherTotal));
    }

    /// <summary>The share of moments whose stack an instruction ended which is not interpreted.</summary>
    private static void Coverage(string[] command)
    {
        const string Reason = "not interpreted: ";
        RecordedRun run = RecordedRun.Record(Unthrottled, command);
        KeyValuePair<string, ulong>[] ended =
            [.. run.Profiles.Losses.ByReason.Where(l => l.Key.Contains(Reason, StringComparison.Ordinal))];
        Print("moments for coverage", "N0", run.Moments);
        Print("not interpreted", "P2", ended.Sum(l => (double)l.Value) / Math.Max(run.Moments, 1));
        foreach ((string reason, ulong count) in ended)
            Console.WriteLine($"by {reason[(reason.IndexOf(Reason, StringComparison.Ordinal) + Reason.Length)..]}: {count}");
    }

    private static void Print(string name, string format, double value) =>
        Console.WriteLine($"{name}: {value.ToString(format, CultureInfo.InvariantCulture)}");

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }
}
