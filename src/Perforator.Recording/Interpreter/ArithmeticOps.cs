using System.Runtime.CompilerServices;

namespace Perforator.Recording.Interpreter;

/// <summary>A two-operand operation that sets the status flags.</summary>
internal interface IBinaryOperation
{
    /// <summary>False for CMP and TEST, which keep only the flags.</summary>
    static abstract bool Writes { get; }

    /// <summary>The result, truncated to the operand size, and its flags.</summary>
    static abstract ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize;
}

internal readonly struct Add : IBinaryOperation
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize
    {
        ulong result = TSize.Truncate(a + b);
        flags.SetAdd(a, b, result, 64 - (TSize.Bytes * 8));
        return result;
    }
}

internal readonly struct AddWithCarry : IBinaryOperation
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize
    {
        ulong result = TSize.Truncate(a + b + (flags.Carry ? 1u : 0u));
        flags.SetAdd(a, b, result, 64 - (TSize.Bytes * 8));
        return result;
    }
}

internal readonly struct Subtract : IBinaryOperation
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize
    {
        ulong result = TSize.Truncate(a - b);
        flags.SetSubtract(a, b, result, 64 - (TSize.Bytes * 8));
        return result;
    }
}

internal readonly struct SubtractWithBorrow : IBinaryOperation
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize
    {
        ulong result = TSize.Truncate(a - b - (flags.Carry ? 1u : 0u));
        flags.SetSubtract(a, b, result, 64 - (TSize.Bytes * 8));
        return result;
    }
}

internal readonly struct Compare : IBinaryOperation
{
    public static bool Writes => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize => Subtract.Apply<TSize>(ref flags, a, b);
}

internal readonly struct And : IBinaryOperation
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize
    {
        flags.SetLogic(a & b, 64 - (TSize.Bytes * 8));
        return a & b;
    }
}

internal readonly struct Test : IBinaryOperation
{
    public static bool Writes => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize => And.Apply<TSize>(ref flags, a, b);
}

internal readonly struct Or : IBinaryOperation
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize
    {
        flags.SetLogic(a | b, 64 - (TSize.Bytes * 8));
        return a | b;
    }
}

internal readonly struct Xor : IBinaryOperation
{
    public static bool Writes => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Apply<TSize>(ref Flags flags, ulong a, ulong b)
        where TSize : struct, ISize
    {
        flags.SetLogic(a ^ b, 64 - (TSize.Bytes * 8));
        return a ^ b;
    }
}

/// <summary>A one-operand operation.</summary>
internal interface IUnaryOperation
{
    static abstract ulong Apply<TSize>(ref Flags flags, ulong a)
        where TSize : struct, ISize;
}

internal readonly struct Increment : IUnaryOperation
{
    public static ulong Apply<TSize>(ref Flags flags, ulong a)
        where TSize : struct, ISize
    {
        bool carry = flags.Carry;
        ulong result = Add.Apply<TSize>(ref flags, a, 1);
        flags.SetCarry(carry);
        return result;
    }
}

internal readonly struct Decrement : IUnaryOperation
{
    public static ulong Apply<TSize>(ref Flags flags, ulong a)
        where TSize : struct, ISize
    {
        bool carry = flags.Carry;
        ulong result = Subtract.Apply<TSize>(ref flags, a, 1);
        flags.SetCarry(carry);
        return result;
    }
}

internal readonly struct Negate : IUnaryOperation
{
    public static ulong Apply<TSize>(ref Flags flags, ulong a)
        where TSize : struct, ISize => Subtract.Apply<TSize>(ref flags, 0, a);
}

internal readonly struct Not : IUnaryOperation
{
    public static ulong Apply<TSize>(ref Flags flags, ulong a)
        where TSize : struct, ISize => TSize.Truncate(~a);
}

/// <summary>Integer arithmetic and logic: handlers by operation, size and operand kinds.</summary>
internal static unsafe class ArithmeticOps
{
    public static delegate*<Cpu, Op*, void> Binary<TOperation>(OperandForm form)
        where TOperation : struct, IBinaryOperation => form.Bytes switch
        {
            1 => Binary<TOperation, Size8>(form),
            2 => Binary<TOperation, Size16>(form),
            4 => Binary<TOperation, Size32>(form),
            8 => Binary<TOperation, Size64>(form),
            _ => null,
        };

