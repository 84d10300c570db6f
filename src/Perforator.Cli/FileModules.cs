using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Inputs;

namespace Perforator.Cli;

/// <summary>
/// The files of the binaries behind the mappings of a recording: those named on the command line or, when none is, what lies at the
/// mappings' paths on this machine, if its build id is the recorded one.
/// </summary>
internal sealed class FileModules
{
    /// <summary>The recording was made elsewhere, or the file is gone.</summary>
    public const string Missing = "no such file here";

    /// <summary>The file was replaced since.</summary>
    public const string OtherBuild = "the file here is another build";

    private readonly Dictionary<string, Module?> byPath = new(StringComparer.Ordinal);
    private readonly Dictionary<BuildId, string> files = [];
    private readonly HashSet<BuildId> named = [];

    /// <param name="binaries">Paths of the binaries of interest; empty for all that are found.</param>
    /// <param name="recordedAs">What recordings have the one binary as.</param>
    /// <exception cref="UserErrorException">One of them cannot be used.</exception>
    public FileModules(IReadOnlyList<string> binaries, string? recordedAs = null)
    {
        List<Module> modules = [];
        foreach (string path in binaries)
        {
            Module module = ElfModule.Load(path, recordedAs);
            files[module.BuildId] = path;
            named.Add(module.BuildId);
            modules.Add(module);
        }
        Binaries = new RecordedBinaries(modules, Find);
    }

    /// <summary>What inputs are read by.</summary>
    public RecordedBinaries Binaries { get; }

    /// <summary>Where a binary lies; null when it was not used.</summary>
    public string? FileOf(BuildId buildId) => files.GetValueOrDefault(buildId);

    /// <summary>Whether the server has use for a binary: one that was named, or whose file has debug info.</summary>
    public bool IsOfUse(BuildId buildId) => FileOf(buildId) is { } path && (named.Contains(buildId) || HasDebugInfo(path));

    private Module? Find(Mapping mapping, out string? why)
    {
        why = null;
        if (!mapping.Path.StartsWith('/') || mapping.IsAnonymous)
            return null;
        Module? found = Load(mapping.FilePath);
        if (found is null)
        {
            why = Missing;
            return null;
        }

        // Whatever took a deleted file's place is another file, unless the build id says that it is the same.
        if (mapping.BuildId.IsEmpty ? mapping.IsDeleted : !found.Matches(mapping))
        {
            why = OtherBuild;
            return null;
        }
        files.TryAdd(found.BuildId, mapping.FilePath);
        return found;
    }

    private Module? Load(string path)
    {
        if (byPath.TryGetValue(path, out Module? known))
            return known;
        Module? module = null;
        try
        {
            if (File.Exists(path))
                module = ElfModule.Load(path);
        }
        catch (Exception e) when (e is UserErrorException or MalformedInputException)
        {
            // Mapped executable, yet no binary that can be profiled.
        }
        byPath.Add(path, module);
        return module;
    }

    private static bool HasDebugInfo(string path)
    {
        using ElfFile elf = ElfFile.Load(path);
        return elf.HasSection(".debug_line") || elf.HasSection(".debug_info");
    }
}
