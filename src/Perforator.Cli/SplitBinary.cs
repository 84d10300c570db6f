using Perforator.Elf;

namespace Perforator.Cli;

/// <summary>A binary whose debug info was split off (objcopy --only-keep-debug), named by the part that holds only debug info.</summary>
internal static class SplitBinary
{
    /// <summary>
    /// The binary and its debug file; as given, unless the file has no code and the binary with its build id lies where it is split off to.
    /// </summary>
    /// <param name="path">What the user names as the binary.</param>
    /// <param name="debugFile">What the user names as its debug file.</param>
    /// <exception cref="UserErrorException">The file cannot be used.</exception>
    public static (string Binary, string? DebugFile) Of(string path, string? debugFile)
    {
        if (debugFile is not null)
            return (path, debugFile);
        using ElfFile elf = ElfFile.Load(path);
        if (elf.ExecutableBytes != 0 || !elf.HasSection(".debug_info") || !elf.HasBuildIdNote(out BuildId id))
            return (path, null);
        foreach (string candidate in Candidates(path))
        {
            try
            {
                using ElfFile binary = ElfFile.Load(candidate);
                if (binary.ExecutableBytes != 0 && binary.HasBuildIdNote(out BuildId own) && own == id)
                    return (candidate, path);
            }
            catch (UserErrorException)
            {
                // Not there, or not the one.
            }
        }
        return (path, null);
    }

    /// <summary>Beside the debug file without its extension, above a folder <c>.debug</c>, and where /usr/lib/debug mirrors.</summary>
    private static IEnumerable<string> Candidates(string path)
    {
        const string Mirror = "/usr/lib/debug/";
        path = Path.GetFullPath(path);
        string name = Path.GetExtension(path) is ".debug" or ".dbg" ? path[..^Path.GetExtension(path).Length] : path;
        string folder = Path.GetDirectoryName(path)!;
        if (name != path)
            yield return name;
        if (Path.GetFileName(folder) == ".debug")
            yield return Path.Combine(Path.GetDirectoryName(folder)!, Path.GetFileName(name));
        if (name.StartsWith(Mirror, StringComparison.Ordinal))
            yield return name[(Mirror.Length - 1)..];
    }
}
