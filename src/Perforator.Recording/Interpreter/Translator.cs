using System.Numerics;
using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using IcedMemoryOperand = Iced.Intel.MemoryOperand;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Makes native code of runs of instructions: the instructions themselves, on registers loaded from <see cref="CpuState"/>, with every
/// memory operand looked up in the snapshot's lookaside first. So the CPU itself defines what instructions do.
/// </summary>
/// <remarks>
/// Each register keeps its own name, so that implicit operands need no care, except RSP, which stays this process's own. Four registers
/// that the run does not use hold the state, the stack pointer, and the address at work. Flags live in the CPU from the first instruction
/// that sets them; a look-up destroys them, so they are put into the state before it where an instruction behind it may still need them.
/// Where the lookaside lacks a page, the code stores all registers and returns; called again it goes on with that look-up.
/// </remarks>
internal sealed class Translator : IDisposable
{
    /// <summary>Registers other than RSP that a run may use, so that four are left.</summary>
    private const int MaxRegisters = 11;

    private const int MaxInstructions = 64;

    /// <summary>
    /// Bytes of address space for code, some times what may be kept of all processes (<see cref="RecordingBudget.CodeBytes"/>).
    /// </summary>
    private const int CodeSize = 1 << 28;

    private const int Rax = 0, Rsp = 4, Rbp = 5, Rdi = 7;

    private const uint CalleeSaved = (1 << 3) | (1 << 5) | (0xF << 12), Low = 0xFF;

    private const byte PushImmediate = 0x68, PushSmall = 0x6A, JumpNear = 0xE9, Return = 0xC3, Popfq = 0x9D, Pushfq = 0x9C;

    /// <summary>Numbers of general registers, those first that need not be saved.</summary>
    private static readonly int[] Scratch = [11, 10, 9, 8, 6, 0, 1, 2, 7, 3, 5, 12, 13, 14, 15];

    private readonly CodeBuilder code = new();
    private readonly NativeInstruction[] run = new NativeInstruction[MaxInstructions];
    private readonly bool[] flagsNeeded = new bool[MaxInstructions];
    private readonly List<(int Jump, int Index, int Resume)> exits = [];
    private readonly List<int> toEnd = [];
    private NativeInstruction uses;
    private int state, stack, address, page;

    /// <summary>Where the code of all processes is.</summary>
    public ExecutableMemory Memory { get; } = new(CodeSize);

    /// <summary>Instructions of the run so far.</summary>
    public int Count { get; private set; }

    /// <summary>What <see cref="Translate"/> could not encode.</summary>
    public Instruction? LeftOut { get; private set; }

    /// <summary>Begins a run.</summary>
    public void Begin()
    {
        Count = 0;
        uses = default;
    }

    /// <summary>Adds an instruction to the run.</summary>
    /// <returns>False when there is no room for it, as in a run of its own there would be.</returns>
    public bool TryAdd(in NativeInstruction next)
    {
        uint general = General(uses.Used | next.Used);
        bool needsLowAddress = uses.NeedsLowAddress || next.NeedsLowAddress;
        // FLDENV may unmask exceptions, which are masked again at the end of a run.
        if (Count == MaxInstructions || BitOperations.PopCount(general & ~(1u << Rsp)) > MaxRegisters
            || (needsLowAddress && (~general & Low & ~(1u << Rsp)) == 0)
            || (Count > 0 && run[Count - 1].Instruction.Mnemonic == Mnemonic.Fldenv))
            return false;
        run[Count++] = next;
        (uses.Used, uses.Written) = (uses.Used | next.Used, uses.Written | next.Written);
        (uses.UsesX87, uses.NeedsLowAddress) = (uses.UsesX87 | next.UsesX87, needsLowAddress);
        uses.AccessSize |= next.AccessSize;
        return true;
    }

    /// <summary>Translates the run. Where an instruction cannot be encoded there is no code, and the run ends before that.</summary>
    /// <param name="condition">That of the conditional jump behind it, which the code is to decide.</param>
    /// <param name="alone">Its only instruction's memory operand is where <see cref="CpuState.Resume"/> says.</param>
    /// <returns>The code, good until the next call.</returns>
    public ReadOnlySpan<byte> Translate(ConditionCode? condition, bool alone = false)
    {
        LeftOut = null;
        if (!TryAssemble(condition, alone, out int failed))
            (Count, LeftOut) = (failed, run[failed].Instruction);
        return code.Assembled;
    }

