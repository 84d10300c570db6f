using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using IcedMemoryOperand = Iced.Intel.MemoryOperand;

namespace Perforator.Recording.Interpreter;

/// <summary>Collects the instructions of one replay stub and encodes them.</summary>
/// <param name="state">The register that points to the <see cref="CpuState"/>.</param>
internal sealed class StubAssembler(Register state)
{
    private readonly List<Instruction> instructions = [];

    public void Add(in Instruction instruction) => instructions.Add(instruction);

    /// <summary>A place in the CPU state.</summary>
    public IcedMemoryOperand At(int offset) => new(state, offset, 1);

    /// <summary>Loads a vector register as wide as this CPU has it.</summary>
    public void LoadVector(Register zmm)
    {
        IcedMemoryOperand place = At(CpuState.Vectors + (64 * zmm.GetNumber()));
        int number = zmm.GetNumber();
        Add(Avx512F.IsSupported ? Instruction.Create(Code.EVEX_Vmovdqu64_zmm_k1z_zmmm512, zmm, place)
            : Avx.IsSupported ? Instruction.Create(Code.VEX_Vmovdqu_ymm_ymmm256, Register.YMM0 + number, place)
            : Instruction.Create(Code.Movups_xmm_xmmm128, Register.XMM0 + number, place));
    }

    /// <summary>Stores a vector register as wide as this CPU has it.</summary>
    public void StoreVector(Register zmm)
    {
        IcedMemoryOperand place = At(CpuState.Vectors + (64 * zmm.GetNumber()));
        int number = zmm.GetNumber();
        Add(Avx512F.IsSupported ? Instruction.Create(Code.EVEX_Vmovdqu64_zmmm512_k1z_zmm, place, zmm)
            : Avx.IsSupported ? Instruction.Create(Code.VEX_Vmovdqu_ymmm256_ymm, place, Register.YMM0 + number)
            : Instruction.Create(Code.Movups_xmmm128_xmm, place, Register.XMM0 + number));
    }

    /// <summary>The code for execution at an address; null when an instruction cannot be encoded with the registers it was given.</summary>
    public byte[]? Assemble(ulong address)
    {
        Collector code = new();
        Encoder encoder = Encoder.Create(64, code);
        foreach (Instruction instruction in instructions)
        {
            if (!encoder.TryEncode(instruction, address + (ulong)code.Bytes.Count, out _, out _))
                return null;
        }
        return [.. code.Bytes];
    }

    private sealed class Collector : CodeWriter
    {
        public List<byte> Bytes { get; } = [];

        public override void WriteByte(byte value) => Bytes.Add(value);
    }
}
