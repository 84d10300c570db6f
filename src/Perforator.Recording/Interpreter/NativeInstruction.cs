using Iced.Intel;

namespace Perforator.Recording.Interpreter;

internal enum NativeKind : byte
{
    /// <summary>The instruction itself, its memory operand redirected.</summary>
    Itself,

    /// <summary>NOP and its like.</summary>
    Nothing,

    /// <summary>Touches nothing, but says that a page is about to be touched.</summary>
    Prefetch,
    Push,
    Pop,
    Leave,

    /// <summary>LEA relative to the instruction pointer.</summary>
    AbsoluteAddress,
}

/// <summary>
/// An instruction that the CPU itself may execute for the interpreted thread, and what it uses. What is not listed here it does not, so the
/// code of a recorded process cannot do more in this one than compute.
/// </summary>
internal struct NativeInstruction
{
    private static readonly HashSet<CpuidFeature> Features =
    [
        CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SSE3, CpuidFeature.SSSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2,
        CpuidFeature.SSE4A,
        CpuidFeature.POPCNT, CpuidFeature.LZCNT, CpuidFeature.BMI1, CpuidFeature.BMI2, CpuidFeature.ADX, CpuidFeature.MOVBE,
        CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.SHA, CpuidFeature.GFNI, CpuidFeature.VAES, CpuidFeature.VPCLMULQDQ,
        CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C, CpuidFeature.AVX_VNNI,
        CpuidFeature.AVX512F, CpuidFeature.AVX512BW, CpuidFeature.AVX512CD, CpuidFeature.AVX512DQ, CpuidFeature.AVX512VL,
        CpuidFeature.AVX512_IFMA,
        CpuidFeature.AVX512_VBMI, CpuidFeature.AVX512_VBMI2, CpuidFeature.AVX512_VNNI, CpuidFeature.AVX512_BITALG,
        CpuidFeature.AVX512_VPOPCNTDQ, CpuidFeature.AVX512_BF16, CpuidFeature.AVX512_FP16,
        CpuidFeature.MMX, CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.CMOV,
    ];

    /// <summary>Instructions of the base integer set.</summary>
    private static readonly HashSet<Mnemonic> Integer =
    [
        Mnemonic.Mov, Mnemonic.Movzx, Mnemonic.Movsx, Mnemonic.Movsxd, Mnemonic.Lea, Mnemonic.Add, Mnemonic.Adc, Mnemonic.Sub, Mnemonic.Sbb,
        Mnemonic.Cmp, Mnemonic.And, Mnemonic.Test, Mnemonic.Or, Mnemonic.Xor, Mnemonic.Inc, Mnemonic.Dec, Mnemonic.Neg, Mnemonic.Not,
        Mnemonic.Shl, Mnemonic.Sal, Mnemonic.Shr, Mnemonic.Sar, Mnemonic.Mul, Mnemonic.Imul, Mnemonic.Cbw, Mnemonic.Cwde, Mnemonic.Cdqe,
        Mnemonic.Cwd, Mnemonic.Cdq, Mnemonic.Cqo, Mnemonic.Clc, Mnemonic.Stc, Mnemonic.Cmc, Mnemonic.Lahf, Mnemonic.Sahf,
        Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Rcl, Mnemonic.Rcr, Mnemonic.Shld, Mnemonic.Shrd, Mnemonic.Bsf, Mnemonic.Bsr, Mnemonic.Bswap,
        Mnemonic.Bt, Mnemonic.Bts, Mnemonic.Btr, Mnemonic.Btc, Mnemonic.Xadd, Mnemonic.Xchg, Mnemonic.Cmpxchg, Mnemonic.Cmpxchg8b,
        Mnemonic.Cmpxchg16b, Mnemonic.Crc32, Mnemonic.Seto, Mnemonic.Setno, Mnemonic.Setb, Mnemonic.Setae, Mnemonic.Sete, Mnemonic.Setne,
        Mnemonic.Setbe, Mnemonic.Seta, Mnemonic.Sets, Mnemonic.Setns, Mnemonic.Setp, Mnemonic.Setnp, Mnemonic.Setl, Mnemonic.Setge,
        Mnemonic.Setle,
        Mnemonic.Setg, Mnemonic.Cpuid, Mnemonic.Rdtsc, Mnemonic.Rdtscp, Mnemonic.Xgetbv, Mnemonic.Rdpid, Mnemonic.Rdrand, Mnemonic.Rdseed,
    ];

