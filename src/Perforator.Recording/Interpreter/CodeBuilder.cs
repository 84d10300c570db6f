using System.Buffers.Binary;
using Iced.Intel;
using IcedMemoryOperand = Iced.Intel.MemoryOperand;

namespace Perforator.Recording.Interpreter;

/// <summary>Encodes instructions one after another, with forward jumps that are resolved later.</summary>
internal sealed class CodeBuilder : CodeWriter
{
    private readonly List<byte> bytes = [];
    private readonly Encoder encoder;

    public CodeBuilder() => encoder = Encoder.Create(64, this);

    /// <summary>Whether every instruction so far could be encoded with the registers it was given.</summary>
    public bool IsValid { get; private set; } = true;

    public int Length => bytes.Count;

    public void Clear()
    {
        bytes.Clear();
        IsValid = true;
    }

    public override void WriteByte(byte value) => bytes.Add(value);

    /// <summary>Adds an instruction that refers to no address relative to its own.</summary>
    public void Add(in Instruction instruction) => IsValid &= encoder.TryEncode(instruction, 0, out _, out _);

    public void Move(Register to, Register from) => Add(Instruction.Create(Code.Mov_r64_rm64, to, from));

    public void Load(Register to, IcedMemoryOperand from) => Add(Instruction.Create(Code.Mov_r64_rm64, to, from));

    public void Store(IcedMemoryOperand to, Register from) => Add(Instruction.Create(Code.Mov_rm64_r64, to, from));

    /// <summary>Adds a jump to a place that is not known yet.</summary>
    /// <param name="opcode">The bytes before its 32-bit displacement.</param>
    /// <returns>What <see cref="Resolve"/> wants.</returns>
    public int Jump(params ReadOnlySpan<byte> opcode)
    {
        bytes.AddRange(opcode);
        bytes.AddRange([0, 0, 0, 0]);
        return bytes.Count;
    }

    /// <summary>Makes a jump lead to here.</summary>
    public void Resolve(int jump)
    {
        Span<byte> displacement = stackalloc byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(displacement, bytes.Count - jump);
        for (int i = 0; i < 4; i++)
            bytes[jump - 4 + i] = displacement[i];
    }

    public byte[] ToArray() => [.. bytes];
}
