using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using IcedMemoryOperand = Iced.Intel.MemoryOperand;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Makes native code of runs of instructions within a block: the instructions themselves, on registers loaded from <see cref="CpuState"/>,
/// with every memory operand looked up in the snapshot's lookaside first. What is not translated stays with its op's handler.
/// </summary>
/// <remarks>
/// Each register keeps its own name, so that implicit operands need no care, except RSP, which stays this process's own. Four registers that
/// the run does not use hold the state, the stack pointer, and the address at work. Flags live in the CPU from the first instruction that sets
/// them; a look-up destroys them, so they are put into the state before it where an instruction behind it may still need them.
/// </remarks>
internal sealed class BlockTranslator : IDisposable
{
    private const int CodeSize = 16 << 20;

    /// <summary>Longer than any run's code: 64 instructions, each with a look-up and its way out.</summary>
    private const int LongestRun = 16 << 10;

    /// <summary>Registers other than RSP that a run may use, so that four are left.</summary>
    private const int MaxRegisters = 11;

    private static readonly Register[] Scratch =
    [
        Register.R11, Register.R10, Register.R9, Register.R8, Register.RSI, Register.RAX, Register.RCX, Register.RDX, Register.RDI,
        Register.RBX, Register.RBP, Register.R12, Register.R13, Register.R14, Register.R15,
    ];

    private static readonly Register[] CalleeSaved = [Register.RBX, Register.RBP, Register.R12, Register.R13, Register.R14, Register.R15];

    private readonly ExecutableMemory memory = new(CodeSize);
    private readonly CodeBuilder code = new();
    private readonly List<TranslatableInstruction> run = [];
    private readonly HashSet<Register> used = [], written = [];
    private readonly List<(int Jump, int Op)> exits = [];

    private Register state, stack, address, page;

    /// <summary>Forgets all code.</summary>
    public void Clear() => memory.Clear();

    /// <summary>Translates what can be translated of a block.</summary>
    /// <param name="instructions">The block's, one for each op but a closing fall-through.</param>
    public NativeRun[] Translate(ReadOnlySpan<Instruction> instructions)
    {
        List<NativeRun> runs = [];
        int first = 0;
        Begin();
        for (int i = 0; i < instructions.Length; i++)
        {
            TranslatableInstruction? next = TranslatableInstruction.From(instructions[i]);
            if (next is not null && !Fits(next) && run.Count > 0)
            {
                End(runs, first, null);
                Begin();
            }
            if (next is not null && Fits(next))
            {
                first = run.Count == 0 ? i : first;
                run.Add(next);
                used.UnionWith(next.General);
                used.UnionWith(next.Others);
                written.UnionWith(next.Written);
                continue;
            }
            bool closes = i == instructions.Length - 1 && TranslatableInstruction.IsFlagJump(instructions[i]);
            if (closes && run.Count == 0)
                first = i;
            End(runs, first, closes ? instructions[i].ConditionCode : null);
            Begin();
        }
        End(runs, first, null);
        return [.. runs];
    }

    public void Dispose() => memory.Dispose();

    private void Begin()
    {
        run.Clear();
        used.Clear();
        written.Clear();
        exits.Clear();
        code.Clear();
    }

    private bool Fits(TranslatableInstruction next) =>
        used.Where(r => r.IsGPR64() && r != Register.RSP).Union(next.General.Where(r => r != Register.RSP)).Count() <= MaxRegisters;

    private void End(List<NativeRun> runs, int first, ConditionCode? condition)
    {
        if ((run.Count == 0 && condition is null) || memory.Free < LongestRun)
            return;
        Assemble(condition);
        if (code.IsValid && code.Length <= LongestRun)
            runs.Add(new(first, run.Count, memory.Add(code.ToArray()), condition is not null));
    }

    private IcedMemoryOperand At(int offset) => new(state, offset, 1);

