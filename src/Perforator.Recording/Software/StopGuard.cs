using System.Runtime.InteropServices;
using Iced.Intel;
using Perforator.Recording.Interpreter;
using static Iced.Intel.AssemblerRegisters;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Lets go of a thread that has stood still for too long whatever this process is busy with, be it a collection of garbage: a timer of the
/// kernel's sends the tracing OS thread a signal, whose handler is a few instructions of native code that know nothing of the .NET runtime.
/// </summary>
internal sealed unsafe class StopGuard : IDisposable
{
    /// <summary>
    /// While a thread is waited for, it may have stopped unseen: so often it is let go if it has. Far longer than a stop takes to be seen.
    /// </summary>
    private static readonly TimeSpan WhileWaiting = TimeSpan.FromMilliseconds(10);

    /// <summary>None that .NET uses.</summary>
    private const int Signal = 41;

    private readonly ExecutableMemory memory = new(Environment.SystemPageSize);
    /// <summary>The thread that is held, the ptrace request that lets it go, the signal it is met with, and room for a siginfo_t.</summary>
    private readonly long* held = (long*)NativeMemory.AllocZeroed(Request.Length);
    private readonly TimeSpan longest;
    private readonly nint handler;
    private nint timer;

    private static class Request
    {
        public const int Thread = 0, Number = 8, Signal = 16, Info = 32, Length = Info + 128;
    }

    /// <param name="longest">How long a thread may stand still once that was seen.</param>
    public StopGuard(TimeSpan longest)
    {
        this.longest = longest;
        handler = memory.Write(0, Handler((ulong)held));
    }

    /// <summary>Whether the thread was not let go by the guard.</summary>
    public bool IsHeld => Volatile.Read(ref held[0]) != 0;

    /// <summary>
    /// Guards what the calling OS thread traces, until <see cref="Leave"/>; there is one such thread in a process at a time.
    /// </summary>
    public void Enter()
    {
        SetHandler(handler);
        timer = CreateThreadTimer(Signal, gettid());
    }

    public void Leave()
    {
        _ = timer_delete(timer);
        SetHandler(SIG_IGN);
    }

    /// <summary>A thread is about to stop.</summary>
    /// <param name="request">What lets it go then: PTRACE_DETACH, or PTRACE_CONT at the entry of a system call.</param>
    /// <param name="signal">The signal it is to be met with, while any other must reach it; 0 where it stops for none.</param>
    public void Await(int threadId, int request, int signal = 0)
    {
        (held[0], held[1], held[2]) = (threadId, request, signal);
        SetTimer(timer, WhileWaiting, WhileWaiting);
    }

    /// <summary>The thread was seen to stand still.</summary>
    public void Stands() => SetTimer(timer, longest, WhileWaiting);

    /// <summary>The thread is about to be let go.</summary>
    /// <returns>False when it was already.</returns>
    public bool Release()
    {
        bool isHeld = Interlocked.Exchange(ref held[0], 0) != 0;
        SetTimer(timer, TimeSpan.Zero, TimeSpan.Zero);
        return isHeld;
    }

    public void Dispose()
    {
        memory.Dispose();
        NativeMemory.Free(held);
    }

    private static void SetHandler(nint handler)
    {
        SignalAction action = new() { Handler = handler, Flags = SA_RESTART };
        _ = sigaction(Signal, &action, null);
    }

    /// <summary>
    /// A thread that stands for a signal of its own gets it; errors, as of a thread that does not stand, are nobody's business.
    /// </summary>
    private static byte[] Handler(ulong held)
    {
        Assembler code = new(64);
        Label letGo = code.CreateLabel(), end = code.CreateLabel();
        code.mov(r8, held);
        code.mov(rsi, __[r8 + Request.Thread]);
        code.test(rsi, rsi);
        code.jz(end);
        code.xor(r10d, r10d);
        code.cmp(__qword_ptr[r8 + Request.Signal], 0);
        code.je(letGo);
        code.mov(edi, PTRACE_GETSIGINFO);
        code.xor(edx, edx);
        code.lea(r10, __[r8 + Request.Info]);
        code.mov(eax, SYS_ptrace);
        code.syscall();
        code.xor(r10d, r10d);
        code.test(rax, rax);
        code.jnz(letGo);
        // si_signo and si_code: the alarm's is positive.
        code.mov(r10d, __[r8 + Request.Info]);
        code.cmp(r10, __[r8 + Request.Signal]);
        code.jne(letGo);
        code.cmp(__dword_ptr[r8 + Request.Info + 8], 0);
        code.jle(letGo);
        code.xor(r10d, r10d);
        code.Label(ref letGo);
        code.mov(rdi, __[r8 + Request.Number]);
        code.xor(edx, edx);
        code.mov(eax, SYS_ptrace);
        code.syscall();
        code.test(rax, rax);
        code.jnz(end);
        code.mov(__qword_ptr[r8 + Request.Thread], 0);
        code.Label(ref end);
        code.ret();
        using MemoryStream bytes = new();
        code.Assemble(new StreamCodeWriter(bytes), 0);
        return bytes.ToArray();
    }
}
