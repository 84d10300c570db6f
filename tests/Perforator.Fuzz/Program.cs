using Perforator.Fuzz;

// run FOLDER TESTDATA MINUTES SEED | worker TARGET FOLDER SEED FROM PROGRESS | replay TARGET FILE
switch (args)
{
    case ["run", string folder, string testData, string minutes, string seed]:
        FuzzSeeds.Write(Path.Combine(folder, "seeds"), testData);
        FuzzRun run = new(folder, int.Parse(seed));
        FuzzTarget[] targets = [.. FuzzTarget.All.Where(target => Directory.Exists(Path.Combine(folder, "seeds", target.Name)))];
        TimeSpan each = TimeSpan.FromMinutes(double.Parse(minutes)) / targets.Length;
        foreach (FuzzTarget target in targets)
            Console.WriteLine($"{target.Name}: {run.Run(target, each)} inputs");
        Console.WriteLine($"seed {seed}: {run.Failures} failures");
        return run.Failures == 0 ? 0 : 1;

    case ["worker", string name, string folder, string seed, string from, string progress]:
        return FuzzWorker.Run(
            FuzzTarget.All.Single(target => target.Name == name), Path.Combine(folder, "seeds", name), int.Parse(seed), long.Parse(from),
            progress);

    case ["replay", string name, string file]:
        string? failure = FuzzWorker.Try(FuzzTarget.All.Single(target => target.Name == name), File.ReadAllBytes(file));
        Console.WriteLine(failure ?? "read, or refused as malformed");
        return failure is null ? 0 : 1;

    default:
        Console.Error.WriteLine("run it by eng/fuzz [minutes] [seed], or eng/fuzz replay TARGET FILE");
        return 2;
}