    public void Dispose() => Memory.Dispose();

    /// <summary>Whether MXCSR may matter.</summary>
    private bool UsesVectors => uses.Used >> NativeInstruction.FirstVector != 0;

    private static uint General(ulong registers) => (uint)registers & 0xFFFF;

    private IcedMemoryOperand At(int offset) => new(Register.RAX + state, offset, 1);

    private bool TryAssemble(ConditionCode? condition, bool alone, out int failed)
    {
        code.Clear();
        exits.Clear();
        ChooseRegisters();
        uint saved = (General(uses.Used) | (1u << state) | (1u << address) | (1u << page) | (1u << stack)) & CalleeSaved;
        for (int register = 0; register < 16; register++)
            if ((saved >> register & 1) != 0)
                code.Push(register);
        Enter(alone);
        FindNeededFlags();
        bool flagsInCpu = false;
        for (failed = 0; failed < Count; failed++)
        {
            ref readonly NativeInstruction instruction = ref run[failed];
            if (instruction.AccessSize > 0 && !alone)
            {
                if (flagsInCpu && flagsNeeded[failed])
                    SaveFlags();
                flagsInCpu = false;
                LookUp(instruction, failed);
            }
            if (!flagsInCpu && instruction.ReadsFlags)
            {
                LoadFlags();
                flagsInCpu = true;
            }
            if (!TryExecute(instruction))
                return false;
            flagsInCpu |= instruction.SetsFlags;
        }
        if (condition is { } taken)
        {
            if (!flagsInCpu)
                LoadFlags();
            Encode(Instruction.Create(Code.Seto_rm8 + (taken - ConditionCode.o), At(CpuState.Taken)));
        }
        if (flagsInCpu)
            SaveFlags();
        code.Bytes(PushSmall, 0);
        Leave(saved);
        return true;
    }

    private void ChooseRegisters()
    {
        uint taken = General(uses.Used) | (1u << Rsp);
        address = Take(uses.NeedsLowAddress ? Low : ~0u);
        (state, page, stack) = (Take(~0u), Take(~0u), Take(~0u));

        int Take(uint of)
        {
            foreach (int register in Scratch)
            {
                if ((taken >> register & 1) != 0 || (of >> register & 1) == 0)
                    continue;
                taken |= 1u << register;
                return register;
            }
            throw new InvalidOperationException("a run uses more registers than was allowed");
        }
    }

    private void Enter(bool alone)
    {
        if (state != Rdi)
            code.Move(state, Rdi);
        if (uses.UsesX87)
            Encode(Instruction.Create(Code.Fxrstor_m512byte, At(CpuState.X87)));
        Move(uses.Used, stores: false);
        if (UsesVectors)
            Encode(Instruction.Create(Code.Ldmxcsr_m32, At(CpuState.Mxcsr)));
        if (uses.AccessSize == 0)
            return;
        code.WithMemory(CodeBuilder.Load, address, state, CpuState.Resume);
        if (alone)
            return;
        // TEST address, address; JE over; JMP address.
        code.WithRegisters(0x85, address, address);
        code.Bytes(0x74, 3, (byte)(0x40 | (address >> 3)), 0xFF, (byte)(0xE0 | (address & 7)));
    }

    /// <summary>Loads registers from the state, or stores them there.</summary>
    private void Move(ulong registers, bool stores)
    {
        for (; registers != 0; registers &= registers - 1)
        {
            int number = BitOperations.TrailingZeroCount(registers);
            if (number >= NativeInstruction.FirstVector)
                code.MoveExtended(number, Register.RAX + state, stores);
            else
                code.WithMemory(stores ? CodeBuilder.StoreTo : CodeBuilder.Load, number == Rsp ? stack : number, state, 8 * number);
        }
    }

