namespace Perforator.Recording.Interpreter;

/// <summary>A shift by a count that is not 0 and below the register width.</summary>
internal interface IShift
{
    static abstract ulong Apply<TSize>(ref Flags flags, ulong a, int count)
        where TSize : struct, ISize;
}

internal readonly struct ShiftLeft : IShift
{
    public static ulong Apply<TSize>(ref Flags flags, ulong a, int count)
        where TSize : struct, ISize
    {
        int bits = TSize.Bytes * 8;
        ulong result = TSize.Truncate(a << count);
        bool carry = count <= bits && ((a >> (bits - count)) & 1) != 0;
        flags.SetResult(result, 64 - bits);
        flags.SetCarryAndOverflow(carry, carry != ((result >> (bits - 1)) != 0));
        flags.AdjustSource = 0;
        return result;
    }
}

internal readonly struct ShiftRight : IShift
{
    public static ulong Apply<TSize>(ref Flags flags, ulong a, int count)
        where TSize : struct, ISize
    {
        int bits = TSize.Bytes * 8;
        ulong result = a >> count;
        flags.SetResult(result, 64 - bits);
        flags.SetCarryAndOverflow(((a >> (count - 1)) & 1) != 0, a >> (bits - 1) != 0);
        flags.AdjustSource = 0;
        return result;
    }
}

internal readonly struct ShiftArithmeticRight : IShift
{
    public static ulong Apply<TSize>(ref Flags flags, ulong a, int count)
        where TSize : struct, ISize
    {
        int unused = 64 - (TSize.Bytes * 8);
        long extended = (long)(a << unused) >> unused;
        ulong result = TSize.Truncate((ulong)(extended >> count));
        flags.SetResult(result, unused);
        flags.SetCarryAndOverflow(((extended >> (count - 1)) & 1) != 0, false);
        flags.AdjustSource = 0;
        return result;
    }
}

/// <summary>SHL, SHR and SAR by an immediate or by CL.</summary>
internal static unsafe class ShiftOps
{
    public static delegate*<Cpu, Op*, void> Select<TShift>(OperandForm form)
        where TShift : struct, IShift => form.Bytes switch
        {
            1 => Select<TShift, Size8>(form),
            2 => Select<TShift, Size16>(form),
            4 => Select<TShift, Size32>(form),
            8 => Select<TShift, Size64>(form),
            _ => null,
        };

    private static delegate*<Cpu, Op*, void> Select<TShift, TSize>(OperandForm form)
        where TShift : struct, IShift
        where TSize : struct, ISize => (form.Destination, form.Source) switch
        {
            (OperandKind.Register, OperandKind.Immediate) => &Shift<TShift, TSize, DestinationRegister, ImmediateOperand>,
            (OperandKind.Register, OperandKind.Register) => &Shift<TShift, TSize, DestinationRegister, SourceRegister>,
            (OperandKind.Memory, OperandKind.Immediate) => &Shift<TShift, TSize, MemoryOperand, ImmediateOperand>,
            (OperandKind.Memory, OperandKind.Register) => &Shift<TShift, TSize, MemoryOperand, SourceRegister>,
            _ => null,
        };

    private static void Shift<TShift, TSize, TDestination, TCount>(Cpu cpu, Op* op)
        where TShift : struct, IShift
        where TSize : struct, ISize
        where TDestination : struct, IOperand
        where TCount : struct, IOperand
    {
        int count = (int)TCount.Get<Size8>(cpu, op) & (TSize.Bytes == 8 ? 63 : 31);
        ulong a = TDestination.Get<TSize>(cpu, op);
        // A 32-bit register is written, its upper half cleared, even when the count is 0.
        TDestination.Set<TSize>(cpu, op, count == 0 ? a : TShift.Apply<TSize>(ref cpu.Flags, a, count));
    }
}
