namespace Perforator.Tests.Infrastructure;

/// <summary>
/// The real PostgreSQL and S3 server that tests run against. <c>eng/test</c> starts them once for all tests; a run without it starts its
/// own by <c>eng/engines</c>, and ends them with the process.
/// </summary>
internal static class Engines
{
    private static readonly Lazy<Dictionary<string, string>> Addresses = new(Start);
    private static int databases;

    /// <summary>Address of a new, empty database.</summary>
    public static string NewDatabase()
    {
        string server = Addresses.Value["PERFORATOR_TEST_POSTGRES"], name = $"test_{Environment.ProcessId}_{Interlocked.Increment(ref databases)}";
        Tool.Run("psql", [server, "-q", "-c", $"CREATE DATABASE {name}"]).Succeeded();
        return server[..(server.LastIndexOf('/') + 1)] + name;
    }

    /// <summary>Address of a new, empty place for objects.</summary>
    public static string NewObjects()
    {
        // What Amazon's SDK looks for, in this process and those that it starts.
        Environment.SetEnvironmentVariable("AWS_ACCESS_KEY_ID", "PERFORATOR");
        Environment.SetEnvironmentVariable("AWS_SECRET_ACCESS_KEY", "perforator-secret");
        return $"s3://tests-{Environment.ProcessId}/{Interlocked.Increment(ref databases)}?endpoint={Addresses.Value["PERFORATOR_TEST_S3"]}";
    }

    private static Dictionary<string, string> Start()
    {
        string[] names = ["PERFORATOR_TEST_POSTGRES", "PERFORATOR_TEST_S3"];
        if (names.All(static name => Environment.GetEnvironmentVariable(name) is { Length: > 0 }))
            return names.ToDictionary(static name => name, static name => Environment.GetEnvironmentVariable(name)!);
        string script = Path.Combine(
            Tool.RepositoryRoot(), "eng",
            "engines"), folder = Path.Combine(Path.GetTempPath(), $"perforator-engines-{Environment.ProcessId}");
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Tool.Run(script, ["stop", folder]);
        return Tool.Run(script, ["start", folder]).Succeeded().Output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(static line => line.Split('=', 2)).ToDictionary(static parts => parts[0], static parts => parts[1]);
    }
}
