using System.Diagnostics;

namespace Perforator.Fuzz;

/// <summary>Lets a worker process a target read damaged inputs for a while, saves what fails and goes on behind it.</summary>
internal sealed class FuzzRun
{
    /// <summary>One read that takes longer hangs.</summary>
    private static readonly TimeSpan HangLimit = TimeSpan.FromSeconds(30);

    private readonly string folder;
    private readonly int seed;

    /// <param name="folder">Holds seeds/ (valid inputs by target) and gets failures/.</param>
    public FuzzRun(string folder, int seed)
    {
        this.folder = folder;
        this.seed = seed;
    }

    /// <summary>Inputs that failed.</summary>
    public int Failures { get; private set; }

    /// <summary>Runs one target for a time.</summary>
    /// <returns>How many inputs were read.</returns>
    public long Run(FuzzTarget target, TimeSpan time)
    {
        string progressFile = Path.Combine(folder, $"{target.Name}.progress");
        File.WriteAllBytes(progressFile, new byte[8]);
        Stopwatch clock = Stopwatch.StartNew();
        long from = 0;
        while (clock.Elapsed < time)
        {
            (string? reason, long last) = RunWorker(target, from, progressFile, time - clock.Elapsed);
            from = last + 1;
            if (reason is not null)
                Save(target, last, reason);
        }
        File.Delete(progressFile);
        return from;
    }

    /// <summary>Runs a worker until its time is up, which is no failure, or it fails at the input it was at last.</summary>
    private (string? Reason, long Last) RunWorker(FuzzTarget target, long from, string progressFile, TimeSpan time)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["DOTNET_GCHeapHardLimit"] = "0x80000000" },
        };
        foreach (string argument in new[] { "worker", target.Name, folder, $"{seed}", $"{from}", progressFile })
            start.ArgumentList.Add(argument);
        using Process worker = Process.Start(start)!;
        Task<string> output = worker.StandardOutput.ReadToEndAsync();
        Task<string> error = worker.StandardError.ReadToEndAsync();
        Stopwatch clock = Stopwatch.StartNew(), still = Stopwatch.StartNew();
        long last = from;
        while (!worker.WaitForExit(TimeSpan.FromMilliseconds(200)))
        {
            long now = BitConverter.ToInt64(File.ReadAllBytes(progressFile));
            if (now != last)
                still.Restart();
            last = now;
            bool hangs = still.Elapsed > HangLimit;
            if (!hangs && clock.Elapsed < time)
                continue;
            worker.Kill();
            worker.WaitForExit();
            return (hangs ? $"no end after {HangLimit.TotalSeconds} s" : null, last);
        }
        last = BitConverter.ToInt64(File.ReadAllBytes(progressFile));
        return ($"exit code {worker.ExitCode}\n{output.GetAwaiter().GetResult()}\n{error.GetAwaiter().GetResult()}", last);
    }

    private void Save(FuzzTarget target, long number, string reason)
    {
        Failures++;
        string path = Path.Combine(folder, "failures", $"{target.Name}-{seed}-{number}");
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, FuzzWorker.Input(FuzzWorker.LoadValid(Path.Combine(folder, "seeds", target.Name)), seed, number));
        File.WriteAllText(path + ".txt", reason);
        Console.WriteLine($"FAILED {target.Name}, input {number} of seed {seed}, saved as {path}");
        Console.WriteLine(string.Join('\n', reason.Split('\n').Take(12)));
    }
}
