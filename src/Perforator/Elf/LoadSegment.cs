namespace Perforator.Elf;

/// <summary>One PT_LOAD program header, as much of it as address conversion needs.</summary>
/// <param name="Address">p_vaddr.</param>
/// <param name="Offset">p_offset.</param>
/// <param name="FileSize">p_filesz in bytes.</param>
/// <param name="MemorySize">p_memsz in bytes.</param>
/// <param name="IsExecutable">PF_X is set.</param>
public readonly record struct LoadSegment(BinaryAddress Address, FileOffset Offset, ulong FileSize, ulong MemorySize, bool IsExecutable)
{
    /// <summary>One past the last address in memory.</summary>
    public BinaryAddress End => new(Address.Value + MemorySize);
}
