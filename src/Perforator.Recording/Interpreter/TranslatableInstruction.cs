using Iced.Intel;

namespace Perforator.Recording.Interpreter;

internal enum TranslationKind
{
    /// <summary>The instruction itself, its memory operand redirected.</summary>
    Itself,

    /// <summary>NOP and its like.</summary>
    Nothing,

    /// <summary>Touches nothing, but says that a page is about to be touched.</summary>
    Prefetch,
    Push,
    Pop,

    /// <summary>LEA relative to the instruction pointer.</summary>
    AbsoluteAddress,
}

/// <summary>An instruction that <see cref="BlockTranslator"/> can make native code of, and what it needs to know for that.</summary>
internal sealed class TranslatableInstruction
{
    private const RflagsBits StatusFlags = RflagsBits.CF | RflagsBits.PF | RflagsBits.AF | RflagsBits.ZF | RflagsBits.SF | RflagsBits.OF;

    /// <summary>Instructions with handlers of their own that may as well be executed as they are.</summary>
    private static readonly HashSet<Mnemonic> Plain =
    [
        Mnemonic.Mov, Mnemonic.Movzx, Mnemonic.Movsx, Mnemonic.Movsxd, Mnemonic.Lea, Mnemonic.Add, Mnemonic.Adc, Mnemonic.Sub, Mnemonic.Sbb,
        Mnemonic.Cmp, Mnemonic.And, Mnemonic.Test, Mnemonic.Or, Mnemonic.Xor, Mnemonic.Inc, Mnemonic.Dec, Mnemonic.Neg, Mnemonic.Not,
        Mnemonic.Shl, Mnemonic.Sal, Mnemonic.Shr, Mnemonic.Sar, Mnemonic.Imul, Mnemonic.Cdqe, Mnemonic.Cdq, Mnemonic.Cqo,
        Mnemonic.Clc, Mnemonic.Stc, Mnemonic.Cmc,
    ];

    /// <summary>Instructions that are admitted to replay and are rare, slow or special enough to leave there.</summary>
    private static readonly HashSet<Mnemonic> Left =
    [
        Mnemonic.Cpuid, Mnemonic.Rdtsc, Mnemonic.Rdtscp, Mnemonic.Xgetbv, Mnemonic.Rdpid, Mnemonic.Rdrand, Mnemonic.Rdseed, Mnemonic.Emms, Mnemonic.Femms,
        Mnemonic.Lahf, Mnemonic.Sahf,
    ];

    /// <summary>Instructions that leave no status flag as it was. Of others, even undefined ones, it is not certain.</summary>
    private static readonly HashSet<Mnemonic> SetAllFlags =
    [
        Mnemonic.Add, Mnemonic.Sub, Mnemonic.Cmp, Mnemonic.And, Mnemonic.Or, Mnemonic.Xor, Mnemonic.Test, Mnemonic.Neg,
        Mnemonic.Comiss, Mnemonic.Comisd, Mnemonic.Ucomiss, Mnemonic.Ucomisd, Mnemonic.Vcomiss, Mnemonic.Vcomisd, Mnemonic.Vucomiss, Mnemonic.Vucomisd,
    ];

    private static readonly InstructionInfoFactory InfoFactory = new();

    private TranslatableInstruction(in Instruction instruction, TranslationKind kind)
    {
        Instruction = instruction;
        Kind = kind;
        SetsFlags = (instruction.RflagsModified & StatusFlags) != 0;
        SetsAllFlags = SetAllFlags.Contains(instruction.Mnemonic);
        ReadsFlags = (instruction.RflagsRead & StatusFlags) != 0 || (SetsFlags && !SetsAllFlags);
    }

    public Instruction Instruction { get; }

    public TranslationKind Kind { get; }

    /// <summary>64-bit general registers, and opmasks and ZMM registers, in use.</summary>
    public HashSet<Register> General { get; } = [];

    /// <inheritdoc cref="General"/>
    public HashSet<Register> Others { get; } = [];

    /// <summary>Those of either that are written.</summary>
    public HashSet<Register> Written { get; } = [];

    /// <summary>Bytes of memory touched; 0 for none.</summary>
    public int AccessSize { get; private init; }

    public bool WritesMemory { get; private set; }

    /// <summary>From RSP to the memory that PUSH or POP touches.</summary>
    public int AddressOffset => Kind == TranslationKind.Push ? -8 : 0;

    public bool NeedsAlignment => ReplayPolicy.NeedsAlignment(Instruction, AccessSize);

    public bool SetsFlags { get; }

    /// <summary>No status flag is left as it was.</summary>
    public bool SetsAllFlags { get; }

    /// <summary>Flags matter to it: it reads them, or may leave some of them as they were.</summary>
    public bool ReadsFlags { get; }

    public bool UsesMxcsr => Others.Any(r => r.IsZMM()) && ReplayPolicy.UsesMxcsr(Instruction);

