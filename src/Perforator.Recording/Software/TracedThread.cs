using System.Diagnostics;
using System.Runtime.InteropServices;
using Perforator.PerfData;
using Perforator.Recording.PerfEvents;
using Perforator.Recording.Processes;
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
/// One thread from PTRACE_SEIZE, which it does not feel, to PTRACE_DETACH. It is stopped by nothing but the delivery of a signal that an
/// event of its own sends it in user mode, so never within a system call, and the signal is swallowed.
/// </summary>
/// <remarks>
/// All calls must come from one OS thread, as ptrace is per tracer thread; when that ends, however it ends, the kernel lets every thread it
/// traced run on and wakes none.
/// </remarks>
internal sealed class TracedThread : IDisposable
{
    /// <summary>
    /// Nanoseconds of its CPU time from when a thread is seized to its stop, at random, so that a thread that has slept meanwhile is not
    /// always met where it woke.
    /// </summary>
    private const int ShortestDelay = 10_000, LongestDelay = 60_000;

    /// <summary>So long this thread gives its CPU to others but does not sleep, as a stop mostly comes within.</summary>
    private static readonly TimeSpan Eagerness = TimeSpan.FromMicroseconds(150);

    private static readonly TimeSpan Nap = TimeSpan.FromMicroseconds(20);

    /// <summary>
    /// How long a thread is waited for that wants a CPU and gets none, and how often is looked: where dozens share a CPU each runs but some
    /// ten times a second, and a moment that is given up for that is lost to what runs on such hosts.
    /// </summary>
    private static readonly TimeSpan Queueing = TimeSpan.FromMilliseconds(150), QueueingNap = TimeSpan.FromMilliseconds(0.5);

    private readonly bool isOurChild;
    private readonly int signal;
    private PerfEvent? alarm;

    private TracedThread(int threadId, bool isOurChild, int signal, PerfEvent? alarm)
    {
        ThreadId = threadId;
        this.isOurChild = isOurChild;
        this.signal = signal;
        this.alarm = alarm;
    }

    public int ThreadId { get; }

    /// <summary>The signal of the last stop (SIGTRAP | 0x80 for a system-call stop).</summary>
    public int StopSignal { get; private set; }

    /// <summary>The PTRACE_EVENT_ number of the last stop, 0 for signal-delivery and system-call stops.</summary>
    public int StopEvent { get; private set; }

    /// <summary>Whether the last stop is one of PTRACE_SYSCALL's.</summary>
    public bool IsSystemCallStop => StopEvent == 0 && StopSignal == (SIGTRAP | 0x80);

    /// <summary>Begins to trace a thread, which runs on, and has it met in user mode soon.</summary>
    /// <param name="isOurChild">The process was started by this process, whose parent-side wait must still find its exit status.</param>
    /// <param name="signal">One that changes nothing: <see cref="QuietSignal"/>.</param>
    /// <param name="error">The errno when the result is null.</param>
    public static TracedThread? Seize(int processId, int threadId, bool isOurChild, int signal, out int error)
    {
        PerfEvent? alarm = PerfEvent.TryOpen(
            LinuxKernel.Instance,
            new PerfEventAttributes
            {
                Type = PerfEventAttributes.PERF_TYPE_SOFTWARE,
                Config = PerfEventAttributes.PERF_COUNT_SW_CPU_CLOCK,
                SamplePeriod = (ulong)Random.Shared.Next(ShortestDelay, LongestDelay),
                Flags = PerfAttributeFlags.Disabled | PerfAttributeFlags.ExcludeKernel | PerfAttributeFlags.ExcludeHypervisor,
                WakeUp = 1,
            },
            threadId, -1, out error);
        if (alarm is null)
            return null;
        error = SendSignal(alarm.Fd, signal, threadId) && ptrace(PTRACE_SEIZE, threadId, 0, PTRACE_O_TRACESYSGOOD) == 0
            ? 0 : Marshal.GetLastPInvokeError();
        if (error != 0)
        {
            alarm.Dispose();
            return null;
        }
        TracedThread thread = new(threadId, isOurChild && processId == threadId, signal, alarm);
        _ = Ioctl(alarm.Fd, PERF_EVENT_IOC_REFRESH, 1);
        return thread;
    }

