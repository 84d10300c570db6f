using System.Diagnostics;
using System.Globalization;
using Perforator.Recording;
using Perforator.Recording.Processes;

namespace Perforator.Benchmarks;

/// <summary>
/// Runs several copies of a program in turns of some 100 ms, each with a recorder of its own or with none, and adds up the wall time of
/// each copy's turns. A machine whose speed changes from second to second does so for all copies alike; and as one CPU may be slower than
/// another for a minute, all copies begin their turns on the same. So a slowdown of one per cent can be told where runs one after the other
/// differ by twenty.
/// </summary>
/// <remarks>
/// A recorder that is not having its turn is stopped (SIGSTOP) with its program: whatever it does, it does in its own turns.
/// </remarks>
internal sealed class TurnTaking : IDisposable
{
    private const double MeanTurnMilliseconds = 100;

    /// <summary>The shell says who it is, stops, and becomes the program when its first turn comes.</summary>
    private const string Script = "echo $$ >\"$0\"; kill -STOP $$; exec \"$@\" >/dev/null 2>&1";

    /// <summary>
    /// Longer than a recorder takes to finish with a stop, once its program is stopped; and to be there again before its program.
    /// </summary>
    private static readonly TimeSpan AfterTurn = TimeSpan.FromMilliseconds(3), BeforeTurn = TimeSpan.FromMilliseconds(0.5);

    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(30);

    private readonly List<Copy> copies = [];
    private readonly string folder = Directory.CreateTempSubdirectory("turns-").FullName;

    /// <param name="bounds">For each copy the recorder's options, or null for none.</param>
    /// <param name="command">The program; some seconds of work.</param>
    /// <param name="round">Counted from 0; the CPUs are used in rotation.</param>
    /// <returns>A run for each copy, in order; of those not recorded, only the time is known.</returns>
    public static RecordedRun[] Run(IReadOnlyList<string[]?> bounds, string[] command, int round)
    {
        using TurnTaking turns = new();
        for (int i = 0; i < bounds.Count; i++)
            turns.copies.Add(new Copy(Path.Combine(turns.folder, $"{i}"), bounds[i], command));
        turns.copies.ForEach(c => c.Begin());
        turns.TakeTurns(round);
        return [.. turns.copies.Select(c => c.End())];
    }

    public void Dispose()
    {
        copies.ForEach(c => c.Dispose());
        Directory.Delete(folder, recursive: true);
    }

    private void TakeTurns(int round)
    {
        Random random = new(round);
        int[] cpus = AllowedCpus();
        Copy[] left = [.. copies];
        while (left.Length > 0)
        {
            random.Shuffle(left);
            foreach (Copy copy in left)
                copy.TakeTurn((int)(MeanTurnMilliseconds * (0.8 + (0.4 * random.NextDouble()))), cpus[round % cpus.Length], cpus);
            left = [.. left.Where(c => !c.HasEnded)];
        }
    }

    private static unsafe int[] AllowedCpus()
    {
        ulong[] mask = new ulong[16];
        fixed (ulong* bits = mask)
            _ = Syscalls.sched_getaffinity(0, mask.Length * sizeof(ulong), bits);
        return [.. Enumerable.Range(0, mask.Length * 64).Where(cpu => (mask[cpu / 64] & (1UL << (cpu % 64))) != 0)];
    }

    private sealed class Copy(string path, string[]? bound, string[] command) : IDisposable
    {
        private readonly string identity = path + ".id", output = path + ".branches";
        private Process? process;
        private Task<string>? report;
        private int target, targetFd = -1;
        private double seconds, computed;

        public bool HasEnded { get; private set; }

        public void Begin()
        {
            string[] held = ["sh", "-c", Script, identity, .. command];
            ProcessStartInfo start =
                bound is null ? new(held[0], held[1..]) : new(RecordedRun.Cli, RecordedRun.Arguments(bound, output, held));
            (start.RedirectStandardError, start.RedirectStandardOutput) = (true, true);
            process = Process.Start(start)!;
            report = process.StandardError.ReadToEndAsync();
            long begin = Stopwatch.GetTimestamp();
            while (!File.Exists(identity) || !int.TryParse(File.ReadAllText(identity), CultureInfo.InvariantCulture, out target)
                || ProcessIdentity.StateOf(target) != 'T')
            {
                if (process.HasExited || Stopwatch.GetElapsedTime(begin) > StartPatience)
                    throw new InvalidOperationException(
                        $"{start.FileName} {string.Join(' ', start.ArgumentList)} did not come to {command[0]}: {(process.HasExited ? report.Result : "")}");
                Thread.Sleep(2);
            }
            targetFd = Syscalls.PidfdOpen(target);
            computed = -CpuSeconds();
            Pause();
        }

        /// <param name="cpu">Where the first thread is to begin; it may move from there.</param>
        /// <param name="cpus">Where it may run.</param>
        public void TakeTurn(int milliseconds, int cpu, int[] cpus)
        {
            if (bound is not null)
            {
                _ = Syscalls.kill(process!.Id, Syscalls.SIGCONT);
                Syscalls.Sleep(BeforeTurn);
            }
            Allow(cpu);
            long begin = Stopwatch.GetTimestamp();
            _ = Syscalls.kill(target, Syscalls.SIGCONT);
            Allow(cpus);
            // A child's stops and continuations are signals, which interrupt a poll.
            for (int left =
                milliseconds; left > 0 && !HasEnded; left = milliseconds - (int)Stopwatch.GetElapsedTime(begin).TotalMilliseconds)
                HasEnded = Syscalls.Poll([new Syscalls.PollFd { Fd = targetFd, Events = Syscalls.POLLIN }], 1, left) > 0;
            if (!HasEnded)
                _ = Syscalls.kill(target, Syscalls.SIGSTOP);
            seconds += Stopwatch.GetElapsedTime(begin).TotalSeconds;
            if (HasEnded)
                computed += CpuSeconds();
            else
                Pause();
        }

        public RecordedRun End()
        {
            process!.WaitForExit();
            if (process.ExitCode != 0)
                throw new InvalidOperationException(
                    $"{command[0]}{(bound is null ? "" : ", recorded,")} ended with exit code {process.ExitCode}: {report!.Result}");
            return bound is null
                ? RecordedRun.NotRecorded(seconds)
                : RecordedRun.Parse(report!.Result, output) with { Seconds = seconds, Computed = computed };
        }

        public void Dispose()
        {
            if (targetFd >= 0)
                _ = Syscalls.Close(targetFd);
            if (process is null)
                return;
            if (!process.HasExited)
            {
                if (target != 0)
                    _ = Syscalls.kill(target, Syscalls.SIGKILL);
                process.Kill();
                process.WaitForExit();
            }
            process.Dispose();
        }

        private unsafe void Allow(params int[] cpus)
        {
            ulong* mask = stackalloc ulong[16];
            foreach (int cpu in cpus)
                mask[cpu / 64] |= 1UL << (cpu % 64);
            _ = Syscalls.sched_setaffinity(target, 16 * sizeof(ulong), mask);
        }

        /// <summary>The recorder's turn ends after its program's.</summary>
        private void Pause()
        {
            if (bound is null)
                return;
            Thread.Sleep(AfterTurn);
            _ = Syscalls.kill(process!.Id, Syscalls.SIGSTOP);
        }

        /// <summary>CPU time of the recorder's own threads until now.</summary>
        private double CpuSeconds() => bound is null || process!.HasExited ? 0 : process.TotalProcessorTime.TotalSeconds;
    }
}
