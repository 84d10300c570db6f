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

    public void LoadVector(Register zmm) => Add(VectorMoves.Load(zmm, state));

    public void StoreVector(Register zmm) => Add(VectorMoves.Store(zmm, state));

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
