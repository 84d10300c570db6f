using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Cli;

/// <summary>
/// The binaries behind the mappings of a recorded file: those named on the command line or, when none is, what lies at the
/// mappings' paths on this machine, if its build id is the recorded one.
/// </summary>
internal sealed class FileModules : IModuleResolver
{
    /// <summary>The recording was made elsewhere, or the file is gone.</summary>
    public const string Missing = "no such file here";

    /// <summary>The file was replaced since.</summary>
    public const string OtherBuild = "the file here is another build";

    private readonly List<SingleModuleResolver> named = [];
    private readonly Dictionary<string, Module?> byPath = new(StringComparer.Ordinal);
    private readonly Dictionary<BuildId, string> files = [];
    private readonly SortedDictionary<string, string> unresolved = new(StringComparer.Ordinal);

    private readonly List<Module> namedModules = [];

    /// <param name="binaries">Paths of the binaries of interest; empty for all that are found.</param>
    /// <exception cref="UserErrorException">One of them cannot be used.</exception>
    public FileModules(IReadOnlyList<string> binaries)
    {
        foreach (string path in binaries)
        {
            Module module = ElfModule.Load(path);
            files[module.BuildId] = path;
            namedModules.Add(module);
            named.Add(new SingleModuleResolver(module));
        }
        Named = [.. files.Keys];
    }

    /// <summary>The build ids of the binaries named on the command line.</summary>
    public IReadOnlyList<BuildId> Named { get; }

    /// <summary>The one binary named on the command line; null when there are none or several.</summary>
    public Module? OnlyNamed => namedModules is [var module] ? module : null;

    /// <summary>Paths of mappings without a usable file, with the reason.</summary>
    public IReadOnlyDictionary<string, string> Unresolved => unresolved;

    /// <summary>Where a binary lies; null when it was not used.</summary>
    public string? FileOf(BuildId buildId) => files.GetValueOrDefault(buildId);

    /// <inheritdoc/>
    public Module? Resolve(Mapping mapping)
    {
        if (named.Count > 0)
        {
            foreach (SingleModuleResolver resolver in named)
                if (resolver.Resolve(mapping) is { } module)
                    return module;
            return null;
        }
        if (!mapping.Path.StartsWith('/') || mapping.IsAnonymous)
            return null;
        Module? found = Load(mapping.FilePath);
        if (found is null)
        {
            unresolved[mapping.Path] = Missing;
            return null;
        }

        // Whatever took a deleted file's place is another file, unless the build id says that it is the same.
        if (mapping.BuildId.IsEmpty ? mapping.IsDeleted : mapping.BuildId != found.BuildId)
        {
            unresolved[mapping.Path] = OtherBuild;
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

    /// <summary>Whether the server has use for a binary: one that was named, or whose file has debug info.</summary>
    public bool IsOfUse(BuildId buildId) => FileOf(buildId) is { } path && (Named.Contains(buildId) || HasDebugInfo(path));

    private static bool HasDebugInfo(string path)
    {
        using ElfFile elf = ElfFile.Load(path);
        return elf.HasSection(".debug_line") || elf.HasSection(".debug_info");
    }
}
