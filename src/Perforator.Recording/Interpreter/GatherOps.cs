using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>Gathers, whose many addresses come from a vector register.</summary>
internal static unsafe class GatherOps
{
    /// <summary>What a handler needs to know besides base, scale and displacement; kept in <see cref="Op.Immediate"/>.</summary>
    [StructLayout(LayoutKind.Sequential, Size = sizeof(ulong))]
    private struct Elements
    {
        /// <summary>Numbers of vector registers: the data, the indices, and the mask of AVX2; and of the opmask of AVX-512.</summary>
        public byte Data, Indices, Mask, Opmask;

        public byte Count;

        /// <summary>In bytes.</summary>
        public byte IndexSize, DataSize;
    }

    /// <summary>Null when it is none of these, or beyond what is interpreted.</summary>
    public static delegate*<Cpu, in Op, void> Select(in Instruction instruction, ref Op op)
    {
        (int index, int data) = instruction.Mnemonic switch
        {
            Mnemonic.Vpgatherdd or Mnemonic.Vgatherdps => (4, 4),
            Mnemonic.Vpgatherdq or Mnemonic.Vgatherdpd => (4, 8),
            Mnemonic.Vpgatherqd or Mnemonic.Vgatherqps => (8, 4),
            Mnemonic.Vpgatherqq or Mnemonic.Vgatherqpd => (8, 8),
            _ => default,
        };
        if (index == 0 || !instruction.MemoryIndex.IsVectorRegister())
            return null;
        Register register = instruction.Op0Register;
        bool hasVectorMask = instruction.Encoding == EncodingKind.VEX;
        Elements elements = new()
        {
            Data = (byte)register.GetNumber(),
            Indices = (byte)instruction.MemoryIndex.GetNumber(),
            Mask = hasVectorMask ? (byte)instruction.GetOpRegister(2).GetNumber() : (byte)0,
            Opmask = hasVectorMask ? (byte)0 : (byte)instruction.OpMask.GetNumber(),
            Count = (byte)Math.Min(instruction.MemoryIndex.GetSize() / index, register.GetSize() / data),
            IndexSize = (byte)index,
            DataSize = (byte)data,
        };
        op.Immediate = Unsafe.BitCast<Elements, ulong>(elements);
        return hasVectorMask ? &GatherByVector : &GatherByOpmask;
    }

    private static void GatherByVector(Cpu cpu, in Op op)
    {
        Elements elements = Unsafe.BitCast<ulong, Elements>(op.Immediate);
        byte* mask = Vector(cpu, elements.Mask);
        for (int i = 0; i < elements.Count; i++)
            if ((sbyte)mask[((i + 1) * elements.DataSize) - 1] < 0)
                Load(cpu, op, elements, i);
        Finish(cpu, elements);
        new Span<byte>(mask, 64).Clear();
    }

    private static void GatherByOpmask(Cpu cpu, in Op op)
    {
        Elements elements = Unsafe.BitCast<ulong, Elements>(op.Immediate);
        ref ulong mask = ref cpu.Register(CpuState.Opmasks + (8 * elements.Opmask));
        for (int i = 0; i < elements.Count; i++)
            if ((mask >> i & 1) != 0)
                Load(cpu, op, elements, i);
        Finish(cpu, elements);
        mask = 0;
    }

    private static void Load(Cpu cpu, in Op op, in Elements elements, int i) =>
        cpu.Memory.Read(
            Address(cpu, op, elements, i), new Span<byte>(Vector(cpu, elements.Data) + (i * elements.DataSize), elements.DataSize));

    /// <summary>What lies behind the last element becomes zero.</summary>
    private static void Finish(Cpu cpu, in Elements elements)
    {
        int length = elements.Count * elements.DataSize;
        new Span<byte>(Vector(cpu, elements.Data) + length, 64 - length).Clear();
    }

    private static ulong Address(Cpu cpu, in Op op, in Elements elements, int i)
    {
        byte* indices = Vector(cpu, elements.Indices);
        long index = elements.IndexSize == 4 ? ((int*)indices)[i] : ((long*)indices)[i];
        return ((cpu.Register(op.Base) + (ulong)(index << op.Scale) + op.Displacement) & op.AddressMask) + cpu.Register(op.Segment);
    }

    private static byte* Vector(Cpu cpu, int number) => cpu.State + CpuState.Vectors + (64 * number);
}
