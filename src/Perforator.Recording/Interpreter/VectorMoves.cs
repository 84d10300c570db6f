using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using IcedMemoryOperand = Iced.Intel.MemoryOperand;

namespace Perforator.Recording.Interpreter;

/// <summary>Moves between a vector register, as wide as this CPU has it, and its place in the <see cref="CpuState"/>.</summary>
internal static class VectorMoves
{
    /// <param name="zmm">Names the register by its widest form.</param>
    /// <param name="state">The register that points to the state.</param>
    public static Instruction Load(Register zmm, Register state)
    {
        (int number, IcedMemoryOperand place) = Place(zmm, state);
        return Avx512F.IsSupported ? Instruction.Create(Code.EVEX_Vmovdqu64_zmm_k1z_zmmm512, zmm, place)
            : Avx.IsSupported ? Instruction.Create(Code.VEX_Vmovdqu_ymm_ymmm256, Register.YMM0 + number, place)
            : Instruction.Create(Code.Movups_xmm_xmmm128, Register.XMM0 + number, place);
    }

    /// <inheritdoc cref="Load"/>
    public static Instruction Store(Register zmm, Register state)
    {
        (int number, IcedMemoryOperand place) = Place(zmm, state);
        return Avx512F.IsSupported ? Instruction.Create(Code.EVEX_Vmovdqu64_zmmm512_k1z_zmm, place, zmm)
            : Avx.IsSupported ? Instruction.Create(Code.VEX_Vmovdqu_ymmm256_ymm, place, Register.YMM0 + number)
            : Instruction.Create(Code.Movups_xmmm128_xmm, place, Register.XMM0 + number);
    }

    private static (int Number, IcedMemoryOperand Place) Place(Register zmm, Register state) =>
        (zmm.GetNumber(), new IcedMemoryOperand(state, CpuState.Vectors + (64 * zmm.GetNumber()), 1));
}
