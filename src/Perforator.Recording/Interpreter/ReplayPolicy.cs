using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Decides which instructions may be replayed natively in this process. What is not listed here is not replayed, so the code of a
/// recorded process cannot do more here than compute.
/// </summary>
internal static class ReplayPolicy
{
    private static readonly HashSet<CpuidFeature> Features =
    [
        CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SSE3, CpuidFeature.SSSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2, CpuidFeature.SSE4A,
        CpuidFeature.POPCNT, CpuidFeature.LZCNT, CpuidFeature.BMI1, CpuidFeature.BMI2, CpuidFeature.ADX, CpuidFeature.MOVBE,
        CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.SHA, CpuidFeature.GFNI, CpuidFeature.VAES, CpuidFeature.VPCLMULQDQ,
        CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C, CpuidFeature.AVX_VNNI,
        CpuidFeature.AVX512F, CpuidFeature.AVX512BW, CpuidFeature.AVX512CD, CpuidFeature.AVX512DQ, CpuidFeature.AVX512VL, CpuidFeature.AVX512_IFMA,
        CpuidFeature.AVX512_VBMI, CpuidFeature.AVX512_VBMI2, CpuidFeature.AVX512_VNNI, CpuidFeature.AVX512_BITALG,
        CpuidFeature.AVX512_VPOPCNTDQ, CpuidFeature.AVX512_BF16, CpuidFeature.AVX512_FP16,
        CpuidFeature.MMX, CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.CMOV,
    ];

    /// <summary>Instructions of the base integer set that are not worth handlers of their own.</summary>
    private static readonly HashSet<Mnemonic> Integer =
    [
        Mnemonic.Rol, Mnemonic.Ror, Mnemonic.Rcl, Mnemonic.Rcr, Mnemonic.Shld, Mnemonic.Shrd, Mnemonic.Bsf, Mnemonic.Bsr, Mnemonic.Bswap,
        Mnemonic.Bt, Mnemonic.Bts, Mnemonic.Btr, Mnemonic.Btc, Mnemonic.Xadd, Mnemonic.Xchg, Mnemonic.Cmpxchg, Mnemonic.Cmpxchg8b,
        Mnemonic.Cmpxchg16b, Mnemonic.Mul, Mnemonic.Imul, Mnemonic.Cbw, Mnemonic.Cwde, Mnemonic.Cwd, Mnemonic.Lahf, Mnemonic.Sahf,
        Mnemonic.Movzx, Mnemonic.Movsx, Mnemonic.Movsxd, Mnemonic.Cmovo, Mnemonic.Cmovno, Mnemonic.Cmovb, Mnemonic.Cmovae, Mnemonic.Cmove,
        Mnemonic.Cmovne, Mnemonic.Cmovbe, Mnemonic.Cmova, Mnemonic.Cmovs, Mnemonic.Cmovns, Mnemonic.Cmovp, Mnemonic.Cmovnp, Mnemonic.Cmovl,
        Mnemonic.Cmovge, Mnemonic.Cmovle, Mnemonic.Cmovg, Mnemonic.Crc32,
        Mnemonic.Cpuid, Mnemonic.Rdtsc, Mnemonic.Rdtscp, Mnemonic.Xgetbv, Mnemonic.Rdpid, Mnemonic.Rdrand, Mnemonic.Rdseed,
    ];

    /// <summary>Instructions of admitted sets that reach beyond their operands, change control state or may trap unmasked.</summary>
    private static readonly HashSet<Mnemonic> Excluded =
    [
        Mnemonic.Maskmovq, Mnemonic.Maskmovdqu, Mnemonic.Vmaskmovdqu, Mnemonic.Ldmxcsr, Mnemonic.Vldmxcsr, Mnemonic.Stmxcsr, Mnemonic.Vstmxcsr,
        Mnemonic.Vzeroupper, Mnemonic.Vzeroall, Mnemonic.Fsave, Mnemonic.Fnsave, Mnemonic.Frstor, Mnemonic.Fxsave, Mnemonic.Fxrstor, Mnemonic.Fxsave64, Mnemonic.Fxrstor64, Mnemonic.Wait, Mnemonic.Fldcw,
    ];

    private const RflagsBits StatusFlags = RflagsBits.CF | RflagsBits.PF | RflagsBits.AF | RflagsBits.ZF | RflagsBits.SF | RflagsBits.OF;