    private void Assemble(ConditionCode? condition)
    {
        Register[] free = [.. Scratch.Where(r => !used.Contains(r))];
        (state, address, page, stack) = (free[0], free[1], free[2], free[3]);
        Register[] saved = [.. CalleeSaved.Where(r => used.Contains(r) || r == state || r == address || r == page || r == stack)];
        bool usesVectors = used.Any(r => r.IsZMM());
        bool usesMxcsr = run.Exists(i => i.UsesMxcsr);

        foreach (Register register in saved)
            code.Add(Instruction.Create(Code.Push_r64, register));
        code.Move(state, Register.RDI);
        foreach (Register register in used)
            LoadRegister(register);
        if (usesMxcsr)
            code.Add(Instruction.Create(Code.Ldmxcsr_m32, At(CpuState.Mxcsr)));

        bool[] flagsNeeded = NeedsFlags();
        bool flagsInCpu = false;
        for (int i = 0; i < run.Count; i++)
        {
            TranslatableInstruction instruction = run[i];
            if (instruction.AccessSize > 0)
            {
                if (flagsInCpu && flagsNeeded[i])
                    SaveFlags();
                flagsInCpu = false;
                LookUp(instruction, i);
            }
            if (!flagsInCpu && (instruction.ReadsFlags || (instruction.SetsFlags && !instruction.SetsAllFlags)))
            {
                LoadFlags();
                flagsInCpu = true;
            }
            Execute(instruction);
            flagsInCpu |= instruction.SetsFlags;
        }
        if (condition is { } taken)
        {
            if (!flagsInCpu)
                LoadFlags();
            code.Add(Instruction.Create(Code.Seto_rm8 + (taken - ConditionCode.o), At(CpuState.Taken)));
        }
        if (flagsInCpu)
            SaveFlags();
        code.Add(Instruction.Create(Code.Mov_rm32_imm32, At(CpuState.Progress), run.Count));

        List<int> toEnd = [];
        if (exits.Count > 0)
            toEnd.Add(code.Jump(0xE9));
        foreach (IGrouping<int, (int Jump, int Op)> exit in exits.GroupBy(e => e.Op))
        {
            foreach ((int jump, _) in exit)
                code.Resolve(jump);
            code.Add(Instruction.Create(Code.Mov_rm32_imm32, At(CpuState.Progress), exit.Key));
            toEnd.Add(code.Jump(0xE9));
        }
        foreach (int jump in toEnd)
            code.Resolve(jump);
        foreach (Register register in used.Where(written.Contains))
            StoreRegister(register);
        if (usesVectors && Avx.IsSupported)
            code.Add(Instruction.Create(Code.VEX_Vzeroupper));
        if (usesMxcsr)
        {
            code.Add(Instruction.Create(Code.Stmxcsr_m32, At(CpuState.Mxcsr)));
            code.Add(Instruction.Create(Code.Ldmxcsr_m32, At(CpuState.HostMxcsr)));
        }
        foreach (Register register in saved.Reverse())
            code.Add(Instruction.Create(Code.Pop_r64, register));
        code.Add(Instruction.Create(Code.Retnq));
    }

    /// <summary>For each instruction of the run, whether the flags as they are before it matter to it or to anything behind it.</summary>
    private bool[] NeedsFlags()
    {
        bool[] needed = new bool[run.Count];
        // The code behind the run may need them.
        bool behind = true;
        for (int i = run.Count - 1; i >= 0; i--)
            needed[i] = behind = run[i].ReadsFlags || (behind && !run[i].SetsAllFlags);
        return needed;
    }

    private void SaveFlags()
    {
        code.Add(Instruction.Create(Code.Pushfq));
        code.Add(Instruction.Create(Code.Pop_rm64, At(CpuState.ReplayFlags)));
    }

    private void LoadFlags()
    {
        code.Add(Instruction.Create(Code.Push_rm64, At(CpuState.ReplayFlags)));
        code.Add(Instruction.Create(Code.Popfq));
    }

    /// <summary>Turns the memory operand's address into a pointer into the snapshot, or leaves the run before the instruction.</summary>
    private void LookUp(TranslatableInstruction instruction, int op)
    {
        LoadAddress(instruction.Instruction, instruction.AddressOffset);
        code.Move(page, address);
        code.Add(Instruction.Create(Code.Shr_rm64_imm8, page, MemorySnapshot.PageShift));
        code.Add(Instruction.Create(Code.Movzx_r32_rm8, Narrow(page, 4), Narrow(page, 1)));
        code.Add(Instruction.Create(Code.Xor_r64_rm64, address, new IcedMemoryOperand(state, page, 8, instruction.WritesMemory ? CpuState.WritableAddresses : CpuState.PageAddresses, 1)));
        code.Add(Instruction.Create(Code.Cmp_rm64_imm32, address, MemorySnapshot.PageSize - instruction.AccessSize));
        exits.Add((code.Jump(0x0F, 0x87), op));
        if (instruction.NeedsAlignment)
        {
            code.Add(Instruction.Create(Code.Test_rm32_imm32, Narrow(address, 4), instruction.AccessSize - 1));
            exits.Add((code.Jump(0x0F, 0x85), op));
        }
        code.Add(Instruction.Create(Code.Add_r64_rm64, address, new IcedMemoryOperand(state, page, 8, CpuState.PageCopies, 1)));
    }

