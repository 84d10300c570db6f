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
/// MOVS, STOS, LODS, SCAS and CMPS, with and without a repeat prefix; a repeated one runs to its end, or that of the time for a stop, as
/// one instruction.
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
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Movsb or Mnemonic.Movsw or Mnemonic.Movsd or Mnemonic.Movsq:
                return &Execute<Move>;
            case Mnemonic.Stosb or Mnemonic.Stosw or Mnemonic.Stosd or Mnemonic.Stosq:
                return &Execute<Store>;
            case Mnemonic.Lodsb or Mnemonic.Lodsw or Mnemonic.Lodsd or Mnemonic.Lodsq:
                return &Execute<Load>;
            case Mnemonic.Scasb or Mnemonic.Scasw or Mnemonic.Scasd or Mnemonic.Scasq:
                return &Execute<Scan>;
            case Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq:
                return &Execute<Compare>;
            default:
                return null;
        }
    }

    private interface IStep
    {
        /// <summary>It ends a repetition by ZF.</summary>
        static abstract bool Compares { get; }

        /// <summary>Works on some elements, at least one and at most so many.</summary>
        /// <returns>How many.</returns>
        static abstract ulong Step(Cpu cpu, in Op op, ulong count);
    }

    private static void Execute<TStep>(Cpu cpu, in Op op)
        where TStep : IStep
    {
        if (op.Repeat == RepeatPrefix.None)
        {
            _ = TStep.Step(cpu, op, 1);
            return;
        }
        ref ulong count = ref cpu.Register(CpuState.Rcx);
        while (count != 0 && !cpu.IsTimeUp(op))
        {
            count -= TStep.Step(cpu, op, count);
            if (TStep.Compares && cpu.IsZero != (op.Repeat == RepeatPrefix.WhileEqual))
                break;
        }
    }

    private readonly struct Move : IStep
    {
        public static bool Compares => false;

        public static ulong Step(Cpu cpu, in Op op, ulong count)
        {
            ref ulong source = ref cpu.Register(CpuState.Rsi), destination = ref cpu.Register(CpuState.Rdi);
            ulong from = source + cpu.Register(op.Segment);
            // Whole runs within a page at a time, unless an earlier element feeds a later one of the same run.
            ulong elements =
                cpu.IsBackwards || count == 1
                    ? 1 : Math.Min(count, (ulong)(Math.Min(cpu.Memory.Run(from, out _), cpu.Memory.Run(destination, out _)) / op.Size));
            ulong length = elements * op.Size;
            if (elements < 2 || destination - from < length)
            {
                cpu.Memory.Write(destination, cpu.Memory.Read(from, op.Size), op.Size);
                Advance(cpu, op, 1, ref source);
                return Advance(cpu, op, 1, ref destination);
            }
            cpu.Memory.Run(from, out byte* data);
            cpu.Memory.Write(destination, new ReadOnlySpan<byte>(data, (int)length));
            Advance(cpu, op, elements, ref source);
            return Advance(cpu, op, elements, ref destination);
        }
    }

    private readonly struct Store : IStep
    {
        public static bool Compares => false;

        public static ulong Step(Cpu cpu, in Op op, ulong count)
        {
            ref ulong destination = ref cpu.Register(CpuState.Rdi);
            ulong elements = op.Size > 1 || cpu.IsBackwards || count == 1 ? 1 : Math.Min(count, (ulong)cpu.Memory.Run(destination, out _));
            if (elements > 1)
                new Span<byte>(
                    cpu.Memory.Contiguous(destination, (int)elements, writes: true), (int)elements).Fill((byte)cpu.Register(CpuState.Rax));
            else
                cpu.Memory.Write(destination, cpu.Register(CpuState.Rax), op.Size);
            return Advance(cpu, op, elements, ref destination);
        }
    }

    private readonly struct Load : IStep
    {
        public static bool Compares => false;

        public static ulong Step(Cpu cpu, in Op op, ulong count)
        {
            ref ulong source = ref cpu.Register(CpuState.Rsi);
            cpu.SetRegister(CpuState.Rax, cpu.Memory.Read(source + cpu.Register(op.Segment), op.Size), op.Size);
            return Advance(cpu, op, 1, ref source);
        }
    }

    private readonly struct Scan : IStep
    {
        public static bool Compares => true;

        public static ulong Step(Cpu cpu, in Op op, ulong count)
        {
            ref ulong destination = ref cpu.Register(CpuState.Rdi);
            cpu.SetStatus(
                Flags.OfDifference(Cpu.Truncate(cpu.Register(CpuState.Rax), op.Size), cpu.Memory.Read(destination, op.Size), op.Size));
            return Advance(cpu, op, 1, ref destination);
        }
    }

    private readonly struct Compare : IStep
    {
        public static bool Compares => true;

        public static ulong Step(Cpu cpu, in Op op, ulong count)
        {
            ref ulong source = ref cpu.Register(CpuState.Rsi), destination = ref cpu.Register(CpuState.Rdi);
            cpu.SetStatus(
                Flags.OfDifference(
                    cpu.Memory.Read(source + cpu.Register(op.Segment), op.Size), cpu.Memory.Read(destination, op.Size), op.Size));
            Advance(cpu, op, 1, ref source);
            return Advance(cpu, op, 1, ref destination);
        }
    }

    private static ulong Advance(Cpu cpu, in Op op, ulong elements, ref ulong pointer)
    {
        pointer += cpu.IsBackwards ? 0 - (elements * op.Size) : elements * op.Size;
        return elements;
    }
}
