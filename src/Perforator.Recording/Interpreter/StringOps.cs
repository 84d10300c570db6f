using System.Runtime.CompilerServices;

namespace Perforator.Recording.Interpreter;

internal enum RepeatPrefix
{
    None,

    /// <summary>REPE; plain REP for instructions that do not compare.</summary>
    WhileEqual,
    WhileNotEqual,
}

/// <summary>MOVS, STOS, LODS, SCAS and CMPS, with and without a repeat prefix; a repeated one runs to its end, or that of the time for a stop, as one instruction.</summary>
internal static unsafe class StringOps
{
    public static delegate*<Cpu, Op*, void> Move(int bytes, RepeatPrefix repeat) => (bytes, repeat) switch
    {
        (1, RepeatPrefix.None) => &MoveOnce<Size8>,
        (2, RepeatPrefix.None) => &MoveOnce<Size16>,
        (4, RepeatPrefix.None) => &MoveOnce<Size32>,
        (8, RepeatPrefix.None) => &MoveOnce<Size64>,
        (1, _) => &MoveRepeated<Size8>,
        (2, _) => &MoveRepeated<Size16>,
        (4, _) => &MoveRepeated<Size32>,
        (8, _) => &MoveRepeated<Size64>,
        _ => null,
    };

    public static delegate*<Cpu, Op*, void> Store(int bytes, RepeatPrefix repeat) => (bytes, repeat) switch
    {
        (1, RepeatPrefix.None) => &StoreOnce<Size8>,
        (2, RepeatPrefix.None) => &StoreOnce<Size16>,
        (4, RepeatPrefix.None) => &StoreOnce<Size32>,
        (8, RepeatPrefix.None) => &StoreOnce<Size64>,
        (1, _) => &StoreRepeated<Size8>,
        (2, _) => &StoreRepeated<Size16>,
        (4, _) => &StoreRepeated<Size32>,
        (8, _) => &StoreRepeated<Size64>,
        _ => null,
    };

    public static delegate*<Cpu, Op*, void> Load(int bytes, RepeatPrefix repeat) => (bytes, repeat) switch
    {
        (1, RepeatPrefix.None) => &LoadOnce<Size8>,
        (2, RepeatPrefix.None) => &LoadOnce<Size16>,
        (4, RepeatPrefix.None) => &LoadOnce<Size32>,
        (8, RepeatPrefix.None) => &LoadOnce<Size64>,
        _ => null,
    };

    public static delegate*<Cpu, Op*, void> Scan(int bytes, RepeatPrefix repeat) => (bytes, repeat) switch
    {
        (1, _) => Select<Size8, ScanOne>(repeat),
        (2, _) => Select<Size16, ScanOne>(repeat),
        (4, _) => Select<Size32, ScanOne>(repeat),
        (8, _) => Select<Size64, ScanOne>(repeat),
        _ => null,
    };

    public static delegate*<Cpu, Op*, void> Compare(int bytes, RepeatPrefix repeat) => (bytes, repeat) switch
    {
        (1, _) => Select<Size8, CompareOne>(repeat),
        (2, _) => Select<Size16, CompareOne>(repeat),
        (4, _) => Select<Size32, CompareOne>(repeat),
        (8, _) => Select<Size64, CompareOne>(repeat),
        _ => null,
    };

    private static delegate*<Cpu, Op*, void> Select<TSize, TStep>(RepeatPrefix repeat)
        where TSize : struct, ISize
        where TStep : struct, IComparingStep => repeat switch
        {
            RepeatPrefix.None => &Once<TSize, TStep>,
            RepeatPrefix.WhileEqual => &While<TSize, TStep, IfEqual>,
            RepeatPrefix.WhileNotEqual => &While<TSize, TStep, IfNotEqual>,
            _ => null,
        };

    private interface IComparingStep
    {
        static abstract void Step<TSize>(Cpu cpu, Op* op)
            where TSize : struct, ISize;
    }

    private readonly struct ScanOne : IComparingStep
    {
        public static void Step<TSize>(Cpu cpu, Op* op)
            where TSize : struct, ISize
        {
            ref ulong destination = ref cpu.Register(CpuState.Rdi);
            ulong value = TSize.Read(cpu.Memory, destination);
            Interpreter.Compare.Apply<TSize>(ref cpu.Flags, TSize.Load(cpu.State + CpuState.Rax), value);
            destination += Stride<TSize>(cpu);
        }
    }

