using System.Diagnostics;
using System.Runtime.CompilerServices;
using Iced.Intel;
using Perforator.Branches;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Interpreter;

/// <summary>Why interpretation stopped.</summary>
internal enum StopReason
{
    None,

    /// <summary>As many branches or instructions were followed as were asked for.</summary>
    Done,

    /// <summary>The next instruction is SYSCALL, for the real thread to execute.</summary>
    SystemCall,

    /// <summary>The next instruction is none that is interpreted; see <see cref="Cpu.NotInterpreted"/>.</summary>
    NotInterpreted,

    /// <summary>The next instruction touches memory that cannot be read.</summary>
    UnreadableMemory,

    /// <summary>The next instruction is in no file's mapping that is known: code made at run time, or mapped since.</summary>
    UnknownCode,

    /// <summary>The thread waits for others: it has come to PAUSE a second time and has written nothing since the first.</summary>
    SpinWait,

    /// <summary>The time for one stop is used up.</summary>
    TimeUp,
}

/// <summary>An x86-64 CPU in software: executes lowered instructions on its own registers and on a memory snapshot.</summary>
internal sealed unsafe class Cpu : IDisposable
{
    /// <summary>Instructions between two looks at the clock; copying a page takes as long as so many.</summary>
    private const int ClockInterval = 256, InstructionsOfPage = 256;

    /// <summary>All exceptions masked, round to nearest: what the System V ABI gives every process and .NET expects.</summary>
    private const uint MxcsrDefault = 0x1F80;

    public Flags Flags;

    private BranchEntry[] branches = [];
    private int limit;
    private long deadline;
    private int repetitions;

    /// <summary>The status flags are in <see cref="CpuState.ReplayFlags"/>, as native code left them, and not in <see cref="Flags"/>.</summary>
    private bool flagsAreNative;

    public Cpu()
    {
        State = CpuState.Allocate();
        *(uint*)(State + CpuState.HostMxcsr) = MxcsrDefault;
        ExtendedState.LoadDefaults(State);
        Memory = new MemorySnapshot(State);
    }

    /// <summary>The registers, laid out as <see cref="CpuState"/> says.</summary>
    public byte* State { get; }

    public MemorySnapshot Memory { get; }

    /// <summary>The address of the next instruction.</summary>
    public ulong InstructionPointer { get; set; }

    public StopReason Stop { get; set; }

    public Mnemonic NotInterpreted { get; set; }

    /// <summary>Whether the path has come to a PAUSE.</summary>
    public bool HasPaused { get; set; }

    /// <summary>Taken branches so far, oldest first.</summary>
    public int BranchCount { get; private set; }

    public long InstructionCount { get; private set; }

    /// <summary>Of all instructions ever executed, those by native code of whole runs.</summary>
    public long NativeCount { get; private set; }

    /// <summary>What XSAVE and its kin saved, by address: the dynamic linker does so around symbol resolution.</summary>
    public Dictionary<ulong, byte[]> SavedStates { get; } = [];

    /// <summary>Loads the general registers.</summary>
    public void Load(in UserRegisters r)
    {
        ulong* general = (ulong*)State;
        (general[0], general[1], general[2], general[3]) = (r.Rax, r.Rcx, r.Rdx, r.Rbx);
        (general[4], general[5], general[6], general[7]) = (r.Rsp, r.Rbp, r.Rsi, r.Rdi);
        (general[8], general[9], general[10], general[11]) = (r.R8, r.R9, r.R10, r.R11);
        (general[12], general[13], general[14], general[15]) = (r.R12, r.R13, r.R14, r.R15);
        *(ulong*)(State + CpuState.FsBase) = r.FsBase;
        *(ulong*)(State + CpuState.GsBase) = r.GsBase;
        Flags.Set(r.Eflags);
        flagsAreNative = false;
        InstructionPointer = r.Rip;
    }

    /// <summary>Says where taken branches go from here on.</summary>
    /// <param name="into">Filled from <paramref name="count"/> on.</param>
    public void Begin(BranchEntry[] into, int count)
    {
        branches = into;
        BranchCount = count;
        InstructionCount = 0;
        HasPaused = false;
        SavedStates.Clear();
    }

