namespace Perforator.Elf;

/// <summary>Symbol types, the low half of st_info.</summary>
public enum ElfSymbolType : byte
{
    STT_NOTYPE = 0,
    STT_OBJECT = 1,
    STT_FUNC = 2,
    STT_SECTION = 3,
    STT_FILE = 4,
    STT_TLS = 6,
    STT_GNU_IFUNC = 10,
}

/// <summary>Symbol bindings, the high half of st_info.</summary>
public enum ElfSymbolBinding : byte
{
    STB_LOCAL = 0,
    STB_GLOBAL = 1,
    STB_WEAK = 2,
}

/// <summary>One entry of a symbol table; its name is looked up in the <see cref="ElfSymbolTable"/> it came from.</summary>
/// <param name="NameOffset">st_name.</param>
/// <param name="Info">st_info.</param>
/// <param name="SectionIndex">st_shndx as it stands; reserved values included.</param>
/// <param name="Address">st_value.</param>
/// <param name="Size">st_size in bytes.</param>
public readonly record struct ElfSymbol(uint NameOffset, byte Info, ushort SectionIndex, BinaryAddress Address, ulong Size)
{
    public ElfSymbolType Type => (ElfSymbolType)(Info & 0xf);

    public ElfSymbolBinding Binding => (ElfSymbolBinding)(Info >> 4);

    /// <summary>Whether the symbol names a place in one of the file's sections.</summary>
    public bool IsDefined => SectionIndex is not (ElfConstants.SHN_UNDEF or ElfConstants.SHN_ABS);

    /// <summary>Whether it names code: a defined function or indirect function.</summary>
    public bool IsFunction => IsDefined && Type is ElfSymbolType.STT_FUNC or ElfSymbolType.STT_GNU_IFUNC;
}
