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

/// <summary>
/// An x86-64 CPU on registers of its own and on a memory snapshot: it executes blocks, of which this machine's CPU does what only computes
/// and handlers do the rest.
/// </summary>
internal sealed unsafe class Cpu : IVATryGetRegisterValueProvider, IDisposable
{
    /// <summary>Instructions between two looks at the clock; copying a page takes as long as so many.</summary>
    private const int ClockInterval = 256, InstructionsOfPage = 256;

    /// <summary>All exceptions masked, round to nearest: what the System V ABI gives every process and .NET expects.</summary>
    private const uint MxcsrDefault = 0x1F80;

    private const int LargestOperand = 64;

    private BranchEntry[] branches = [];
    private int limit;
    private long deadline;
    private int repetitions;

    /// <summary>All bits of RFLAGS but the status flags.</summary>
    private ulong otherFlags;

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
    public ulong InstructionPointer { get; private set; }

    public StopReason Stop { get; private set; }

    public Mnemonic NotInterpreted { get; set; }

    /// <summary>Whether the path has come to a PAUSE.</summary>
    public bool HasPaused { get; set; }

    /// <summary>Taken branches so far, oldest first.</summary>
    public int BranchCount { get; private set; }

    public long InstructionCount { get; private set; }

    /// <summary>RFLAGS. Native code gets none but the status flags: with the direction flag set this process would not live long.</summary>
    public ulong Flags
    {
        get => (Register(CpuState.StatusFlags) & Interpreter.Flags.Status) | otherFlags;
        set => (Register(CpuState.StatusFlags), otherFlags) = (value & Interpreter.Flags.Status, value & ~Interpreter.Flags.Status);
    }

    public bool IsZero => (Register(CpuState.StatusFlags) & Interpreter.Flags.ZF) != 0;

    /// <summary>String instructions go towards lower addresses.</summary>
    public bool IsBackwards => (otherFlags & Interpreter.Flags.DF) != 0;

