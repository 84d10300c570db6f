using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Branches;

/// <summary>Makes a <see cref="Module"/> of an ELF file.</summary>
public static class ElfModule
{
    /// <summary>Identity and load segments of a file that is open.</summary>
    /// <param name="file">The binary.</param>
    /// <param name="recordedAs">What the user says that recordings have it as: a path, a file name or a build id.</param>
    public static Module Of(ElfFile file, string? recordedAs = null) => new(file.BuildId, file.Path, file.LoadSegments)
    {
        HasOwnBuildId = file.HasBuildIdNote(out _),
        Names = NamesOf(file.Path),
        RecordedAs = recordedAs,
        KernelSymbols = KernelSymbolsOf(file),
        KernelModuleName = file.IsKernelModule ? KernelModuleNameOf(file) : null,
    };

    /// <summary>Identity and load segments of a file; its headers and notes are all that is read, unless it has no build id.</summary>
    /// <exception cref="UserErrorException">The file cannot be used; the message says why.</exception>
    public static Module Load(string path, string? recordedAs = null)
    {
        using ElfFile file = ElfFile.Load(path);
        return Of(file, recordedAs);
    }

    /// <summary>
    /// The first symbols of a kernel's image, which is linked into the upper half of the address space; null for all else.
    /// </summary>
    private static Dictionary<string, BinaryAddress>? KernelSymbolsOf(ElfFile file)
    {
        BinaryAddress[] code =
            [.. file.LoadSegments.Where(static s => s.IsExecutable && s.Address.Value >> 63 != 0).Select(static s => s.Address)];
        if (code.Length == 0)
            return null;
        Dictionary<string, BinaryAddress> found = [];
        try
        {
            foreach (ref readonly ElfSymbol symbol in file.Symbols.Symbols)
                if (symbol.IsDefined && file.Symbols.NameBytes(symbol) is var name
                    && (name.SequenceEqual("_text"u8) || name.SequenceEqual("_stext"u8)))
                    found.TryAdd(System.Text.Encoding.ASCII.GetString(name), symbol.Address);
        }
        catch (MalformedInputException)
        {
            // As of a stripped image: its code begins with these symbols.
        }
        found.TryAdd("_text", code.Min());
        return found;
    }

    /// <summary>A kernel module's name as its .modinfo has it, else by its file.</summary>
    private static string? KernelModuleNameOf(ElfFile file)
    {
        try
        {
            foreach (string entry in System.Text.Encoding.UTF8.GetString(file.SectionData(".modinfo").Span).Split('\0'))
                if (entry.StartsWith("name=", StringComparison.Ordinal))
                    return entry["name=".Length..];
        }
        catch (MalformedInputException)
        {
            // A debug file has no bytes of it either.
        }
        return Mapping.KernelModuleOf(file.Path);
    }

    /// <summary>
    /// A path's file name and, where it is a link, those that it leads over: a process that was started by any has the last one mapped.
    /// </summary>
    private static string[] NamesOf(string path)
    {
        const int MaxLinks = 40;
        List<string> names = [Path.GetFileName(path)];
        try
        {
            FileSystemInfo? file = new FileInfo(path);
            while (names.Count < MaxLinks && file is { Exists: true })
            {
                file = file.ResolveLinkTarget(returnFinalTarget: false);
                if (file is not null)
                    names.Add(file.Name);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            // A link that cannot be followed has the names found so far.
        }
        return [.. names];
    }
}
