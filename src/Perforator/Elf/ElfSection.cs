namespace Perforator.Elf;

/// <summary>One section header.</summary>
/// <param name="Index">Position in the section header table.</param>
/// <param name="Name">From the section name string table.</param>
/// <param name="Type">sh_type.</param>
/// <param name="Flags">sh_flags.</param>
/// <param name="Address">sh_addr; 0 for a section that is not loaded.</param>
/// <param name="Offset">sh_offset.</param>
/// <param name="Size">sh_size: bytes in the file (compressed, if the section is), or in memory for SHT_NOBITS.</param>
/// <param name="Link">sh_link.</param>
/// <param name="EntrySize">sh_entsize.</param>
public sealed record ElfSection(
    int Index, string Name, uint Type, ulong Flags, BinaryAddress Address, FileOffset Offset, ulong Size, uint Link, ulong EntrySize)
{
    /// <summary>sh_info.</summary>
    public uint Info { get; init; }

    /// <summary>sh_addralign.</summary>
    public ulong Alignment { get; init; }

    /// <summary>Whether the section holds instructions (SHF_EXECINSTR).</summary>
    public bool IsExecutable => (Flags & ElfConstants.SHF_EXECINSTR) != 0;

    /// <summary>Whether the section is part of the loaded image (SHF_ALLOC).</summary>
    public bool IsLoaded => (Flags & ElfConstants.SHF_ALLOC) != 0;

    /// <summary>Whether the file holds bytes for it (not SHT_NOBITS).</summary>
    public bool HasBytes => Type != ElfConstants.SHT_NOBITS;
}
