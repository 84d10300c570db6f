using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>Gathers, whose many addresses come from a vector register.</summary>
internal static unsafe class GatherOps
{
    /// <summary>Null when it is none: a scatter, or a prefetch.</summary>
    public static delegate*<Cpu, in Instruction, void> Select(in Instruction instruction) =>
        instruction.Op0Kind == OpKind.Register ? &Gather : null;

    private static void Gather(Cpu cpu, in Instruction instruction)
    {
        const int MemoryOperand = 1, MaskOperand = 2;
        int size = instruction.MemorySize.GetSize(), indexSize = instruction.IsVsib64 ? 8 : 4;
        int count = Math.Min(instruction.MemoryIndex.GetSize() / indexSize, instruction.Op0Register.GetSize() / size);
        // AVX2 has the mask in a vector, an element's sign says whether it is loaded; AVX-512 has a bit for each in an opmask.
        bool hasVectorMask = instruction.Encoding == EncodingKind.VEX;
        byte* data = cpu.Vector(instruction.Op0Register);
        byte* mask = hasVectorMask ? cpu.Vector(instruction.GetOpRegister(MaskOperand))
            : cpu.State + CpuState.Opmasks + (8 * instruction.OpMask.GetNumber());
        for (int i = 0; i < count; i++)
            if (hasVectorMask ? (sbyte)mask[((i + 1) * size) - 1] < 0 : (*(ulong*)mask >> i & 1) != 0)
                cpu.Memory.Read(cpu.Address(instruction, MemoryOperand, i), new Span<byte>(data + (i * size), size));
        // What lies behind the last element becomes zero, and so does the mask.
        new Span<byte>(data + (count * size), 64 - (count * size)).Clear();
        new Span<byte>(mask, hasVectorMask ? 64 : 8).Clear();
    }
}