    /// <summary>A value's low part, zero-extended.</summary>
    public static ulong Truncate(ulong value, int size) =>
        size switch { 1 => (byte)value, 2 => (ushort)value, 4 => (uint)value, _ => value };

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
        Flags = r.Eflags;
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
                Block? block = previous?.After(InstructionPointer);
                if (block is null)
                {
                    block = code.Find(InstructionPointer);
                    previous?.LeadsTo(block);
                }
                previous = block;
                // Within a block flags that nobody reads are not kept: no path ends there.
                if (block.Code is not null && !ExecuteNative(code, block))
                    continue;
                Close(block);
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
        return Stop;
    }

    /// <summary>Executes a block's last instruction.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Close(Block block)
    {
        ref readonly Instruction close = ref block.Close;
        InstructionPointer = close.NextIP;
        if (!block.Decides)
            block.Execute(this, in close);
        else if (*(State + CpuState.Taken) != 0)
            Branch(close, close.NearBranch64);
        InstructionCount += block.InstructionCount;
    }

    /// <summary>Executes a block's native code, and gets it the pages it asks for.</summary>
    /// <returns>False when an operand crossed pages: the path goes on behind that instruction, as if a block began there.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool ExecuteNative(BlockCache code, Block block)
    {
        Register(CpuState.Resume) = 0;
        while (block.Code(State) is not 0 and uint missing)
        {
            MemoryAccess access = new(missing);
            ulong address = Register(CpuState.Fault);
            if (access.IsPrefetch)
                Memory.Expect(address);
            else if (access.NeedsAlignment && (address & (ulong)(access.Size - 1)) != 0)
                throw new UnreadableMemoryException(address);
            else if (Memory.Contiguous(address, access.Size, access.Writes) is null)
            {
                ExecuteOnCopy(code.Alone(block, access.Index), access, address);
                InstructionCount += access.Index + 1;
                return false;
            }
            Register(CpuState.Resume) = (ulong)block.Code + (ulong)access.Resume;
        }
        return true;
    }

    /// <summary>Executes an instruction whose memory operand lies in two pages.</summary>
    private void ExecuteOnCopy(Block alone, MemoryAccess access, ulong address)
    {
        if (alone.Code is null)
            throw new UnreadableMemoryException(address);
        byte* copy = stackalloc byte[LargestOperand];
        Span<byte> bytes = new(copy, access.Size);
        Memory.Read(address, bytes);
        Register(CpuState.Resume) = (ulong)copy;
        _ = alone.Code(State);
        if (access.Writes)
            Memory.Write(address, bytes);
        InstructionPointer = alone.Close.NextIP;
    }

    /// <summary>
    /// Whether a repeated instruction has to end here, as the time is up: it is then where it has come to, as after an interrupt.
    /// </summary>
    public bool IsTimeUp(in Instruction instruction)
    {
        if (++repetitions % ClockInterval != 0 || Stopwatch.GetTimestamp() < deadline)
            return false;
        End(instruction, StopReason.TimeUp);
        return true;
    }

    /// <summary>Ends the path before an instruction.</summary>
    public void End(in Instruction instruction, StopReason reason)
    {
        InstructionPointer = instruction.IP;
        Stop = reason;
    }

    /// <summary>The address of an instruction's memory operand.</summary>
    /// <param name="element">Of the vector register that is the index, if one is.</param>
    public ulong Address(in Instruction instruction, int operand = 0, int element = 0)
    {
        _ = instruction.TryGetVirtualAddress(operand, element, this, out ulong address);
        return address;
    }

    /// <summary>An instruction's first operand.</summary>
    public ulong Operand(in Instruction instruction) => instruction.Op0Kind == OpKind.Memory
        ? Memory.Read(Address(instruction), Handlers.SizeOf(instruction))
        : Truncate(Register(OffsetOf(instruction.Op0Register)), instruction.Op0Register.GetSize());

    /// <inheritdoc/>
    public bool TryGetRegisterValue(Register register, int elementIndex, int elementSize, out ulong value)
    {
        value = register.IsSegmentRegister() ? SegmentBase(register)
            : register.IsVectorRegister()
                ? elementSize == 4 ? ((uint*)Vector(register))[elementIndex] : ((ulong*)Vector(register))[elementIndex]
            : Register(OffsetOf(register));
        return true;
    }

    /// <summary>Where a vector register is.</summary>
    public byte* Vector(Register register) => State + CpuState.Vectors + (64 * register.GetNumber());

    public ulong SegmentBase(Register segment) => segment switch
    {
        Iced.Intel.Register.FS => Register(CpuState.FsBase),
        Iced.Intel.Register.GS => Register(CpuState.GsBase),
        _ => 0,
    };

    private static int OffsetOf(Register general) => CpuState.General + (8 * general.GetNumber());

    /// <summary>A general register by its offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref ulong Register(int offset) => ref *(ulong*)(State + offset);

    /// <summary>Writes a general register's low part: 32-bit writes clear the upper half, smaller ones keep the rest.</summary>
    public void SetRegister(int offset, ulong value, int size)
    {
        ref ulong register = ref Register(offset);
        register = size switch
        {
            1 => (register & ~0xFFUL) | (byte)value,
            2 => (register & ~0xFFFFUL) | (ushort)value,
            4 => (uint)value,
            _ => value
        };
    }

    public void SetStatus(ulong flags) => Register(CpuState.StatusFlags) = flags;

    /// <summary>Goes to a taken branch's target.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Branch(in Instruction instruction, ulong target)
    {
        InstructionPointer = target;
        if (BranchCount < limit)
            branches[BranchCount++] = new(new(instruction.IP), new(target));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Push(ulong value)
    {
        ulong top = Register(CpuState.Rsp) - 8;
        Memory.Write(top, value, sizeof(ulong));
        Register(CpuState.Rsp) = top;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Pop()
    {
        ulong top = Register(CpuState.Rsp);
        ulong value = Memory.Read(top, sizeof(ulong));
        Register(CpuState.Rsp) = top + 8;
        return value;
    }

    public void Dispose()
    {
        Memory.Dispose();
        CpuState.Free(State);
    }
}
