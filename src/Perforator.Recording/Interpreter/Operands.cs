using System.Runtime.CompilerServices;

namespace Perforator.Recording.Interpreter;

// Handlers are generic over these, so that the JIT makes straight code of each combination of operation, size and operand kinds.

/// <summary>An operand size.</summary>
internal unsafe interface ISize
{
    static abstract int Bytes { get; }

    /// <summary>A value's low part, zero-extended.</summary>
    static abstract ulong Truncate(ulong value);

    static abstract ulong Load(byte* register);

    /// <summary>Writes a register: 32-bit writes clear the upper half, smaller ones keep the rest.</summary>
    static abstract void Store(byte* register, ulong value);

    static abstract ulong Read(MemorySnapshot memory, ulong address);

    static abstract void Write(MemorySnapshot memory, ulong address, ulong value);
}

internal readonly unsafe struct Size8 : ISize
{
    public static int Bytes => 1;
    public static ulong Truncate(ulong value) => (byte)value;
    public static ulong Load(byte* register) => *register;
    public static void Store(byte* register, ulong value) => *register = (byte)value;
    public static ulong Read(MemorySnapshot memory, ulong address) => memory.Read<byte>(address);
    public static void Write(MemorySnapshot memory, ulong address, ulong value) => memory.Write(address, (byte)value);
}

internal readonly unsafe struct Size16 : ISize
{
    public static int Bytes => 2;
    public static ulong Truncate(ulong value) => (ushort)value;
    public static ulong Load(byte* register) => *(ushort*)register;
    public static void Store(byte* register, ulong value) => *(ushort*)register = (ushort)value;
    public static ulong Read(MemorySnapshot memory, ulong address) => memory.Read<ushort>(address);
    public static void Write(MemorySnapshot memory, ulong address, ulong value) => memory.Write(address, (ushort)value);
}

internal readonly unsafe struct Size32 : ISize
{
    public static int Bytes => 4;
    public static ulong Truncate(ulong value) => (uint)value;
    public static ulong Load(byte* register) => *(uint*)register;
    public static void Store(byte* register, ulong value) => *(ulong*)register = (uint)value;
    public static ulong Read(MemorySnapshot memory, ulong address) => memory.Read<uint>(address);
    public static void Write(MemorySnapshot memory, ulong address, ulong value) => memory.Write(address, (uint)value);
}

internal readonly unsafe struct Size64 : ISize
{
    public static int Bytes => 8;
    public static ulong Truncate(ulong value) => value;
    public static ulong Load(byte* register) => *(ulong*)register;
    public static void Store(byte* register, ulong value) => *(ulong*)register = value;
    public static ulong Read(MemorySnapshot memory, ulong address) => memory.Read<ulong>(address);
    public static void Write(MemorySnapshot memory, ulong address, ulong value) => memory.Write(address, value);
}

/// <summary>Where an operand is.</summary>
internal unsafe interface IOperand
{
    static abstract ulong Get<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize;

    static abstract void Set<TSize>(Cpu cpu, Op* op, ulong value)
        where TSize : struct, ISize;
}

/// <summary>The register <see cref="Op.Destination"/>.</summary>
internal readonly unsafe struct DestinationRegister : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize => TSize.Load(cpu.State + op->Destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set<TSize>(Cpu cpu, Op* op, ulong value)
        where TSize : struct, ISize => TSize.Store(cpu.State + op->Destination, value);
}

/// <summary>The register <see cref="Op.Source"/>.</summary>
internal readonly unsafe struct SourceRegister : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize => TSize.Load(cpu.State + op->Source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set<TSize>(Cpu cpu, Op* op, ulong value)
        where TSize : struct, ISize => TSize.Store(cpu.State + op->Source, value);
}

/// <summary>The memory operand.</summary>
internal readonly unsafe struct MemoryOperand : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize => TSize.Read(cpu.Memory, cpu.Address(op));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set<TSize>(Cpu cpu, Op* op, ulong value)
        where TSize : struct, ISize => TSize.Write(cpu.Memory, cpu.Address(op), value);
}

/// <summary>The immediate; it cannot be set.</summary>
internal readonly unsafe struct ImmediateOperand : IOperand
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get<TSize>(Cpu cpu, Op* op)
        where TSize : struct, ISize => TSize.Truncate(op->Immediate);

    public static void Set<TSize>(Cpu cpu, Op* op, ulong value)
        where TSize : struct, ISize => throw new InvalidOperationException("an immediate is no destination");
}