    /// <summary>Puts everything back and returns what lies on the stack: what was looked up in vain, where it was.</summary>
    private void Leave(uint saved)
    {
        toEnd.Clear();
        foreach ((int jump, int index, int resume) in exits)
        {
            toEnd.Add(code.Jump(JumpNear));
            code.Resolve(jump);
            code.WriteByte(PushImmediate);
            code.Int32((int)new MemoryAccess(run[index], index, resume).Packed);
        }
        foreach (int jump in toEnd)
            code.Resolve(jump);
        Move(uses.Written, stores: true);
        if (UsesVectors && Avx.IsSupported)
            Encode(Instruction.Create(Code.VEX_Vzeroupper));
        if (UsesVectors)
            Encode(Instruction.Create(Code.Stmxcsr_m32, At(CpuState.Mxcsr)));
        if (uses.UsesX87)
        {
            Encode(Instruction.Create(Code.Fxsave_m512byte, At(CpuState.X87)));
            Encode(Instruction.Create(Code.Or_rm16_imm8, At(CpuState.X87), (int)ExtendedState.ControlWordExceptionMasks));
            Encode(Instruction.Create(Code.Fninit));
        }
        if (UsesVectors || uses.UsesX87)
            Encode(Instruction.Create(Code.Ldmxcsr_m32, At(CpuState.HostMxcsr)));
        code.Pop(Rax);
        for (int register = 15; register >= 0; register--)
            if ((saved >> register & 1) != 0)
                code.Pop(register);
        code.WriteByte(Return);
    }

    /// <summary>
    /// Finds for each instruction of the run whether the flags as they are before it matter to it or to anything behind it.
    /// </summary>
    private void FindNeededFlags()
    {
        // The code behind the run may need them.
        bool behind = true;
        for (int i = Count - 1; i >= 0; i--)
            flagsNeeded[i] = behind = run[i].ReadsFlags || (behind && !run[i].SetsAllFlags);
    }

    private void SaveFlags()
    {
        code.WriteByte(Pushfq);
        Encode(Instruction.Create(Code.Pop_rm64, At(CpuState.StatusFlags)));
    }

    private void LoadFlags()
    {
        Encode(Instruction.Create(Code.Push_rm64, At(CpuState.StatusFlags)));
        code.WriteByte(Popfq);
    }

    /// <summary>Turns the memory operand's address into a pointer into the snapshot, or leaves the run before the instruction.</summary>
    private void LookUp(in NativeInstruction instruction, int index)
    {
        int begin = code.Length;
        LoadAddress(instruction);
        code.WithMemory(CodeBuilder.StoreTo, address, state, CpuState.Fault);
        code.Move(page, address);
        code.WithRegisters(0xC1, page, 5); // SHR page, PageShift
        code.WriteByte(MemorySnapshot.PageShift);
        code.Bytes((byte)(0x40 | (page >> 3 << 2)
            | (page >> 3)), 0x0F, 0xB6, (byte)(0xC0 | ((page & 7) << 3) | (page & 7))); // MOVZX of the low byte
        code.WithMemory(
            CodeBuilder.Xor, address, state, instruction.WritesMemory ? CpuState.WritableAddresses : CpuState.PageAddresses, page);
        code.WithRegisters(0x81, address, 7); // CMP
        code.Int32(MemorySnapshot.PageSize - instruction.AccessSize);
        int isMissing = code.Jump(0x0F, 0x87); // JA
        int isUnaligned = 0;
        if (instruction.NeedsAlignment)
        {
            code.WithRegisters(0xF7, address, 0); // TEST
            code.Int32(instruction.AccessSize - 1);
            isUnaligned = code.Jump(0x0F, 0x85); // JNE
        }
        code.WithMemory(CodeBuilder.Add, address, state, CpuState.PageCopies, page);
        // What was only announced need not be there.
        int resume = instruction.Kind == NativeKind.Prefetch ? code.Length : begin;
        exits.Add((isMissing, index, resume));
        if (isUnaligned > 0)
            exits.Add((isUnaligned, index, resume));
    }

