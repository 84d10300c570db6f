using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// MOVS, STOS, SCAS and CMPS, with and without a repeat prefix; a repeated one runs to its end, or that of the time for a stop, as one
/// instruction.
/// </summary>
internal static unsafe class StringOps
{
    /// <summary>Null where an address is of 32 bits (ESI, EDI).</summary>
    public static delegate*<Cpu, in Instruction, void> Select(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) is OpKind.MemorySegESI or OpKind.MemoryESEDI or OpKind.MemorySegEDI)
                return null;
        return instruction.Mnemonic switch
        {
            Mnemonic.Movsb or Mnemonic.Movsw or Mnemonic.Movsd or Mnemonic.Movsq
                or Mnemonic.Stosb or Mnemonic.Stosw or Mnemonic.Stosd or Mnemonic.Stosq => &Store,
            Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq
                or Mnemonic.Scasb or Mnemonic.Scasw or Mnemonic.Scasd or Mnemonic.Scasq => &Compare,
            _ => null,
        };
    }

    /// <summary>What the destination is given or compared with is in memory; else it is RAX.</summary>
    private static bool HasSource(in Instruction instruction) =>
        instruction.Op0Kind == OpKind.MemorySegRSI || instruction.Op1Kind == OpKind.MemorySegRSI;

    private static bool IsRepeated(in Instruction instruction) => instruction.HasRepePrefix || instruction.HasRepnePrefix;

    private static void Store(Cpu cpu, in Instruction instruction)
    {
        int size = instruction.MemorySize.GetSize();
        bool hasSource = HasSource(instruction);
        ulong once = 1;
        ref ulong count = ref IsRepeated(instruction) ? ref cpu.Register(CpuState.Rcx) : ref once;
        while (count != 0 && !cpu.IsTimeUp(instruction))
        {
            ulong to = cpu.Register(CpuState.Rdi), from = hasSource ? Source(cpu, instruction) : to;
            // Whole runs within a page at a time, unless an earlier element feeds a later one of the same run.
            int bytes = Math.Min(cpu.Memory.Run(from, out byte* data), cpu.Memory.Run(to, out _));
            int elements = cpu.IsBackwards ? 1 : (int)Math.Min(count, (ulong)(bytes / size)), length = elements * size;
            if (elements > 1 && hasSource && to - from >= (uint)length)
                cpu.Memory.Write(to, new ReadOnlySpan<byte>(data, length));
            else if (elements > 1 && !hasSource && size == 1)
                new Span<byte>(cpu.Memory.Contiguous(to, length, writes: true), length).Fill((byte)cpu.Register(CpuState.Rax));
            else
            {
                (elements, length) = (1, size);
                cpu.Memory.Write(to, hasSource ? cpu.Memory.Read(from, size) : cpu.Register(CpuState.Rax), size);
            }
            Advance(cpu, hasSource, (ulong)length, ref count, (ulong)elements);
        }
    }

    private static void Compare(Cpu cpu, in Instruction instruction)
    {
        int size = instruction.MemorySize.GetSize();
        bool hasSource = HasSource(instruction);
        ulong once = 1;
        ref ulong count = ref IsRepeated(instruction) ? ref cpu.Register(CpuState.Rcx) : ref once;
        while (count != 0 && !cpu.IsTimeUp(instruction))
        {
            ulong first = hasSource ? cpu.Memory.Read(Source(cpu, instruction), size) : Cpu.Truncate(cpu.Register(CpuState.Rax), size);
            cpu.SetStatus(Flags.OfDifference(first, cpu.Memory.Read(cpu.Register(CpuState.Rdi), size), size));
            Advance(cpu, hasSource, (ulong)size, ref count, 1);
            if (IsRepeated(instruction) && cpu.IsZero == instruction.HasRepnePrefix)
                return;
        }
    }

    private static ulong Source(Cpu cpu, in Instruction instruction) =>
        cpu.Register(CpuState.Rsi) + cpu.SegmentBase(instruction.SegmentPrefix);

    private static void Advance(Cpu cpu, bool hasSource, ulong length, ref ulong count, ulong elements)
    {
        ulong step = cpu.IsBackwards ? 0 - length : length;
        cpu.Register(CpuState.Rdi) += step;
        if (hasSource)
            cpu.Register(CpuState.Rsi) += step;
        count -= elements;
    }
}