    /// <summary>Follows the thread until something stops it.</summary>
    /// <param name="maxBranches">Done when there are so many, counted like <see cref="BranchCount"/>.</param>
    /// <param name="maxInstructions">Done after this many since <see cref="Begin"/> (at the end of a block).</param>
    /// <param name="deadline">Time is up at this <see cref="Stopwatch"/> time stamp.</param>
    // The loops that stops wait for are compiled once and fully: precompiled code calls native code by a long way.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public StopReason Run(BlockCache code, int maxBranches, long maxInstructions, long deadline)
    {
        limit = Math.Min(maxBranches, branches.Length);
        this.deadline = deadline;
        Stop = StopReason.None;
        long clockAt = ClockInterval;
        try
        {
            Block? previous = null;
            while (Stop == StopReason.None)
            {
                Block block;
                if (previous?.Next is { } next && next.Address == InstructionPointer)
                    block = next;
                else if (previous?.OtherNext is { } other && other.Address == InstructionPointer)
                    block = other;
                else
                {
                    block = code.Find(this);
                    previous?.LeadsTo(block);
                }
                previous = block;
                if (block.FirstRun.Code != 0)
                    ExecuteNative(block);
                else
                {
                    if (++block.Executions == BlockCache.HotExecutions)
                        code.IsHot(block);
                    Execute(block.Ops, block.Ops + block.OpCount);
                }
                InstructionCount += block.InstructionCount;
                long work = InstructionCount + ((long)Memory.PageNumbers.Count * InstructionsOfPage);
                if (work >= clockAt)
                {
                    clockAt = work + ClockInterval;
                    if (Stop == StopReason.None && Stopwatch.GetTimestamp() >= deadline)
                        Stop = StopReason.TimeUp;
                }
                if (Stop == StopReason.None && (InstructionCount >= maxInstructions || BranchCount >= limit))
                    Stop = StopReason.Done;
            }
        }
        catch (UnreadableMemoryException e)
        {
            Stop = e.IsCode ? StopReason.UnknownCode : StopReason.UnreadableMemory;
        }
        TakeFlags();
        return Stop;
    }

    /// <summary>Executes ops by their handlers, up to <paramref name="end"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Execute(Op* op, Op* end)
    {
        TakeFlags();
        for (; op < end && Stop == StopReason.None; op++)
            op->Execute(this, op);
    }

    /// <summary>Executes a block, as much of it natively as was translated.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ExecuteNative(Block block)
    {
        Op* op = block.Ops, end = op + block.OpCount;
        NativeRun run = block.FirstRun;
        for (int next = 0; ; run = block.MoreRuns[next++])
        {
            if (op < block.Ops + run.First)
            {
                Execute(op, block.Ops + run.First);
                if (Stop != StopReason.None)
                    return;
            }
            if (!flagsAreNative)
            {
                Register(CpuState.ReplayFlags) = Flags.Value & Flags.Status;
                flagsAreNative = true;
            }
            ((delegate* unmanaged[SuppressGCTransition]<byte*, void>)run.Code)(State);
            int done = *(int*)(State + CpuState.Progress);
            op = block.Ops + run.First + done;
            NativeCount += done;
            if (run.Decides && done == run.Count)
            {
                if (*(State + CpuState.Taken) != 0)
                    Branch(block.LastInstruction, block.Target);
                else
                    InstructionPointer = block.FallThrough;
                return;
            }
            if (done < run.Count || next == block.MoreRuns.Length)
                break;
        }
        if (Stop != StopReason.None)
            return;
        // Jumps, calls and returns leave the flags alone.
        if (op == end - 1 && op->LeavesFlags)
            op->Execute(this, op);
        else
            Execute(op, end);
    }

    /// <summary>Takes the flags over from native code.</summary>
    private void TakeFlags()
    {
        if (!flagsAreNative)
            return;
        flagsAreNative = false;
        Flags.SetStatus(Register(CpuState.ReplayFlags));
    }

    /// <summary>Whether a repeated instruction has to end here, as the time is up: it is then where it has come to, as after an interrupt.</summary>
    public bool IsTimeUp(Op* op)
    {
        if (++repetitions % ClockInterval != 0 || Stopwatch.GetTimestamp() < deadline)
            return false;
        InstructionPointer = op->InstructionPointer;
        Stop = StopReason.TimeUp;
        return true;
    }

    /// <summary>The address of an op's memory operand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Address(Op* op) =>
        ((*(ulong*)(State + op->Base) + (*(ulong*)(State + op->Index) << op->Scale) + op->Displacement) & op->AddressMask) + *(ulong*)(State + op->Segment);

    /// <summary>A general register by its offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref ulong Register(int offset) => ref *(ulong*)(State + offset);

    /// <summary>Goes to a taken branch's target.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Branch(Op* op, ulong target) => Branch(op->InstructionPointer, target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Branch(ulong from, ulong target)
    {
        InstructionPointer = target;
        if (BranchCount < limit)
            branches[BranchCount++] = new(new(from), new(target));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Push(ulong value)
    {
        ulong top = Register(CpuState.Rsp) - 8;
        Memory.Write(top, value);
        Register(CpuState.Rsp) = top;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Pop()
    {
        ulong top = Register(CpuState.Rsp);
        ulong value = Memory.Read<ulong>(top);
        Register(CpuState.Rsp) = top + 8;
        return value;
    }

    public void Dispose()
    {
        Memory.Dispose();
        CpuState.Free(State);
    }
}