    private void LoadAddress(in NativeInstruction native)
    {
        ref readonly Instruction instruction = ref native.Instruction;
        if (native.Kind == NativeKind.Push)
            code.WithMemory(CodeBuilder.Address, address, stack, -sizeof(ulong));
        else if (native.Kind is NativeKind.Pop or NativeKind.Leave)
            code.Move(address, native.Kind == NativeKind.Pop ? stack : Rbp);
        else if (instruction.IsIPRelativeMemoryOperand)
            code.LoadConstant(address, instruction.IPRelativeMemoryAddress);
        else if (instruction.MemoryBase == Register.None && instruction.MemoryIndex == Register.None)
            code.LoadConstant(address, instruction.MemoryDisplacement64);
        else if (instruction.MemoryIndex == Register.None && instruction.MemoryBase.IsGPR64())
            code.WithMemory(
                CodeBuilder.Address, address, Substitute(instruction.MemoryBase) - Register.RAX, (int)instruction.MemoryDisplacement64);
        else
            Encode(Instruction.Create(Code.Lea_r64_m, Register.RAX + address, new IcedMemoryOperand(
                Substitute(instruction.MemoryBase), instruction.MemoryIndex,
                instruction.MemoryIndexScale, (long)instruction.MemoryDisplacement64, instruction.MemoryDisplSize == 0 ? 0 : 1)));
        if (instruction.SegmentPrefix is Register.FS or Register.GS)
            code.WithMemory(CodeBuilder.Add, address, state, instruction.SegmentPrefix == Register.FS ? CpuState.FsBase : CpuState.GsBase);
    }

    private bool TryExecute(in NativeInstruction native)
    {
        Instruction instruction = native.Instruction;
        switch (native.Kind)
        {
            case NativeKind.Nothing or NativeKind.Prefetch:
                return true;
            case NativeKind.Push:
                if (instruction.Op0Kind == OpKind.Register)
                    code.WithMemory(CodeBuilder.StoreTo, Substitute(instruction.Op0Register) - Register.RAX, address, 0);
                else
                {
                    code.WithMemory(0xC7, 0, address, 0); // MOV of an immediate
                    code.Int32((int)instruction.GetImmediate(0));
                }
                code.WithMemory(CodeBuilder.Address, stack, stack, -sizeof(ulong));
                return true;
            case NativeKind.Pop:
                code.WithMemory(CodeBuilder.Address, stack, stack, sizeof(ulong));
                code.WithMemory(CodeBuilder.Load, Substitute(instruction.Op0Register) - Register.RAX, address, 0);
                return true;
            case NativeKind.Leave:
                code.WithMemory(CodeBuilder.Address, stack, Rbp, sizeof(ulong));
                code.WithMemory(CodeBuilder.Load, Rbp, address, 0);
                return true;
            case NativeKind.AbsoluteAddress:
                code.LoadConstant(Substitute(instruction.Op0Register.GetFullRegister()) - Register.RAX,
                    instruction.Op0Register.IsGPR32() ? (uint)instruction.IPRelativeMemoryAddress : instruction.IPRelativeMemoryAddress);
                return true;
            default:
                return TryEncode(instruction, native.AccessSize > 0);
        }
    }

    private bool TryEncode(Instruction instruction, bool accesses)
    {
        instruction.Length = 0;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) == OpKind.Register)
                instruction.SetOpRegister(i, Substitute(instruction.GetOpRegister(i)));
            else if (instruction.GetOpKind(i) == OpKind.Memory)
            {
                instruction.SegmentPrefix = Register.None;
                if (!accesses)
                {
                    // LEA: the address itself.
                    instruction.MemoryBase = Substitute(instruction.MemoryBase);
                    continue;
                }
                instruction.MemoryBase = Register.RAX + address;
                instruction.MemoryIndex = Register.None;
                instruction.MemoryIndexScale = 1;
                instruction.MemoryDisplacement64 = 0;
                instruction.MemoryDisplSize = 0;
            }
        }
        return code.TryEncode(instruction);
    }

    /// <summary>Adds an instruction of this program's own.</summary>
    private void Encode(in Instruction instruction)
    {
        if (!code.TryEncode(instruction))
            throw new InvalidOperationException($"{instruction.Code} cannot be encoded");
    }

    /// <summary>The register that stands in for RSP and its parts; any other as it is.</summary>
    private Register Substitute(Register register) => register switch
    {
        Register.RSP => Register.RAX + stack,
        Register.ESP => Register.EAX + stack,
        Register.SP => Register.AX + stack,
        Register.SPL => stack < 4 ? Register.AL + stack : Register.SPL + (stack - 4),
        _ => register,
    };
}
