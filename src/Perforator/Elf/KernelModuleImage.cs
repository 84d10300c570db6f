using System.Buffers.Binary;
using Perforator.Bytes;
using static Perforator.Elf.ElfConstants;

namespace Perforator.Elf;

/// <summary>
/// A kernel module (.ko): an object file that the kernel links when it loads it. Its sections get the addresses that they have in the
/// module's memory, relative to where its code begins, and references in them are resolved, so that it reads like a linked file.
/// </summary>
/// <remarks>
/// Order of sections: Linux, kernel/module/main.c, layout_sections(): the executable ones that are not of initialisation, in file order,
/// each aligned as it asks for, come first. That is the address /proc/modules has, at which perf's mapping of a module begins.
/// </remarks>
internal static class KernelModuleImage
{
    /// <summary>The address given to the beginning of a module's code; 0 stands for discarded code in debug info.</summary>
    public const ulong Text = 0x1000;

    /// <summary>No module's sections reach so far; larger sizes are a sign of damage.</summary>
    private const ulong MaxAddress = 1UL << 33;

    private const ulong MaxAlignment = 1 << 21;
    private const ulong InitDistance = 1 << 30;
    private const int RelocationSize = 24;

    /// <summary>
    /// Whether sections of an object file are those of a kernel module, or of its debug file: each has its struct module.
    /// </summary>
    public static bool IsModule(ushort type, IReadOnlyList<ElfSection> sections) =>
        type == ET_REL && sections.Any(static section => section.Name == ".gnu.linkonce.this_module");

    /// <summary>Gives the sections that are loaded their addresses.</summary>
    /// <exception cref="MalformedInputException">Their sizes cannot be.</exception>
    public static IReadOnlyList<ElfSection> Place(IReadOnlyList<ElfSection> sections)
    {
        ElfSection[] placed = [.. sections];
        ulong at = Text;
        // Code of initialisation has memory of its own: it is put where no mapping of the module reaches.
        foreach (Func<ElfSection, bool> wanted in (Func<ElfSection, bool>[])[IsText, s => !s.IsExecutable && !IsInit(s), IsInit])
        {
            at = wanted == IsInit ? (at + InitDistance - 1) & ~(InitDistance - 1) : at;
            foreach (ElfSection section in sections)
            {
                if (!section.IsLoaded || !wanted(section))
                    continue;
                ulong alignment = section.Alignment is > 0 and <= MaxAlignment && ulong.IsPow2(section.Alignment) ? section.Alignment : 1;
                at = (at + alignment - 1) & ~(alignment - 1);
                placed[section.Index] = section with { Address = new(at) };
                if (section.Size > MaxAddress - at)
                    throw new MalformedInputException(
                        $"section of {section.Size} bytes in a kernel module", section.Name, section.Offset.Value);
                at += section.Size;
            }
        }
        return placed;

        static bool IsInit(ElfSection section) => section.Name.StartsWith(".init", StringComparison.Ordinal);
        static bool IsText(ElfSection section) => section.IsExecutable && !IsInit(section);
    }

    /// <summary>What a linked file would have as program headers: a segment of each section with code.</summary>
    public static IReadOnlyList<LoadSegment> SegmentsOf(IReadOnlyList<ElfSection> placed) =>
        [.. placed.Where(static s => s is { IsLoaded: true, IsExecutable: true, Size: > 0 })
            .Select(static s => new LoadSegment(s.Address, s.Offset, s.HasBytes ? s.Size : 0, s.Size, IsExecutable: true))];

    /// <summary>
    /// Resolves references in a section's bytes to what the module itself has (psABI of x86-64, table 4.9; ELF for the Arm 64-bit
    /// Architecture, 5.7). Those to the kernel stay as they are: they do not tell where code of the module lies.
    /// </summary>
    /// <param name="bytes">Of the section, uncompressed; changed in place.</param>
    /// <param name="address">The section's address.</param>
    /// <param name="relocations">Elf64_Rela entries.</param>
    /// <param name="symbols">The symbols that they refer to, placed.</param>
    public static void Relocate(
        ElfMachine machine, Span<byte> bytes, BinaryAddress address, ReadOnlySpan<byte> relocations, ElfSymbolTable symbols)
    {
        for (; relocations.Length >= RelocationSize; relocations = relocations[RelocationSize..])
        {
            ulong offset = BinaryPrimitives.ReadUInt64LittleEndian(relocations);
            ulong info = BinaryPrimitives.ReadUInt64LittleEndian(relocations[8..]);
            ulong addend = BinaryPrimitives.ReadUInt64LittleEndian(relocations[16..]);
            int symbol = (int)(info >> 32) - 1;
            if (symbol < 0 || symbol >= symbols.Symbols.Length || symbols.Symbols[symbol] is not { SectionIndex: not SHN_UNDEF } defined
                || offset >= (ulong)bytes.Length)
                continue;
            ulong target = unchecked(defined.Address.Value + addend);
            Write(machine, (uint)info, bytes[(int)offset..], target, unchecked(target - address.Value - offset));
        }
    }

    private static void Write(ElfMachine machine, uint type, Span<byte> place, ulong target, ulong distance)
    {
        (int size, ulong value) = (machine, type) switch
        {
            (ElfMachine.X86_64, R_X86_64_64) or (ElfMachine.AArch64, R_AARCH64_ABS64) => (8, target),
            (ElfMachine.X86_64, R_X86_64_32 or R_X86_64_32S) or (ElfMachine.AArch64, R_AARCH64_ABS32) => (4, target),
            (ElfMachine.X86_64, R_X86_64_PC64) or (ElfMachine.AArch64, R_AARCH64_PREL64) => (8, distance),
            (ElfMachine.X86_64, R_X86_64_PC32 or R_X86_64_PLT32) or (ElfMachine.AArch64, R_AARCH64_PREL32) => (4, distance),
            (ElfMachine.AArch64, R_AARCH64_JUMP26 or R_AARCH64_CALL26) => (26, distance),
            _ => (0, 0UL),
        };
        if (size == 8 && place.Length >= 8)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(place, value);
        }
        else if (size == 4 && place.Length >= 4)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(place, (uint)value);
        }
        else if (size == 26 && place.Length >= 4)
        {
            const uint Mask = (1 << 26) - 1;
            BinaryPrimitives.WriteUInt32LittleEndian(
                place, (BinaryPrimitives.ReadUInt32LittleEndian(place) & ~Mask) | ((uint)(value >> 2) & Mask));
        }
    }
}