    /// <summary>Instructions of admitted sets that reach beyond their operands or change control state.</summary>
    private static readonly HashSet<Mnemonic> Excluded =
    [
        Mnemonic.Maskmovq, Mnemonic.Maskmovdqu, Mnemonic.Vmaskmovdqu, Mnemonic.Ldmxcsr, Mnemonic.Vldmxcsr, Mnemonic.Stmxcsr,
        Mnemonic.Vstmxcsr,
        Mnemonic.Vzeroupper, Mnemonic.Vzeroall, Mnemonic.Fsave, Mnemonic.Fnsave, Mnemonic.Frstor, Mnemonic.Fxsave, Mnemonic.Fxrstor,
        Mnemonic.Fxsave64, Mnemonic.Fxrstor64, Mnemonic.Wait, Mnemonic.Fldcw,
    ];

    private const RflagsBits StatusFlags = RflagsBits.CF | RflagsBits.PF | RflagsBits.AF | RflagsBits.ZF | RflagsBits.SF | RflagsBits.OF;

    private static readonly InstructionInfoFactory InfoFactory = new();

    public Instruction Instruction;

    public NativeKind Kind;

    /// <summary>Registers in use, and those that are written: general ones from bit 0 on, then vectors, then opmasks.</summary>
    public ulong Used, Written;

    /// <summary>The bits of the first vector register and of the first opmask.</summary>
    public const int FirstVector = 16, FirstOpmask = 48;

    /// <summary>Bytes of memory touched; 0 for none.</summary>
    public int AccessSize;

    public bool WritesMemory, NeedsAlignment;

    /// <summary>Flags matter to it: it reads them, or may leave some of them as they were.</summary>
    public bool ReadsFlags;

    /// <summary>It changes status flags; no status flag is left as it was.</summary>
    public bool SetsFlags, SetsAllFlags;

    public bool UsesX87;

    /// <summary>It cannot be encoded with an address in R8 … R15, as it has AH, BH, CH or DH for an operand.</summary>
    public bool NeedsLowAddress;

    /// <summary>Whether an instruction is one.</summary>
    public static bool TryMake(in Instruction instruction, out NativeInstruction native)
    {
        native = default;
        if (KindOf(instruction) is not { } kind)
            return false;
        native.Instruction = instruction;
        native.Kind = kind;
        if (kind == NativeKind.Nothing)
            return true;
        bool accesses = kind is not NativeKind.Itself || (HasMemory(instruction) && instruction.Mnemonic != Mnemonic.Lea);
        native.AccessSize = !accesses || kind == NativeKind.AbsoluteAddress ? 0
            : kind == NativeKind.Itself ? instruction.MemorySize.GetSize()
            : kind == NativeKind.Prefetch ? 1 : sizeof(ulong);
        if (accesses && kind == NativeKind.Itself && native.AccessSize is 0 or > 64)
            return false;
        native.SetsFlags = (instruction.RflagsModified & StatusFlags) != 0;
        // A shift by CL sets none where that is 0.
        native.SetsAllFlags = (instruction.RflagsModified & StatusFlags) == StatusFlags
            && (instruction.OpCount < 2 || instruction.GetOpRegister(instruction.OpCount - 1) != Register.CL);
        native.ReadsFlags = (instruction.RflagsRead & StatusFlags) != 0 || (native.SetsFlags && !native.SetsAllFlags);
        native.NeedsAlignment = kind == NativeKind.Itself && native.AccessSize > 0 && FaultsUnaligned(instruction, native.AccessSize);
        return native.SetUses();
    }

    private static bool IsAdmitted(in Instruction instruction) =>
        (Integer.Contains(instruction.Mnemonic)
            || Array.TrueForAll(instruction.CpuidFeatures, static feature => Features.Contains(feature)))
            && !Excluded.Contains(instruction.Mnemonic) && !instruction.IsPrivileged && !instruction.IsStackInstruction
            && !instruction.IsVsib && !instruction.IsStringInstruction
            // Their address is in the instruction itself, in 8 bytes.
            && instruction.Code is not (>= Code.Mov_AL_moffs8 and <= Code.Mov_moffs64_RAX);

