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

    /// <summary>The time for one stop is used up.</summary>
    TimeUp,
}

/// <summary>An x86-64 CPU in software: executes lowered instructions on its own registers and on a memory snapshot.</summary>
internal sealed unsafe class Cpu : IDisposable
{
    /// <summary>Instructions between two looks at the clock.</summary>
    private const int ClockInterval = 256;

    /// <summary>All exceptions masked, round to nearest: what the System V ABI gives every process and .NET expects.</summary>
    private const uint MxcsrDefault = 0x1F80;

    public Flags Flags;

    private BranchEntry[] branches = [];
    private ulong[] fingerprints = [];

    /// <summary>The status flags are in <see cref="CpuState.ReplayFlags"/>, as native code left them, and not in <see cref="Flags"/>.</summary>
    private bool flagsAreNative;

    /// <param name="keepsOriginals">Whether the memory is to know <see cref="MemorySnapshot.WrittenPages"/>.</param>
    public Cpu(bool keepsOriginals = false)
    {
        State = CpuState.Allocate();
        *(uint*)(State + CpuState.HostMxcsr) = MxcsrDefault;
        ExtendedState.LoadDefaults(State);
        Memory = new MemorySnapshot(State, keepsOriginals);
    }

    /// <summary>The registers, laid out as <see cref="CpuState"/> says.</summary>
    public byte* State { get; }

    public MemorySnapshot Memory { get; }

    /// <summary>The address of the next instruction.</summary>
    public ulong InstructionPointer { get; set; }

    public StopReason Stop { get; set; }

    public Mnemonic NotInterpreted { get; set; }

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

    /// <summary>Says where taken branches go from here on; how many fit bounds the burst.</summary>
    /// <param name="into">Filled from <paramref name="count"/> on.</param>
    /// <param name="states">As long; gets the <see cref="Fingerprint"/> after each of them.</param>
    public void Begin(BranchEntry[] into, ulong[] states, int count)
    {
        branches = into;
        fingerprints = states;
        BranchCount = count;
        InstructionCount = 0;
        SavedStates.Clear();
    }

    /// <summary>Follows the thread until something stops it.</summary>
    /// <param name="maxInstructions">Done after this many since <see cref="Begin"/> (at the end of a block).</param>
    /// <param name="deadline">Time is up at this <see cref="Stopwatch"/> time stamp.</param>
    // The loops that stops wait for are compiled once and fully: precompiled code calls native code by a long way.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public StopReason Run(BlockCache code, long maxInstructions, long deadline)
    {
        Stop = StopReason.None;
        long clockAt = InstructionCount + ClockInterval;
        try
        {
            while (Stop == StopReason.None)
            {
                Block block = code.Find(this);
                if (block.Native.Length > 0)
                    ExecuteNative(block);
                else
                {
                    if (++block.Executions == BlockCache.HotExecutions)
                        code.IsHot(block);
                    Execute(block.Ops, block.Ops + block.OpCount);
                }
                InstructionCount += block.InstructionCount;
                if (InstructionCount >= clockAt)
                {
                    clockAt = InstructionCount + ClockInterval;
                    if (Stop == StopReason.None && Stopwatch.GetTimestamp() >= deadline)
                        Stop = StopReason.TimeUp;
                }
                if (Stop == StopReason.None && (InstructionCount >= maxInstructions || BranchCount == branches.Length))
                    Stop = StopReason.Done;
            }
        }
        catch (UnreadableMemoryException)
        {
            Stop = StopReason.UnreadableMemory;
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
        foreach (NativeRun run in block.Native)
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
            if (done < run.Count)
                break;
            if (run.Decides)
            {
                if (*(State + CpuState.Taken) != 0)
                    Branch(op, op->Immediate);
                else
                    InstructionPointer = op->Next;
                return;
            }
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

    /// <summary>The address of an op's memory operand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Address(Op* op) =>
        ((*(ulong*)(State + op->Base) + (*(ulong*)(State + op->Index) << op->Scale) + op->Displacement) & op->AddressMask) + *(ulong*)(State + op->Segment);

    /// <summary>A general register by its offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref ulong Register(int offset) => ref *(ulong*)(State + offset);

    /// <summary>Goes to a taken branch's target.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Branch(Op* op, ulong target)
    {
        InstructionPointer = target;
        if (BranchCount < branches.Length)
        {
            fingerprints[BranchCount] = Fingerprint();
            branches[BranchCount++] = new(new(op->InstructionPointer), new(target));
        }
    }

    /// <summary>A hash of the general registers and the instruction pointer: tells states along one path apart.</summary>
    public ulong Fingerprint()
    {
        // Multilinear with odd factors, so that the multiplications do not wait for one another.
        ulong* g = (ulong*)State;
        return (InstructionPointer * 0x9E3779B97F4A7C15)
            + (g[0] * 0xD6E8FEB86659FD93) + (g[1] * 0xBF58476D1CE4E5B9) + (g[2] * 0x94D049BB133111EB) + (g[3] * 0xFF51AFD7ED558CCD)
            + (g[4] * 0xC4CEB9FE1A85EC53) + (g[5] * 0x87C37B91114253D5) + (g[6] * 0x4CF5AD432745937F) + (g[7] * 0x52DCE729DA3C1B21)
            + (g[8] * 0x38495AB5A2F6C8E3) + (g[9] * 0xA0761D6478BD642F) + (g[10] * 0xE7037ED1A0B428DB) + (g[11] * 0x8EBC6AF09C88C6E3)
            + (g[12] * 0x589965CC75374CC3) + (g[13] * 0x1D8E4E27C47D124F) + (g[14] * 0xEB44ACCAB455D165) + (g[15] * 0x9C6E6877736C46E3);
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
