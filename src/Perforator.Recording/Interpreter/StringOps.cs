using Iced.Intel;

namespace Perforator.Recording.Interpreter;

internal enum RepeatPrefix : byte
{
    None,

    /// <summary>REPE; plain REP for instructions that do not compare.</summary>
    WhileEqual,
    WhileNotEqual,
}

/// <summary>
/// MOVS, STOS, SCAS and CMPS, with and without a repeat prefix; a repeated one runs to its end, or that of the time for a stop, as one
/// instruction.
/// </summary>
internal static unsafe class StringOps
{
    /// <summary>Null where an address is of 32 bits (ESI, EDI).</summary>
    public static delegate*<Cpu, in Op, void> Select(in Instruction instruction, ref Op op)
    {
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) is OpKind.MemorySegESI or OpKind.MemoryESEDI or OpKind.MemorySegEDI)
                return null;
        op.Size = (byte)instruction.MemorySize.GetSize();
        op.Repeat = instruction.HasRepnePrefix
            ? RepeatPrefix.WhileNotEqual : instruction.HasRepePrefix ? RepeatPrefix.WhileEqual : RepeatPrefix.None;
        // What the destination is given or compared with; else it is RAX.
        op.IsMemory = instruction.Mnemonic is Mnemonic.Movsb or Mnemonic.Movsw or Mnemonic.Movsd or Mnemonic.Movsq
            or Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Movsb or Mnemonic.Movsw or Mnemonic.Movsd or Mnemonic.Movsq
                or Mnemonic.Stosb or Mnemonic.Stosw or Mnemonic.Stosd or Mnemonic.Stosq:
                return &Store;
            case Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq
                or Mnemonic.Scasb or Mnemonic.Scasw or Mnemonic.Scasd or Mnemonic.Scasq:
                return &Compare;
            default:
                return null;
        }
    }

    private static void Store(Cpu cpu, in Op op)
    {
        ulong once = 1;
        ref ulong count = ref op.Repeat == RepeatPrefix.None ? ref once : ref cpu.Register(CpuState.Rcx);
        while (count != 0 && !cpu.IsTimeUp(op))
        {
            ulong to = cpu.Register(CpuState.Rdi), from = op.IsMemory ? Source(cpu, op) : to;
            // Whole runs within a page at a time, unless an earlier element feeds a later one of the same run.
            int bytes = Math.Min(cpu.Memory.Run(from, out byte* data), cpu.Memory.Run(to, out _));
            int elements = cpu.IsBackwards ? 1 : (int)Math.Min(count, (uint)bytes / op.Size), length = elements * op.Size;
            if (elements > 1 && op.IsMemory && to - from >= (uint)length)
                cpu.Memory.Write(to, new ReadOnlySpan<byte>(data, length));
            else if (elements > 1 && !op.IsMemory && op.Size == 1)
                new Span<byte>(cpu.Memory.Contiguous(to, length, writes: true), length).Fill((byte)cpu.Register(CpuState.Rax));
            else
            {
                elements = 1;
                cpu.Memory.Write(to, op.IsMemory ? cpu.Memory.Read(from, op.Size) : cpu.Register(CpuState.Rax), op.Size);
            }
            Advance(cpu, op, (uint)elements, ref count);
        }
    }

    private static void Compare(Cpu cpu, in Op op)
    {
        ulong once = 1;
        ref ulong count = ref op.Repeat == RepeatPrefix.None ? ref once : ref cpu.Register(CpuState.Rcx);
        while (count != 0 && !cpu.IsTimeUp(op))
        {
            ulong first = op.IsMemory ? cpu.Memory.Read(Source(cpu, op), op.Size) : Cpu.Truncate(cpu.Register(CpuState.Rax), op.Size);
            cpu.SetStatus(Flags.OfDifference(first, cpu.Memory.Read(cpu.Register(CpuState.Rdi), op.Size), op.Size));
            Advance(cpu, op, 1, ref count);
            if (op.Repeat != RepeatPrefix.None && cpu.IsZero != (op.Repeat == RepeatPrefix.WhileEqual))
                return;
        }
    }

    private static ulong Source(Cpu cpu, in Op op) => cpu.Register(CpuState.Rsi) + cpu.Register(op.Segment);

    private static void Advance(Cpu cpu, in Op op, ulong elements, ref ulong count)
    {
        ulong step = cpu.IsBackwards ? 0 - (elements * op.Size) : elements * op.Size;
        cpu.Register(CpuState.Rdi) += step;
        if (op.IsMemory)
            cpu.Register(CpuState.Rsi) += step;
        count -= elements;
    }
}