    public static delegate*<Cpu, Op*, void> Unary<TOperation>(OperandForm form)
        where TOperation : struct, IUnaryOperation => form.Bytes switch
        {
            1 => Unary<TOperation, Size8>(form),
            2 => Unary<TOperation, Size16>(form),
            4 => Unary<TOperation, Size32>(form),
            8 => Unary<TOperation, Size64>(form),
            _ => null,
        };

    /// <summary>IMUL with two or three operands; the destination is a register.</summary>
    public static delegate*<Cpu, Op*, void> Multiply(OperandForm form) => (form.Bytes, form.Source) switch
    {
        (4, OperandKind.Register) => &Multiply32<SourceRegister>,
        (4, OperandKind.Memory) => &Multiply32<MemoryOperand>,
        (8, OperandKind.Register) => &Multiply64<SourceRegister>,
        (8, OperandKind.Memory) => &Multiply64<MemoryOperand>,
        _ => null,
    };

    private static delegate*<Cpu, Op*, void> Binary<TOperation, TSize>(OperandForm form)
        where TOperation : struct, IBinaryOperation
        where TSize : struct, ISize => (form.Destination, form.Source) switch
        {
            (OperandKind.Register, OperandKind.Register) => &Binary<TOperation, TSize, DestinationRegister, SourceRegister>,
            (OperandKind.Register, OperandKind.Immediate) => &Binary<TOperation, TSize, DestinationRegister, ImmediateOperand>,
            (OperandKind.Register, OperandKind.Memory) => &Binary<TOperation, TSize, DestinationRegister, MemoryOperand>,
            (OperandKind.Memory, OperandKind.Register) => &Binary<TOperation, TSize, MemoryOperand, SourceRegister>,
            (OperandKind.Memory, OperandKind.Immediate) => &Binary<TOperation, TSize, MemoryOperand, ImmediateOperand>,
            _ => null,
        };

    private static delegate*<Cpu, Op*, void> Unary<TOperation, TSize>(OperandForm form)
        where TOperation : struct, IUnaryOperation
        where TSize : struct, ISize => form.Destination == OperandKind.Memory
            ? &Unary<TOperation, TSize, MemoryOperand>
            : &Unary<TOperation, TSize, DestinationRegister>;

    private static void Binary<TOperation, TSize, TDestination, TSource>(Cpu cpu, Op* op)
        where TOperation : struct, IBinaryOperation
        where TSize : struct, ISize
        where TDestination : struct, IOperand
        where TSource : struct, IOperand
    {
        ulong a = TDestination.Get<TSize>(cpu, op);
        ulong result = TOperation.Apply<TSize>(ref cpu.Flags, a, TSource.Get<TSize>(cpu, op));
        if (TOperation.Writes)
            TDestination.Set<TSize>(cpu, op, result);
    }

    private static void Unary<TOperation, TSize, TDestination>(Cpu cpu, Op* op)
        where TOperation : struct, IUnaryOperation
        where TSize : struct, ISize
        where TDestination : struct, IOperand =>
        TDestination.Set<TSize>(cpu, op, TOperation.Apply<TSize>(ref cpu.Flags, TDestination.Get<TSize>(cpu, op)));

    // Immediate holds the third operand; without one, lowering makes the destination the multiplicand (Size 1 marks it).
    private static void Multiply32<TSource>(Cpu cpu, Op* op)
        where TSource : struct, IOperand
    {
        long a = (int)TSource.Get<Size32>(cpu, op);
        long b = op->Size == 1 ? (int)DestinationRegister.Get<Size32>(cpu, op) : (int)op->Immediate;
        long product = a * b;
        DestinationRegister.Set<Size32>(cpu, op, (ulong)product);
        cpu.Flags.SetCarryAndOverflow(product != (int)product, product != (int)product);
    }

    private static void Multiply64<TSource>(Cpu cpu, Op* op)
        where TSource : struct, IOperand
    {
        long a = (long)TSource.Get<Size64>(cpu, op);
        long b = op->Size == 1 ? (long)DestinationRegister.Get<Size64>(cpu, op) : (long)op->Immediate;
        long high = Math.BigMul(a, b, out long low);
        DestinationRegister.Set<Size64>(cpu, op, (ulong)low);
        cpu.Flags.SetCarryAndOverflow(high != low >> 63, high != low >> 63);
    }
}