    private static NativeKind? KindOf(in Instruction instruction)
    {
        if (instruction.FlowControl != FlowControl.Next || instruction.IsInvalid)
            return null;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Nop or Mnemonic.Endbr64 or Mnemonic.Endbr32 or Mnemonic.Lfence or Mnemonic.Mfence or Mnemonic.Sfence
                or Mnemonic.Reservednop or Mnemonic.Wait or Mnemonic.Clflush or Mnemonic.Clflushopt or Mnemonic.Clwb or Mnemonic.Cldemote
                or Mnemonic.Rdsspd or Mnemonic.Rdsspq or Mnemonic.Prefetch:
                return NativeKind.Nothing;
            case Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2 or Mnemonic.Prefetchnta or Mnemonic.Prefetchw:
                return NativeKind.Prefetch;
            case Mnemonic.Push
                when instruction.Code is Code.Pushq_imm8 or Code.Pushq_imm32
                    || (instruction.Op0Kind == OpKind.Register && instruction.Op0Register.IsGPR64()):
                return NativeKind.Push;
            case Mnemonic.Pop when instruction.Op0Kind == OpKind.Register && instruction.Op0Register.IsGPR64():
                return NativeKind.Pop;
            case Mnemonic.Leave when instruction.Code == Code.Leaveq:
                return NativeKind.Leave;
            case Mnemonic.Lea when instruction.IsIPRelativeMemoryOperand:
                return instruction.Op0Register.IsGPR64() || instruction.Op0Register.IsGPR32() ? NativeKind.AbsoluteAddress : null;
            default:
                return IsAdmitted(instruction) && HasPlainOperands(instruction) ? NativeKind.Itself : null;
        }
    }

    /// <summary>No control or segment registers, and at most one explicit memory operand.</summary>
    private static bool HasPlainOperands(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            OpKind kind = instruction.GetOpKind(i);
            if (kind is >= OpKind.MemorySegSI and < OpKind.Memory)
                return false;
            // A bit string in memory reaches beyond its operand.
            if (kind == OpKind.Memory && instruction.Mnemonic is Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc
                && instruction.Op1Kind == OpKind.Register)
                return false;
            if (kind == OpKind.Register && instruction.GetOpRegister(i) is var register
                && (register.IsSegmentRegister() || register.IsCR() || register.IsDR()))
                return false;
        }
        return true;
    }

    private static bool HasMemory(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) == OpKind.Memory)
                return true;
        return false;
    }

    /// <summary>Whether the CPU faults when the memory operand is not aligned to its size.</summary>
    private static bool FaultsUnaligned(in Instruction instruction, int size)
    {
        if (instruction.Mnemonic is Mnemonic.Cmpxchg16b)
            return true;
        if (instruction.Encoding == EncodingKind.Legacy)
            return size == 16 && instruction.Mnemonic is not (Mnemonic.Movups or Mnemonic.Movupd or Mnemonic.Movdqu or Mnemonic.Lddqu
                or Mnemonic.Pcmpestri or Mnemonic.Pcmpestrm or Mnemonic.Pcmpistri or Mnemonic.Pcmpistrm);
        return instruction.Mnemonic is Mnemonic.Vmovaps or Mnemonic.Vmovapd or Mnemonic.Vmovdqa or Mnemonic.Vmovdqa32 or Mnemonic.Vmovdqa64
            or Mnemonic.Vmovntdq or Mnemonic.Vmovntdqa or Mnemonic.Vmovntps or Mnemonic.Vmovntpd;
    }

    private bool SetUses()
    {
        UsesX87 = Array.Exists(Instruction.CpuidFeatures, static feature =>
            feature is CpuidFeature.FPU or CpuidFeature.FPU287 or CpuidFeature.FPU387 or CpuidFeature.MMX);
        InstructionInfo info = InfoFactory.GetInfo(Instruction);
        foreach (UsedMemory used in info.GetUsedMemory())
            WritesMemory |= IsWrite(used.Access);
        foreach (UsedRegister used in info.GetUsedRegisters())
        {
            Register full = used.Register.GetFullRegister();
            int first = full.IsGPR64() ? 0 : full.IsVectorRegister() ? FirstVector : full.IsK() ? FirstOpmask : -1;
            if (first >= 0)
            {
                Used |= 1UL << (first + full.GetNumber());
                Written |= IsWrite(used.Access) ? 1UL << (first + full.GetNumber()) : 0;
            }
            else if (full.IsST() || full.IsMM())
                UsesX87 = true;
            else if (!full.IsSegmentRegister() && full != Register.RIP)
                return false;
        }
        for (int i = 0; i < Instruction.OpCount; i++)
            NeedsLowAddress |= AccessSize > 0 && Instruction.GetOpKind(i) == OpKind.Register
                && Instruction.GetOpRegister(i) is Register.AH or Register.BH or Register.CH or Register.DH;
        return true;
    }

    private static bool IsWrite(OpAccess access) =>
        access is OpAccess.Write or OpAccess.ReadWrite or OpAccess.CondWrite or OpAccess.ReadCondWrite;
}
