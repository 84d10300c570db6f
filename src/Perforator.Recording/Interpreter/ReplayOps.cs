using System.Runtime.CompilerServices;

namespace Perforator.Recording.Interpreter;

/// <summary>Handlers that call the native code of <see cref="ReplayCompiler"/>.</summary>
internal static unsafe class ReplayOps
{
    private const int LargestOperand = 64;

    public static void OnRegisters(Cpu cpu, Op* op) => Call(cpu, op, null);

    public static void OnMemory(Cpu cpu, Op* op)
    {
        ulong address = cpu.Address(op);
        int size = op->Size;
        bool aligned = (address & (ulong)(size - 1)) == 0;
        if (!aligned && (op->Needs & ReplayNeeds.Aligned) != 0)
            throw new UnreadableMemoryException(address);
        byte* data = cpu.Memory.Contiguous(address, size, (op->Needs & ReplayNeeds.WritesMemory) != 0);
        if (data is not null)
        {
            Call(cpu, op, data);
            return;
        }
        // The operand crosses into another page: work on a copy. Nothing is lost if the second page is missing and a mask skips it.
        byte* copy = stackalloc byte[LargestOperand];
        Span<byte> bytes = new(copy, size);
        cpu.Memory.ReadLeniently(address, bytes);
        Call(cpu, op, copy);
        if ((op->Needs & ReplayNeeds.WritesMemory) != 0)
            cpu.Memory.WriteLeniently(address, bytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Call(Cpu cpu, Op* op, byte* memory)
    {
        if ((op->Needs & ReplayNeeds.ReadsFlags) != 0)
            cpu.Register(CpuState.ReplayFlags) = cpu.Flags.Value & Flags.Status;
        ((delegate* unmanaged[SuppressGCTransition]<byte*, byte*, void>)op->Native)(cpu.State, memory);
        if ((op->Needs & ReplayNeeds.WritesFlags) != 0)
            cpu.Flags.SetStatus(cpu.Register(CpuState.ReplayFlags));
        if ((op->Needs & ReplayNeeds.LoadsX87Control) != 0)
            *(ushort*)(cpu.State + CpuState.X87) |= ExtendedState.ControlWordExceptionMasks;
    }
}
