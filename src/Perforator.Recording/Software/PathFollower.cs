using System.Diagnostics;
using Iced.Intel;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Follows a stopped thread from where it stands, without moving it: interprets its code on a copy of the memory it touches.
/// </summary>
internal sealed unsafe class PathFollower(SoftwareRecorderOptions options) : IDisposable
{
    /// <summary>SYSCALL is 0F 05.</summary>
    private const int SystemCallLength = 2;

    private readonly Cpu cpu = new();
    private readonly byte[] extended = new byte[ExtendedState.BufferSize];
    private readonly BranchEntry[] branches = new BranchEntry[options.BranchesPerPath];
    private FollowedPath path;
    private TargetProcess? of;
    private bool isUnlearnt;

    /// <summary>Shared by the block caches of all processes.</summary>
    public Translator Translator { get; } = new();

    /// <summary>The system call that the path has come to.</summary>
    public long SystemCall => (long)cpu.Register(CpuState.Rax);

    /// <summary>Where the path has come to.</summary>
    public ulong InstructionPointer => cpu.InstructionPointer;

    /// <summary>What ended the path as it is not interpreted.</summary>
    public Mnemonic NotInterpreted => cpu.NotInterpreted;

    public FollowedPath Path => path;

    /// <summary>Its branches, oldest first.</summary>
    public Span<BranchEntry> Branches => branches.AsSpan(0, path.Branches);

    /// <summary>Begins a path of a process.</summary>
    public void Begin(TargetProcess process)
    {
        (path, isUnlearnt) = (default, false);
        of = process;
        process.Pages.Begin();
    }

    /// <summary>Follows a thread on.</summary>
    /// <param name="thread">It stands still.</param>
    /// <param name="registers">Its general registers.</param>
    /// <param name="since">The <see cref="Stopwatch"/> time stamp from which it stands still.</param>
    /// <returns>What ended the path.</returns>
    public StopReason Follow(TracedThread thread, in UserRegisters registers, long since)
    {
        cpu.Load(registers);
        ExtendedState.Load(cpu.State, extended.AsSpan(0, thread.ReadRegisterSet(NT_X86_XSTATE, extended)));
        cpu.Memory.Begin(of!.Id, of.Code.KernelPages);
        cpu.Begin(branches, path.Branches);
        StopReason end =
            cpu.Run(of.Code, branches.Length, long.MaxValue, since + (long)(options.MaxStop.TotalSeconds * Stopwatch.Frequency));
        isUnlearnt = true;
        path = path with
        {
            Branches = cpu.BranchCount,
            Instructions = path.Instructions + cpu.InstructionCount,
            Misses = path.Misses + cpu.Memory.Misses,
            End = end
        };
        return end;
    }

    /// <summary>
    /// Looks at what the last <see cref="Follow"/> has touched; to be called once the thread runs on. Done once, however often it is
    /// called.
    /// </summary>
    public void Learn()
    {
        if (!isUnlearnt)
            return;
        isUnlearnt = false;
        int cold = 0, announced = 0;
        foreach (ulong page in cpu.Memory.PageNumbers)
        {
            bool isCold = of!.Pages.Touch(page);
            if (cpu.Memory.WasAnnounced(page))
                announced++;
            else if (isCold)
                cold++;
        }
        path = path with { ColdPages = path.ColdPages + cold, AnnouncedPages = path.AnnouncedPages + announced };
    }

    /// <summary>Whether a thread that stands at the entry of a system call has come there as its path did.</summary>
    public bool IsAtSystemCall(in UserRegisters registers) =>
        registers.Rip == cpu.InstructionPointer + SystemCallLength && registers.Rsp == cpu.Register(CpuState.Rsp);

    public void Dispose()
    {
        Translator.Dispose();
        cpu.Dispose();
    }
}
