using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Perforator.Api;
using Perforator.Recording;

namespace Perforator.Tests.Infrastructure;

/// <summary>A real <c>perforator agent</c> that records as much as it can and collects twice a second; ended by SIGTERM.</summary>
internal sealed class AgentProcess : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly Process process;
    private readonly StringBuilder error = new();

    /// <summary>Under nohup, tests' programs would ignore SIGHUP too.</summary>
    public AgentProcess(params string[] arguments)
        : this(new ProcessStartInfo("env", ["--default-signal=HUP", Tool.Perforator, .. Arguments(arguments)]))
    {
    }

    /// <summary>Starts it through another program, which becomes it.</summary>
    public AgentProcess(ProcessStartInfo start)
    {
        start.RedirectStandardError = true;
        process = Process.Start(start)!;
        process.ErrorDataReceived += (_, e) =>
        {
            lock (error)
                error.AppendLine(e.Data);
        };
        process.BeginErrorReadLine();
    }

    public int Id => process.Id;

    public string Error
    {
        get
        {
            lock (error)
                return error.ToString();
        }
    }

    public static string[] Arguments(params string[] arguments) =>
        ["agent", "--source", "software", "--max-overhead", "100%", "--cpu-budget", "100%", "--interval", "0.5s", .. arguments];

    /// <summary>What the server has of a service's main build; null while it has none.</summary>
    public static BuildSummary? MainBuild(ServerProcess server, string service)
    {
        ToolResult listed = server.Cli("services", service, "--json");
        return listed.ExitCode == 0 ? JsonSerializer.Deserialize(listed.Output, ApiJson.Default.ServiceDetail)!.Builds[0] : null;
    }

    public static void WaitFor(Func<bool> condition, Func<string> otherwise)
    {
        long begin = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(begin) > Patience)
                Assert.Fail(otherwise());
            Thread.Sleep(50);
        }
    }

    public void WaitFor(string text) => WaitFor(() => Error.Contains(text, StringComparison.Ordinal), () => $"no '{text}' in\n{Error}");

    /// <summary>SIGKILL: it gets no chance to finish anything.</summary>
    public void Kill()
    {
        process.Kill();
        process.WaitForExit();
    }

    public void End()
    {
        _ = Syscalls.kill(process.Id, Syscalls.SIGTERM);
        Assert.True(process.WaitForExit(Patience), "the agent does not end");
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"exit code {process.ExitCode}\n{Error}");
    }

    public void Dispose()
    {
        if (!process.HasExited)
            End();
        process.Dispose();
    }
}
