using System.Diagnostics;
using System.Globalization;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Recording.Prerequisites;

/// <summary>Whether ptrace works here, found out by stopping processes made for that and letting them run on.</summary>
internal static class PtraceTrial
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Tries a child of this process.</summary>
    /// <returns>Null when it works; else why not.</returns>
    public static string? OnChild()
    {
        LaunchedProcess child = LaunchedProcess.Start(["/bin/sleep", "60"]);
        try
        {
            return Try(child.Id, isOurChild: true);
        }
        finally
        {
            child.Signal(Syscalls.SIGKILL);
            _ = child.WaitForExit(Patience);
        }
    }

    /// <summary>Tries a process of the same user that is no descendant, which Yama's ptrace_scope tells apart.</summary>
    /// <returns>Null when it works; else why not.</returns>
    public static string? OnStranger()
    {
        // The shell ends at once, which leaves its child to init.
        using Process shell = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", "sleep 60 >/dev/null 2>&1 & echo $!"]) { RedirectStandardOutput = true })!;
        int stranger = int.Parse(shell.StandardOutput.ReadToEnd(), CultureInfo.InvariantCulture);
        shell.WaitForExit();
        try
        {
            return Try(stranger, isOurChild: false);
        }
        finally
        {
            _ = Syscalls.kill(stranger, Syscalls.SIGKILL);
        }
    }

    /// <summary>On a thread of its own: when that ends, the kernel lets go of whatever it still traces.</summary>
    private static string? Try(int processId, bool isOurChild)
    {
        string? failure = "the stop did not come";
        Thread tracer = new(() =>
        {
            TracedThread? traced = TracedThread.Seize(processId, processId, isOurChild, out int error);
            if (traced is null)
            {
                failure = Syscalls.Describe(error);
                return;
            }
            if (!traced.Interrupt() || traced.Wait(Patience) != WaitResult.Stopped)
                return;
            failure = traced.ReadRegisters(out _) || System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture != System.Runtime.InteropServices.Architecture.X64
                ? null : "registers cannot be read";
            traced.Detach();
        });
        tracer.Start();
        tracer.Join();
        return failure;
    }
}