    /// <summary>Whether an instruction is a conditional jump on flags.</summary>
    public static bool IsFlagJump(in Instruction instruction) =>
        instruction.FlowControl == FlowControl.ConditionalBranch && instruction.ConditionCode != ConditionCode.None
        && instruction.Mnemonic is not (Mnemonic.Loop or Mnemonic.Loope or Mnemonic.Loopne or Mnemonic.Jrcxz or Mnemonic.Jecxz or Mnemonic.Jcxz);

    /// <summary>Null when the instruction cannot be translated.</summary>
    public static TranslatableInstruction? From(in Instruction instruction)
    {
        if (KindOf(instruction) is not { } kind)
            return null;
        bool accesses = kind is TranslationKind.Push or TranslationKind.Pop or TranslationKind.Prefetch || (kind == TranslationKind.Itself && HasMemory(instruction) && instruction.Mnemonic != Mnemonic.Lea);
        TranslatableInstruction result = new(instruction, kind)
        {
            AccessSize = !accesses ? 0 : kind == TranslationKind.Itself ? instruction.MemorySize.GetSize() : kind == TranslationKind.Prefetch ? 1 : 8,
        };
        if (accesses && result.AccessSize is 0 or > 64)
            return null;
        if (kind == TranslationKind.Nothing)
            return result;
        InstructionInfo info = InfoFactory.GetInfo(instruction);
        foreach (UsedMemory used in info.GetUsedMemory())
            result.WritesMemory |= IsWrite(used.Access);
        foreach (UsedRegister used in info.GetUsedRegisters())
        {
            Register full = used.Register.GetFullRegister();
            if (full.IsSegmentRegister() || full is Register.RIP)
                continue;
            if (full.IsGPR64())
                result.General.Add(full);
            else if (full.IsVectorRegister())
                result.Others.Add(full = Register.ZMM0 + full.GetNumber());
            else if (full.IsK())
                result.Others.Add(full);
            else
                return null;
            if (IsWrite(used.Access))
                result.Written.Add(full);
        }
        return result;
    }

    private static TranslationKind? KindOf(in Instruction instruction)
    {
        if (instruction.FlowControl != FlowControl.Next || instruction.IsInvalid)
            return null;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Nop or Mnemonic.Endbr64:
                return TranslationKind.Nothing;
            case Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2 or Mnemonic.Prefetchnta or Mnemonic.Prefetchw:
                return OperandsAreOrdinary(instruction) ? TranslationKind.Prefetch : null;
            case Mnemonic.Push or Mnemonic.Pop:
                bool plain = instruction.Op0Kind == OpKind.Register && instruction.Op0Register.IsGPR64() && (instruction.Mnemonic == Mnemonic.Push || instruction.Op0Register != Register.RSP);
                return !plain ? null : instruction.Mnemonic == Mnemonic.Push ? TranslationKind.Push : TranslationKind.Pop;
            case Mnemonic.Lea when instruction.IsIPRelativeMemoryOperand:
                return instruction.Op0Register.IsGPR64() ? TranslationKind.AbsoluteAddress : null;
            default:
                break;
        }
        bool admitted = Plain.Contains(instruction.Mnemonic)
            || (ReplayPolicy.Admits(instruction) && !ReplayPolicy.UsesX87(instruction) && !Left.Contains(instruction.Mnemonic));
        return admitted && OperandsAreOrdinary(instruction) ? TranslationKind.Itself : null;
    }

    /// <summary>Registers that keep their encoding next to any other, and at most one explicit memory operand with 64-bit addresses.</summary>
    private static bool OperandsAreOrdinary(in Instruction instruction)
    {
        bool hasMemory = HasMemory(instruction);
        for (int i = 0; i < instruction.OpCount; i++)
        {
            switch (instruction.GetOpKind(i))
            {
                case OpKind.Register:
                    Register register = instruction.GetOpRegister(i);
                    if (register.IsSegmentRegister() || register.IsCR() || register.IsDR() || register.IsMM() || register.IsST()
                        || (hasMemory && register is Register.AH or Register.BH or Register.CH or Register.DH))
                        return false;
                    break;
                case OpKind.Memory:
                    // A bit string in memory reaches beyond its operand.
                    if (instruction.Mnemonic is Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc && instruction.Op1Kind == OpKind.Register)
                        return false;
                    bool is64 = (instruction.MemoryBase == Register.None || instruction.MemoryBase.IsGPR64() || instruction.MemoryBase == Register.RIP)
                        && (instruction.MemoryIndex == Register.None || instruction.MemoryIndex.IsGPR64())
                        && !(instruction.MemoryBase == Register.None && instruction.MemoryIndex == Register.None && instruction.MemoryDisplSize == 4);
                    if (!is64)
                        return false;
                    break;
                case >= OpKind.MemorySegSI and < OpKind.Memory:
                    return false;
                default:
                    break;
            }
        }
        return true;
    }

    private static bool IsWrite(OpAccess access) => access is OpAccess.Write or OpAccess.ReadWrite or OpAccess.CondWrite or OpAccess.ReadCondWrite;

    private static bool HasMemory(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) == OpKind.Memory)
                return true;
        return false;
    }
}
