using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Perforator.Tests.Infrastructure;

/// <summary>What a finished program left: its exit code and both outputs.</summary>
internal sealed record ToolResult(int ExitCode, string Output, string Error)
{
    /// <summary>The result of a program that must have succeeded.</summary>
    public ToolResult Succeeded()
    {
        Assert.True(ExitCode == 0, $"exit code {ExitCode}\n{Output}\n{Error}");
        return this;
    }
}

/// <summary>Runs real programs: compilers, LLVM's tools, perf, and the published CLI.</summary>
internal static class Tool
{
    /// <summary>Where eng/build published the CLI.</summary>
    public static string Perforator { get; } =
        Environment.GetEnvironmentVariable("PERFORATOR_CLI") ?? Path.Combine(RepositoryRoot(), "artifacts", "perforator", "perforator");

    /// <summary>The repository's top folder.</summary>
    public static string RepositoryRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "Perforator.slnx")))
                return folder.FullName;
        throw new InvalidOperationException($"no Perforator.slnx above {AppContext.BaseDirectory}");
    }

    /// <summary>Skips the calling test (which must be a SkippableFact) when this machine lacks a program that eng/setup installs.</summary>
    public static void Require(string program) => Skip.If(Find(program) is null, $"{program} is not installed; eng/setup installs it");

    /// <summary>A port of loopback that was free a moment ago, for a server that has to be told one.</summary>
    public static int FreePort()
    {
        using TcpListener free = new(IPAddress.Loopback, 0);
        free.Start();
        return ((IPEndPoint)free.LocalEndpoint).Port;
    }

    /// <summary>Runs a program to its end; it is killed, and the test fails, after the time limit.</summary>
    public static ToolResult Run(string program, IEnumerable<string> arguments, string? input = null, string? folder = null,
        IReadOnlyDictionary<string, string>? environment = null, int timeoutSeconds = 180)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder ?? "",
        };
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (input is not null)
            process.StandardInput.Write(input);
        process.StandardInput.Close();
        if (!process.WaitForExit(TimeSpan.FromSeconds(timeoutSeconds)))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{program} {string.Join(' ', start.ArgumentList)} did not end within {timeoutSeconds} s");
        }
        return new ToolResult(process.ExitCode, output.GetAwaiter().GetResult(), error.GetAwaiter().GetResult());
    }

    /// <summary>Runs the published CLI.</summary>
    public static ToolResult Cli(params string[] arguments) => Run(Perforator, arguments);

    /// <summary>The full path of a program on PATH, or null.</summary>
    public static string? Find(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Select(folder => Path.Combine(folder, program))
            .FirstOrDefault(File.Exists);
}
