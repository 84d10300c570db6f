using System.Diagnostics;
using System.Runtime.InteropServices;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>What a wait for a traced thread brought.</summary>
internal enum WaitResult
{
    /// <summary>Nothing yet: the thread still runs, or sleeps in the kernel.</summary>
    StillRunning,

    /// <summary>The thread is stopped; see <see cref="TracedThread.StopSignal"/> and <see cref="TracedThread.StopEvent"/>.</summary>
    Stopped,

    /// <summary>The thread has ended or was never ours.</summary>
    Gone,
}

/// <summary>
/// One thread between PTRACE_SEIZE and PTRACE_DETACH. All calls must come from one OS thread, since ptrace is per tracer thread;
/// when that thread ends, however it ends, the kernel lets every thread it traced run on.
/// </summary>
internal sealed class TracedThread
{
    private static readonly TimeSpan Eagerness = TimeSpan.FromMicroseconds(100);

    private readonly bool isOurChild;

    private TracedThread(int processId, int threadId, bool isOurChild)
    {
        ProcessId = processId;
        ThreadId = threadId;
        this.isOurChild = isOurChild;
    }

    public int ProcessId { get; }

    public int ThreadId { get; }

    /// <summary>The signal of the last stop (SIGTRAP | 0x80 for a system-call stop).</summary>
    public int StopSignal { get; private set; }

    /// <summary>The PTRACE_EVENT_ number of the last stop, 0 for signal-delivery and system-call stops.</summary>
    public int StopEvent { get; private set; }

    /// <summary>Whether the last stop delivers a signal, which the thread must then still get.</summary>
    public bool IsSignalDelivery => StopEvent == 0 && (StopSignal & 0x80) == 0;

    /// <summary>Whether the last stop is one of PTRACE_SYSCALL's.</summary>
    public bool IsSystemCallStop => StopEvent == 0 && StopSignal == (SIGTRAP | 0x80);

    /// <summary>Begins to trace a thread, which runs on meanwhile.</summary>
    /// <param name="isOurChild">The process was started by this process, whose parent-side wait must still find its exit status.</param>
    /// <param name="error">The errno when the result is null.</param>
    public static TracedThread? Seize(int processId, int threadId, bool isOurChild, out int error)
    {
        error = ptrace(PTRACE_SEIZE, threadId, 0, PTRACE_O_TRACESYSGOOD) == 0 ? 0 : Marshal.GetLastPInvokeError();
        return error == 0 ? new TracedThread(processId, threadId, isOurChild && processId == threadId) : null;
    }

    /// <summary>Asks the thread to stop; a wait then finds the stop.</summary>
    public bool Interrupt() => ptrace(PTRACE_INTERRUPT, ThreadId, 0, 0) == 0;

    /// <summary>Lets the thread run to the next system-call stop, delivering <paramref name="signal"/> if it is not 0.</summary>
    public bool RunToSystemCall(int signal = 0) => ptrace(PTRACE_SYSCALL, ThreadId, 0, signal) == 0;

    /// <summary>Ends tracing of the stopped thread, which runs on; a signal it stopped for is delivered.</summary>
    /// <returns>
    /// False when the thread is not stopped any more: it is being killed, and is still traced. Then it must be waited for until it is <see cref="WaitResult.Gone"/>, since
    /// neither its process can end nor another thread of it execute a program before (ptrace(2), "Death under ptrace").
    /// </returns>
    public bool Detach() => ptrace(PTRACE_DETACH, ThreadId, 0, IsSignalDelivery ? StopSignal : 0) == 0;

    /// <summary>Reads a register set of the stopped thread.</summary>
    /// <returns>How many bytes the kernel gave; 0 when the thread is gone.</returns>
    public unsafe int ReadRegisterSet(int note, Span<byte> buffer)
    {
        fixed (byte* bytes = buffer)
            return ReadRegisterSet(note, bytes, buffer.Length);
    }

    /// <summary>Reads the general registers of the stopped thread.</summary>
    public unsafe bool ReadRegisters(out UserRegisters registers)
    {
        fixed (UserRegisters* all = &registers)
            return ReadRegisterSet(NT_PRSTATUS, all, sizeof(UserRegisters)) == sizeof(UserRegisters);
    }

    /// <summary>
    /// Waits up to <paramref name="patience"/> for the next stop. A thread the kernel cannot stop at once (in disk sleep) must not
    /// hold up the recorder, so this polls: first eagerly, as the usual stop takes some 10 µs, then with short sleeps.
    /// </summary>
    /// <param name="patience">How long to wait at most.</param>
    /// <param name="needsThisCpu">Whether the thread can only run while this one sleeps.</param>
    public WaitResult Wait(TimeSpan patience, bool needsThisCpu = false)
    {
        long begin = Stopwatch.GetTimestamp();
        while (true)
        {
            WaitResult result = Poll();
            if (result != WaitResult.StillRunning)
                return result;
            TimeSpan waited = Stopwatch.GetElapsedTime(begin);
            if (waited >= patience)
                return WaitResult.StillRunning;
            if (waited >= Eagerness)
                Sleep(TimeSpan.FromMicroseconds(50));
            else if (needsThisCpu)
                Sleep(TimeSpan.FromMicroseconds(5));
            else
                _ = sched_yield();
        }
    }

    private unsafe int ReadRegisterSet(int note, void* buffer, int length)
    {
        IoVector vector = new() { Base = (nint)buffer, Length = length };
        return ptrace(PTRACE_GETREGSET, ThreadId, note, (nint)(&vector)) == 0 ? (int)vector.Length : 0;
    }

    /// <summary>Looks for the next stop without waiting.</summary>
    public unsafe WaitResult Poll()
    {
        ChildSignalInfo info = default;
        // A child's exit status belongs to whoever started it (System.Diagnostics.Process here): look, but leave it.
        int options = WSTOPPED | WEXITED | WNOHANG | __WALL | (isOurChild ? WNOWAIT : 0);
        if (waitid(P_PID, ThreadId, &info, options) != 0)
            return Marshal.GetLastPInvokeError() == EINTR ? WaitResult.StillRunning : WaitResult.Gone;
        if (info.Pid == 0)
            return WaitResult.StillRunning;
        if (info.Code is CLD_EXITED or CLD_KILLED or CLD_DUMPED)
            return WaitResult.Gone;
        if (isOurChild && (waitid(P_PID, ThreadId, &info, WSTOPPED | WNOHANG | __WALL) != 0 || info.Pid == 0))
            return WaitResult.StillRunning;
        StopSignal = info.Status & 0xFF;
        StopEvent = info.Status >> 8;
        return WaitResult.Stopped;
    }
}
