using System.Collections;
using System.Runtime.InteropServices;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Processes;

/// <summary>
/// A command started to be recorded; it inherits the standard streams and the working folder. A process that is recorded must not be
/// started by <see cref="System.Diagnostics.Process"/>: that takes any report of waitpid(2) on its child for the child's exit, and the
/// stops of a traced child are such reports.
/// </summary>
public sealed class LaunchedProcess
{
    /// <summary>
    /// What processes are started through that are to do more than one program does; an image made for one may have none.
    /// </summary>
    internal const string Shell = "/bin/sh";

    private readonly Lock gate = new();
    private int? exitCode;

    private LaunchedProcess(int id) => Id = id;

    /// <summary>The process id.</summary>
    public int Id { get; }

    /// <summary>The exit status, or 128 plus the number of the signal that ended it; null while it runs.</summary>
    public unsafe int? ExitCode
    {
        get
        {
            lock (gate)
            {
                if (exitCode is not null)
                    return exitCode;
                ChildSignalInfo info = default;
                // Looks before it takes: any thread's wait also finds the stops that a tracing thread of this process waits for.
                if (waitid(P_PID, Id, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.Pid == Id
                    && info.Code is CLD_EXITED or CLD_KILLED or CLD_DUMPED)
                {
                    exitCode = info.Code == CLD_EXITED ? info.Status : 128 + info.Status;
                    _ = waitid(P_PID, Id, &info, WEXITED | WNOHANG);
                }
                return exitCode;
            }
        }
    }

    /// <summary>Starts a command, looked up in PATH, with this process's environment and all signals at their defaults.</summary>
    /// <exception cref="UserErrorException">It cannot be started.</exception>
    public static unsafe LaunchedProcess Start(IReadOnlyList<string> command)
    {
        List<string> environment = [];
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
            environment.Add($"{variable.Key}={variable.Value}");
        using StringVector arguments = new(command), variables = new(environment);
        byte* attributes = stackalloc byte[SpawnAttributesSize];
        byte* signals = stackalloc byte[SignalSetSize];
        _ = posix_spawnattr_init(attributes);
        // .NET ignores SIGPIPE, which the command would inherit.
        _ = sigfillset(signals);
        _ = posix_spawnattr_setsigdefault(attributes, signals);
        _ = sigemptyset(signals);
        _ = posix_spawnattr_setsigmask(attributes, signals);
        _ = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
        int id;
        int error = posix_spawnp(&id, arguments.Pointer[0], null, attributes, arguments.Pointer, variables.Pointer);
        _ = posix_spawnattr_destroy(attributes);
        if (error != 0)
            throw new UserErrorException($"cannot start {command[0]}: {Marshal.GetPInvokeErrorMessage(error)}");
        return new LaunchedProcess(id);
    }

    /// <summary>Waits for the end of the process.</summary>
    /// <returns>The exit code, or null when <paramref name="patience"/> ran out first.</returns>
    public int? WaitForExit(TimeSpan patience)
    {
        long begin = System.Diagnostics.Stopwatch.GetTimestamp();
        while (ExitCode is null && System.Diagnostics.Stopwatch.GetElapsedTime(begin) < patience)
            Thread.Sleep(5);
        return ExitCode;
    }

    /// <summary>
    /// Completes when the process has ended. The kernel says when (pidfd, since Linux 5.3), so that waiting takes no CPU time from what is
    /// recorded.
    /// </summary>
    public Task WaitForExitAsync() => Task.Factory.StartNew(
        () =>
        {
            int fd = Syscalls.PidfdOpen(Id);
            if (fd >= 0)
            {
                while (Poll([new PollFd { Fd = fd, Events = POLLIN }], 1, -1) < 0 && Marshal.GetLastPInvokeError() == EINTR)
                {
                }
                _ = Close(fd);
            }
            _ = WaitForExit(TimeSpan.MaxValue);
        },
        CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>Sends a signal, unless the process has ended.</summary>
    public void Signal(int signal)
    {
        if (ExitCode is null)
            _ = kill(Id, signal);
    }

    /// <summary>A null-terminated array of null-terminated UTF-8 strings.</summary>
    private sealed unsafe class StringVector : IDisposable
    {
        private readonly int count;

        public StringVector(IReadOnlyList<string> strings)
        {
            count = strings.Count;
            Pointer = (byte**)NativeMemory.AllocZeroed((nuint)count + 1, (nuint)sizeof(byte*));
            for (int i = 0; i < count; i++)
                Pointer[i] = (byte*)Marshal.StringToCoTaskMemUTF8(strings[i]);
        }

        public byte** Pointer { get; }

        public void Dispose()
        {
            for (int i = 0; i < count; i++)
                Marshal.FreeCoTaskMem((nint)Pointer[i]);
            NativeMemory.Free(Pointer);
        }
    }
}
