using System.Buffers.Binary;
using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using IcedMemoryOperand = Iced.Intel.MemoryOperand;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Encodes instructions one after another. What every block has many of, moves of 64-bit registers and the like, is encoded by hand: 64-bit
/// registers are numbers there.
/// </summary>
internal sealed class CodeBuilder : CodeWriter
{
    /// <summary>More than the longest block's code takes.</summary>
    public const int Capacity = 1 << 15;

    public const byte Load = 0x8B, StoreTo = 0x89, Address = 0x8D, Xor = 0x33, Add = 0x03;

    private readonly byte[] bytes = new byte[Capacity];
    private readonly Encoder encoder;

    public CodeBuilder() => encoder = Encoder.Create(64, this);

    public int Length { get; private set; }

    public ReadOnlySpan<byte> Assembled => bytes.AsSpan(0, Length);

    public void Clear() => Length = 0;

    public override void WriteByte(byte value) => bytes[Length++] = value;

    public void Bytes(params ReadOnlySpan<byte> values)
    {
        values.CopyTo(bytes.AsSpan(Length));
        Length += values.Length;
    }

    public void Int32(int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(Length), value);
        Length += sizeof(int);
    }

    /// <summary>Adds an instruction that refers to no address relative to its own.</summary>
    /// <returns>False when it cannot be encoded with the registers it was given.</returns>
    public bool TryEncode(in Instruction instruction) => encoder.TryEncode(instruction, 0, out _, out _);

    /// <summary>An instruction of a 64-bit register and memory.</summary>
    /// <param name="opcode">With a ModRM byte.</param>
    /// <param name="index">Scaled by 8; negative for none. RSP is none either.</param>
    public void WithMemory(byte opcode, int register, int @base, int displacement, int index = -1)
    {
        bool isNear = displacement is >= sbyte.MinValue and <= sbyte.MaxValue;
        int mode = ((isNear ? 1 : 2) << 6) | ((register & 7) << 3);
        WriteByte((byte)(0x48 | (register >> 3 << 2) | (index > 7 ? 2 : 0) | (@base >> 3)));
        WriteByte(opcode);
        if (index >= 0)
            Bytes((byte)(mode | 4), (byte)(0xC0 | ((index & 7) << 3) | (@base & 7)));
        else if ((@base & 7) == 4)
            Bytes((byte)(mode | 4), 0x24);
        else
            WriteByte((byte)(mode | (@base & 7)));
        if (isNear)
            WriteByte((byte)displacement);
        else
            Int32(displacement);
    }

    /// <summary>An instruction of one 64-bit register, or of two.</summary>
    /// <param name="second">In the ModRM byte's other field; a digit of the opcode for some.</param>
    public void WithRegisters(byte opcode, int first, int second) =>
        Bytes((byte)(0x48 | (second >> 3 << 2) | (first >> 3)), opcode, (byte)(0xC0 | ((second & 7) << 3) | (first & 7)));

    public void Move(int to, int from) => WithRegisters(StoreTo, to, from);

    public void Push(int register) => Bytes((byte)(0x40 | (register >> 3)), (byte)(0x50 | (register & 7)));

    public void Pop(int register) => Bytes((byte)(0x40 | (register >> 3)), (byte)(0x58 | (register & 7)));

    public void LoadConstant(int register, ulong value)
    {
        Bytes((byte)(0x48 | (register >> 3)), (byte)(0xB8 | (register & 7)));
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(Length), value);
        Length += sizeof(ulong);
    }

    /// <summary>Adds a jump to a place that is not known yet.</summary>
    /// <param name="opcode">The bytes before its 32-bit displacement.</param>
    /// <returns>What <see cref="Resolve"/> wants.</returns>
    public int Jump(params ReadOnlySpan<byte> opcode)
    {
        Bytes(opcode);
        Int32(0);
        return Length;
    }

    /// <summary>Makes a jump lead to here.</summary>
    public void Resolve(int jump) => BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(jump - sizeof(int)), Length - jump);

    /// <summary>Moves a vector register, as wide as this CPU has it, or an opmask between itself and its place in the state.</summary>
    /// <param name="number">Its bit of <see cref="NativeInstruction.Used"/>.</param>
    /// <param name="state">The register that points to the <see cref="CpuState"/>.</param>
    public void MoveExtended(int number, Register state, bool stores)
    {
        bool isMask = number >= NativeInstruction.FirstOpmask;
        number -= isMask ? NativeInstruction.FirstOpmask : NativeInstruction.FirstVector;
        IcedMemoryOperand place = new(state, isMask ? CpuState.Opmasks + (8 * number) : CpuState.Vectors + (64 * number), 1);
        (Register register, Code load, Code store) = isMask ? (Register.K0, Code.VEX_Kmovq_kr_km64, Code.VEX_Kmovq_m64_kr)
            : Avx512F.IsSupported ? (Register.ZMM0, Code.EVEX_Vmovdqu64_zmm_k1z_zmmm512, Code.EVEX_Vmovdqu64_zmmm512_k1z_zmm)
            : Avx.IsSupported ? (Register.YMM0, Code.VEX_Vmovdqu_ymm_ymmm256, Code.VEX_Vmovdqu_ymmm256_ymm)
            : (Register.XMM0, Code.Movups_xmm_xmmm128, Code.Movups_xmmm128_xmm);
        _ = TryEncode(stores ? Instruction.Create(store, place, register + number) : Instruction.Create(load, register + number, place));
    }
}