    /// <summary>Waits for the stop that <see cref="Seize"/> has asked for.</summary>
    /// <param name="patience">While it sleeps, as long; it is waited for longer while it waits for a CPU.</param>
    /// <param name="needsThisCpu">Whether the thread can only run while this one sleeps.</param>
    public WaitResult Meet(TimeSpan patience, bool needsThisCpu)
    {
        WaitResult result = Wait(patience, needsThisCpu, Queueing);
        Disarm();
        IsMet = result == WaitResult.Stopped && StopEvent == 0 && StopSignal == signal && IsOfEvent();
        return result;
    }

    /// <summary>Whether the thread stands where it was asked to, and not for a signal of its own.</summary>
    public bool IsMet { get; private set; }

    /// <summary>Lets the stopped thread run to the next system-call stop; the signal that it was met with is swallowed.</summary>
    public bool RunToSystemCall()
    {
        IsMet = false;
        return ptrace(PTRACE_SYSCALL, ThreadId, 0, 0) == 0;
    }

    /// <summary>
    /// Ends tracing of the stopped thread, which runs on; a signal of the program's own that it stopped for is delivered.
    /// </summary>
    /// <returns>
    /// False when the thread is not stopped any more: it is being killed, and is still traced. Then this OS thread is to end soon, since
    /// neither the thread's process can end nor another thread of it execute a program before (ptrace(2), "Death under ptrace").
    /// </returns>
    public bool Detach()
    {
        bool isOthers = StopEvent == 0 && !IsSystemCallStop && !IsMet;
        return ptrace(PTRACE_DETACH, ThreadId, 0, isOthers ? StopSignal : 0) == 0;
    }

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

    /// <summary>Waits for the next stop: first eagerly, then with short sleeps.</summary>
    /// <param name="queueing">So long at least, while the thread waits for a CPU.</param>
    public WaitResult Wait(TimeSpan patience, bool needsThisCpu, TimeSpan queueing = default)
    {
        long begin = Stopwatch.GetTimestamp();
        for (bool isLast = false; ;)
        {
            WaitResult result = Poll();
            if (result != WaitResult.StillRunning || isLast)
                return result;
            TimeSpan waited = Stopwatch.GetElapsedTime(begin);
            if (waited >= patience)
            {
                if (waited >= queueing)
                    return WaitResult.StillRunning;
                // Not running may mean that it has just stopped.
                isLast = ProcessIdentity.StateOf(ThreadId) != 'R';
                if (!isLast)
                    Sleep(QueueingNap);
            }
            else if (needsThisCpu || waited >= Eagerness)
                Sleep(Nap);
            else
                _ = sched_yield();
        }
    }

    public void Dispose() => Disarm();

    private void Disarm()
    {
        alarm?.Dispose();
        alarm = null;
    }

    private unsafe bool IsOfEvent()
    {
        ChildSignalInfo info;
        // si_code: POLL_IN … POLL_HUP of a file descriptor are positive; kill and tgkill are not.
        return ptrace(PTRACE_GETSIGINFO, ThreadId, 0, (nint)(&info)) == 0 && info.Code > 0;
    }

    private unsafe int ReadRegisterSet(int note, void* buffer, int length)
    {
        IoVector vector = new() { Base = (nint)buffer, Length = length };
        return ptrace(PTRACE_GETREGSET, ThreadId, note, (nint)(&vector)) == 0 ? (int)vector.Length : 0;
    }

    /// <summary>Looks for the next stop without waiting.</summary>
    private unsafe WaitResult Poll()
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
