using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// A run of instructions that the CPU executes, in native code, and the one behind them that it does not, such as a branch.
/// </summary>
/// <remarks>After a pause little of what is decoded is in the CPU's caches: what executing a block takes is in here.</remarks>
internal sealed unsafe class Block
{
    /// <summary>Where it begins; no address of code once it was forgotten.</summary>
    public required ulong Address { get; set; }

    /// <summary>
    /// Called as <c>uint(byte* state)</c>: 0, or the <see cref="MemoryAccess"/> that a page is missing for. 0 where there is none.
    /// </summary>
    public required delegate* unmanaged[SuppressGCTransition]<byte*, uint> Code { get; init; }

    /// <summary>It ends in a conditional jump, and the code says in <see cref="CpuState.Taken"/> whether that is taken.</summary>
    public required bool Decides { get; init; }

    /// <summary>The closing one included.</summary>
    public required int InstructionCount { get; init; }

    /// <summary>The handler of its last instruction, unless it decides.</summary>
    public required delegate*<Cpu, in Instruction, void> Execute { get; init; }

    /// <summary>Its last instruction; where it ends without one that has a handler, only where to go on.</summary>
    public readonly Instruction Close;

    private Block? next, otherNext;

    public Block(in Instruction close) => Close = close;

    /// <summary>The block at an address, where it was executed after this one lately.</summary>
    public Block? After(ulong address) => next?.Address == address ? next : otherNext?.Address == address ? otherNext : null;

    /// <summary>Remembers that a block was executed after this one.</summary>
    public void LeadsTo(Block block) => (next, otherNext) = (block, next);
}

/// <summary>What native code wanted to touch when it found no page at hand, in 32 bits, never 0.</summary>
internal readonly record struct MemoryAccess(uint Packed)
{
    public MemoryAccess(in NativeInstruction of, int index, int resume)
        : this(((uint)resume << 16) | (uint)(index | ((of.AccessSize - 1) << 6)) | (of.WritesMemory ? 1u << 12 : 0)
            | (of.NeedsAlignment ? 1u << 13 : 0)
            | (of.Kind == NativeKind.Prefetch ? 1u << 15 : 0))
    {
    }

    /// <summary>The instruction's, within its block.</summary>
    public int Index => (int)Packed & 63;

    /// <summary>Bytes, up to 64.</summary>
    public int Size => ((int)(Packed >> 6) & 63) + 1;

    public bool Writes => (Packed & (1 << 12)) != 0;

    /// <summary>The CPU faults when the address is not aligned to the size.</summary>
    public bool NeedsAlignment => (Packed & (1 << 13)) != 0;

    /// <summary>It touches nothing, but says that the page is about to be touched.</summary>
    public bool IsPrefetch => (Packed & (1 << 15)) != 0;

    /// <summary>Where to go on, from the code's beginning.</summary>
    public int Resume => (int)(Packed >> 16);
}