    private readonly struct CompareOne : IComparingStep
    {
        public static void Step<TSize>(Cpu cpu, Op* op)
            where TSize : struct, ISize
        {
            ref ulong source = ref cpu.Register(CpuState.Rsi);
            ref ulong destination = ref cpu.Register(CpuState.Rdi);
            ulong value = TSize.Read(cpu.Memory, source + cpu.Register(op->Segment));
            Interpreter.Compare.Apply<TSize>(ref cpu.Flags, value, TSize.Read(cpu.Memory, destination));
            source += Stride<TSize>(cpu);
            destination += Stride<TSize>(cpu);
        }
    }

    private static void Once<TSize, TStep>(Cpu cpu, Op* op)
        where TSize : struct, ISize
        where TStep : struct, IComparingStep => TStep.Step<TSize>(cpu, op);

    private static void While<TSize, TStep, TCondition>(Cpu cpu, Op* op)
        where TSize : struct, ISize
        where TStep : struct, IComparingStep
        where TCondition : struct, ICondition
    {
        ref ulong count = ref cpu.Register(CpuState.Rcx);
        while (count != 0 && !cpu.IsTimeUp(op))
        {
            TStep.Step<TSize>(cpu, op);
            count--;
            if (!TCondition.Holds(cpu.Flags))
                break;
        }
    }

    private static void MoveOnce<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize
    {
        ref ulong source = ref cpu.Register(CpuState.Rsi);
        ref ulong destination = ref cpu.Register(CpuState.Rdi);
        TSize.Write(cpu.Memory, destination, TSize.Read(cpu.Memory, source + cpu.Register(op->Segment)));
        source += Stride<TSize>(cpu);
        destination += Stride<TSize>(cpu);
    }

    private static void MoveRepeated<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize
    {
        ref ulong count = ref cpu.Register(CpuState.Rcx);
        ref ulong source = ref cpu.Register(CpuState.Rsi);
        ref ulong destination = ref cpu.Register(CpuState.Rdi);
        while (count != 0 && !cpu.IsTimeUp(op))
        {
            // Whole runs within a page at a time, unless an earlier element feeds a later one of the same run.
            ulong from = source + cpu.Register(op->Segment);
            int run = cpu.Flags.Backwards ? 0 : Math.Min(cpu.Memory.Run(from, out _), cpu.Memory.Run(destination, out _)) / TSize.Bytes;
            run = (int)Math.Min((ulong)run, count);
            int length = run * TSize.Bytes;
            if (run < 2 || destination - from < (ulong)length)
            {
                MoveOnce<TSize>(cpu, op);
                count--;
                continue;
            }
            cpu.Memory.Run(from, out byte* data);
            cpu.Memory.Write(destination, new ReadOnlySpan<byte>(data, length));
            source += (ulong)length;
            destination += (ulong)length;
            count -= (ulong)run;
        }
    }

    private static void StoreOnce<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize
    {
        ref ulong destination = ref cpu.Register(CpuState.Rdi);
        TSize.Write(cpu.Memory, destination, TSize.Load(cpu.State + CpuState.Rax));
        destination += Stride<TSize>(cpu);
    }

    private static void StoreRepeated<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize
    {
        ref ulong count = ref cpu.Register(CpuState.Rcx);
        ref ulong destination = ref cpu.Register(CpuState.Rdi);
        while (count != 0 && !cpu.IsTimeUp(op))
        {
            int run = TSize.Bytes > 1 || cpu.Flags.Backwards ? 0 : (int)Math.Min((ulong)cpu.Memory.Run(destination, out _), count);
            if (run < 2)
            {
                StoreOnce<TSize>(cpu, op);
                count--;
                continue;
            }
            new Span<byte>(cpu.Memory.Contiguous(destination, run, writes: true), run).Fill((byte)cpu.Register(CpuState.Rax));
            destination += (ulong)run;
            count -= (ulong)run;
        }
    }

    private static void LoadOnce<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize
    {
        ref ulong source = ref cpu.Register(CpuState.Rsi);
        TSize.Store(cpu.State + CpuState.Rax, TSize.Read(cpu.Memory, source + cpu.Register(op->Segment)));
        source += Stride<TSize>(cpu);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Stride<TSize>(Cpu cpu)
        where TSize : struct, ISize => cpu.Flags.Backwards ? (ulong)-TSize.Bytes : (ulong)TSize.Bytes;
}
