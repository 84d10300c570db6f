using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

namespace Perforator.Recording.Prerequisites;

/// <summary>
/// Whether ptrace works here, found out by meeting processes made for that, as the software recorder does, and letting them run on.
/// </summary>
internal static class PtraceTrial
{
    /// <summary>Runs in user mode for some seconds at most, should nobody end it.</summary>
    private const string Busy = "i=0; while [ $i -lt 3000000 ]; do i=$((i+1)); done";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Whether there is what these processes are made with; an image made for one program may have no shell.</summary>
    public static bool IsPossible => File.Exists(LaunchedProcess.Shell);

    /// <summary>Tries a child of this process.</summary>
    /// <returns>Null when it works; else why not.</returns>
    public static string? OnChild()
    {
        LaunchedProcess child = LaunchedProcess.Start([LaunchedProcess.Shell, "-c", Busy]);
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
        using Process shell =
            Process.Start(
                new ProcessStartInfo(LaunchedProcess.Shell, ["-c", $"({Busy}) >/dev/null 2>&1 & echo $!"])
                {
                    RedirectStandardOutput = true,
                })!;
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

    private static string? Try(int processId, bool isOurChild)
    {
        string? failure = null;
        SoftwareRecorder.OnThreadOfItsOwn(() => failure = Meet(processId, isOurChild));
        return failure;
    }

    private static string? Meet(int processId, bool isOurChild)
    {
        int signal = QuietSignal.Of(File.ReadAllBytes($"/proc/{processId}/status"));
        using TracedThread? traced = signal == 0 ? null : TracedThread.Seize(processId, processId, isOurChild, signal, out int error);
        if (traced is null)
            return signal == 0 ? "no signal may be sent to it" : Syscalls.Describe(Marshal.GetLastPInvokeError());
        if (traced.Meet(Patience, needsThisCpu: true) != WaitResult.Stopped || !traced.IsMet)
            return "the stop did not come";
        bool isRead = traced.ReadRegisters(out _) || RuntimeInformation.ProcessArchitecture != Architecture.X64;
        _ = traced.Detach();
        return isRead ? null : "registers cannot be read";
    }
}
