using Perforator.Elf;

namespace Perforator.Branches;

/// <summary>Makes a <see cref="Module"/> of an ELF file.</summary>
public static class ElfModule
{
    /// <summary>Identity and load segments of a file that is open.</summary>
    public static Module Of(ElfFile file) => new(file.BuildId, file.Path, file.LoadSegments);

    /// <summary>Identity and load segments of a file; its headers and notes are all that is read, unless it has no build id.</summary>
    /// <exception cref="UserErrorException">The file cannot be used; the message says why.</exception>
    public static Module Load(string path)
    {
        using ElfFile file = ElfFile.Load(path);
        return Of(file);
    }
}