    public static bool Admits(in Instruction instruction)
    {
        if (instruction.FlowControl != FlowControl.Next || instruction.IsPrivileged || instruction.IsStackInstruction || instruction.IsVsib
            || instruction.IsInvalid || instruction.IsStringInstruction || Excluded.Contains(instruction.Mnemonic))
            return false;
        if (Integer.Contains(instruction.Mnemonic))
            return true;
        foreach (CpuidFeature feature in instruction.CpuidFeatures)
            if (!Features.Contains(feature))
                return false;
        return true;
    }

    /// <summary>Whether an instruction works on x87 or MMX registers, if only on their status.</summary>
    public static bool UsesX87(in Instruction instruction)
    {
        foreach (CpuidFeature feature in instruction.CpuidFeatures)
            if (feature is CpuidFeature.FPU or CpuidFeature.FPU287 or CpuidFeature.FPU387 or CpuidFeature.MMX)
                return true;
        return false;
    }

    /// <summary>Whether an instruction has a register among its implicit operands, besides using it in an address.</summary>
    public static bool UsesImplicitly(in Instruction instruction, Register register) => instruction.Mnemonic switch
    {
        Mnemonic.Cmpxchg => register == Register.RAX,
        Mnemonic.Cmpxchg8b or Mnemonic.Cmpxchg16b => register is Register.RAX or Register.RBX or Register.RCX or Register.RDX,
        Mnemonic.Mul or Mnemonic.Imul or Mnemonic.Mulx => register is Register.RAX or Register.RDX,
        Mnemonic.Pcmpestri or Mnemonic.Pcmpestrm or Mnemonic.Vpcmpestri or Mnemonic.Vpcmpestrm
            or Mnemonic.Pcmpistri or Mnemonic.Pcmpistrm or Mnemonic.Vpcmpistri or Mnemonic.Vpcmpistrm =>
            register is Register.RAX or Register.RCX or Register.RDX,
        Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr or Mnemonic.Shld or Mnemonic.Shrd => register == Register.RCX,
        _ => false,
    };

    /// <summary>Whether an instruction may round or raise floating-point flags; moves, bitwise and integer vector instructions do not.</summary>
    public static bool UsesMxcsr(in Instruction instruction)
    {
        string name = instruction.Mnemonic.ToString().ToUpperInvariant();
        ReadOnlySpan<char> stem = name[0] == 'V' ? name.AsSpan(1) : name;
        foreach (string prefix in new[] { "P", "MOV", "AND", "OR", "XOR", "UNPCK", "SHUF", "PERM", "BROADCAST", "EXTRACT", "INSERT", "BLEND", "ALIGN", "LDDQU", "AES", "SHA", "GF2", "TEST", "COMPRESS", "EXPAND", "DBPSADBW", "MASKMOV" })
            if (stem.StartsWith(prefix, StringComparison.Ordinal))
                return false;
        return true;
    }

    /// <summary>Whether replay must store the status flags it leaves.</summary>
    public static bool WritesFlags(in Instruction instruction) => (instruction.RflagsModified & StatusFlags) != 0;

    /// <summary>Whether replay must load the status flags: the instruction reads some, or keeps some of them.</summary>
    public static bool ReadsFlags(in Instruction instruction) =>
        (instruction.RflagsRead & StatusFlags) != 0 || (WritesFlags(instruction) && (instruction.RflagsModified & StatusFlags) != StatusFlags);

    /// <summary>Whether the CPU faults when the memory operand is not aligned to its size.</summary>
    public static bool NeedsAlignment(in Instruction instruction, int size)
    {
        if (instruction.Mnemonic is Mnemonic.Cmpxchg16b)
            return true;
        if (instruction.Encoding == EncodingKind.Legacy)
            return size == 16 && instruction.Mnemonic is not (Mnemonic.Movups or Mnemonic.Movupd or Mnemonic.Movdqu or Mnemonic.Lddqu);
        return instruction.Mnemonic is Mnemonic.Vmovaps or Mnemonic.Vmovapd or Mnemonic.Vmovdqa or Mnemonic.Vmovdqa32 or Mnemonic.Vmovdqa64
            or Mnemonic.Vmovntdq or Mnemonic.Vmovntdqa or Mnemonic.Vmovntps or Mnemonic.Vmovntpd;
    }
}
