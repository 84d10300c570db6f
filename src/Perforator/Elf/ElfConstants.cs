namespace Perforator.Elf;

/// <summary>The CPU an ELF file is for; values are e_machine's.</summary>
public enum ElfMachine : ushort
{
    X86_64 = 62,
    AArch64 = 183,
}

/// <summary>Constants of the System V ABI's ELF chapters and of its GNU extensions, as spelled there.</summary>
internal static class ElfConstants
{
    public const int EI_NIDENT = 16;
    public const byte ELFCLASS64 = 2;
    public const byte ELFDATA2LSB = 1;
    public const ushort ET_REL = 1;
    public const ushort ET_DYN = 3;
    public const ushort ET_CORE = 4;

    public const ushort PN_XNUM = 0xffff;
    public const uint PT_LOAD = 1;
    public const uint PT_NOTE = 4;
    public const uint PF_X = 1;

    public const ushort SHN_UNDEF = 0;
    public const ushort SHN_ABS = 0xfff1;
    public const ushort SHN_XINDEX = 0xffff;
    public const uint SHT_PROGBITS = 1;
    public const uint SHT_SYMTAB = 2;
    public const uint SHT_RELA = 4;
    public const uint SHT_NOTE = 7;
    public const uint SHT_NOBITS = 8;
    public const uint SHT_DYNSYM = 11;
    public const ulong SHF_ALLOC = 0x2;
    public const ulong SHF_EXECINSTR = 0x4;
    public const ulong SHF_COMPRESSED = 0x800;

    public const uint ELFCOMPRESS_ZLIB = 1;
    public const uint ELFCOMPRESS_ZSTD = 2;

    public const uint R_X86_64_64 = 1;
    public const uint R_X86_64_PC32 = 2;
    public const uint R_X86_64_PLT32 = 4;
    public const uint R_X86_64_32 = 10;
    public const uint R_X86_64_32S = 11;
    public const uint R_X86_64_PC64 = 24;
    public const uint R_AARCH64_ABS64 = 257;
    public const uint R_AARCH64_ABS32 = 258;
    public const uint R_AARCH64_PREL64 = 260;
    public const uint R_AARCH64_PREL32 = 261;
    public const uint R_AARCH64_JUMP26 = 282;
    public const uint R_AARCH64_CALL26 = 283;

    public const uint NT_GNU_BUILD_ID = 3;
    public const uint NT_GO_BUILD_ID = 4;
}