    private void LoadAddress(in Instruction instruction, int offset)
    {
        if (instruction.IsStackInstruction)
        {
            code.Add(Instruction.Create(Code.Lea_r64_m, address, new IcedMemoryOperand(stack, offset, 1)));
            return;
        }
        if (instruction.IsIPRelativeMemoryOperand || (instruction.MemoryBase == Register.None && instruction.MemoryIndex == Register.None))
            code.Add(Instruction.Create(Code.Mov_r64_imm64, address, instruction.IsIPRelativeMemoryOperand ? instruction.IPRelativeMemoryAddress : instruction.MemoryDisplacement64));
        else
            code.Add(Instruction.Create(Code.Lea_r64_m, address, Plain(instruction)));
        if (instruction.SegmentPrefix is Register.FS or Register.GS)
            code.Add(Instruction.Create(Code.Add_r64_rm64, address, At(instruction.SegmentPrefix == Register.FS ? CpuState.FsBase : CpuState.GsBase)));
    }

    /// <summary>An operand without its segment, and with the register that stands in for RSP.</summary>
    private IcedMemoryOperand Plain(in Instruction instruction) => new(
        Substitute(instruction.MemoryBase), instruction.MemoryIndex, instruction.MemoryIndexScale, (long)instruction.MemoryDisplacement64, instruction.MemoryDisplSize == 0 ? 0 : 1);

    private void Execute(TranslatableInstruction translatable)
    {
        Instruction instruction = translatable.Instruction;
        instruction.Length = 0;
        switch (translatable.Kind)
        {
            case TranslationKind.Nothing or TranslationKind.Prefetch:
                return;
            case TranslationKind.Push:
                code.Store(new IcedMemoryOperand(address), Substitute(instruction.Op0Register));
                code.Add(Instruction.Create(Code.Lea_r64_m, stack, new IcedMemoryOperand(stack, -8, 1)));
                return;
            case TranslationKind.Pop:
                code.Add(Instruction.Create(Code.Lea_r64_m, stack, new IcedMemoryOperand(stack, 8, 1)));
                code.Load(Substitute(instruction.Op0Register), new IcedMemoryOperand(address));
                return;
            case TranslationKind.AbsoluteAddress:
                code.Add(Instruction.Create(Code.Mov_r64_imm64, Substitute(instruction.Op0Register), instruction.IPRelativeMemoryAddress));
                return;
            default:
                break;
        }
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) == OpKind.Register)
                instruction.SetOpRegister(i, Substitute(instruction.GetOpRegister(i)));
            else if (instruction.GetOpKind(i) == OpKind.Memory)
            {
                instruction.SegmentPrefix = Register.None;
                if (translatable.AccessSize == 0)
                {
                    // LEA: the address itself.
                    instruction.MemoryBase = Substitute(instruction.MemoryBase);
                    continue;
                }
                instruction.MemoryBase = address;
                instruction.MemoryIndex = Register.None;
                instruction.MemoryIndexScale = 1;
                instruction.MemoryDisplacement64 = 0;
                instruction.MemoryDisplSize = 0;
            }
        }
        code.Add(instruction);
    }

    /// <summary>The register that stands in for RSP and its parts; any other as it is.</summary>
    private Register Substitute(Register register) => register switch
    {
        Register.RSP => stack,
        Register.ESP => Narrow(stack, 4),
        Register.SP => Narrow(stack, 2),
        Register.SPL => Narrow(stack, 1),
        _ => register,
    };

    /// <summary>The low bytes of a 64-bit register.</summary>
    private static Register Narrow(Register register, int bytes)
    {
        int number = register - Register.RAX;
        return bytes switch
        {
            1 => number < 4 ? Register.AL + number : Register.SPL + (number - 4),
            2 => Register.AX + number,
            _ => Register.EAX + number,
        };
    }

    private void LoadRegister(Register register)
    {
        if (register.IsGPR64())
            code.Load(register == Register.RSP ? stack : register, At(CpuState.General + (8 * register.GetNumber())));
        else if (register.IsK())
            code.Add(Instruction.Create(Code.VEX_Kmovq_kr_km64, register, At(CpuState.Opmasks + (8 * register.GetNumber()))));
        else
            code.Add(VectorMoves.Load(register, state));
    }

    private void StoreRegister(Register register)
    {
        if (register.IsGPR64())
            code.Store(At(CpuState.General + (8 * register.GetNumber())), register == Register.RSP ? stack : register);
        else if (register.IsK())
            code.Add(Instruction.Create(Code.VEX_Kmovq_m64_kr, At(CpuState.Opmasks + (8 * register.GetNumber())), register));
        else
            code.Add(VectorMoves.Store(register, state));
    }
}
