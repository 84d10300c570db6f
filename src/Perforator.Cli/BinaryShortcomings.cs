using System.Collections.Concurrent;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Recording.Processes;
using Perforator.Symbolize;

namespace Perforator.Cli;

/// <summary>
/// What recorded binaries lack for a profile to be made of them, which is told where they are recorded and can be mended. Safe for use by
/// several threads.
/// </summary>
internal sealed class BinaryShortcomings(LiveModules modules)
{
    private readonly ConcurrentDictionary<BuildId, string?> known = [];
    private readonly ConcurrentDictionary<BuildId, bool> told = [];
    private readonly ConcurrentDictionary<string, bool> services = new(StringComparer.Ordinal);

    /// <summary>A binary with less than this share of its service's branches is not worth a word.</summary>
    public const double WorthWarning = 0.05;

    /// <summary>Looks at the binaries of a recording that were not seen before, while their files are held open.</summary>
    public void Look(BranchProfileSet set)
    {
        double all = set.Profiles.Values.Sum(static profile => (double)profile.BranchEntries);
        foreach (BranchProfile profile in set.Profiles.Values)
        {
            if (!known.ContainsKey(profile.BuildId) && modules.TryGetFile(profile.BuildId, out string? file))
                known.TryAdd(profile.BuildId, Of(file, profile.Path));
            if (set.Service is { } service && Of(profile.BuildId) is not null && profile.BranchEntries >= all * WorthWarning
                && told.TryAdd(profile.BuildId, true))
                services.TryAdd(service, true);
        }
    }

    /// <summary>The services of which a busy binary was found to lack something since this was last asked.</summary>
    public IReadOnlyList<string> TakeServices() => [.. services.Keys.Where(service => services.TryRemove(service, out _))];

    /// <summary>Puts a service back that could not be looked at.</summary>
    public void Return(string service) => services.TryAdd(service, true);

    /// <summary>What a binary lacks, with what to do, as the rest of a sentence that begins with its path; null when nothing.</summary>
    public string? Of(BuildId buildId) => known.GetValueOrDefault(buildId);

    private static string? Of(string file, string path)
    {
        try
        {
            using ElfFile elf = ElfFile.Load(file);
            string? debugInfo = elf.HasSection(".debug_info") || elf.HasSection(".debug_line") ? null : WithoutDebugInfo(elf, path);
            if (elf.HasBuildIdNote(out _))
                return debugInfo;
            return $"has no build id, so that only this very file is known to be it (link with -Wl,--build-id){(debugInfo is null ? "" : $"; it {debugInfo}")}";
        }
        catch (Exception e) when (e is UserErrorException or MalformedInputException)
        {
            // Told where branches in it are counted.
            return null;
        }
    }

    /// <summary>What to do about a binary without debug info: its debug file may lie where distributions and GDB have it.</summary>
    private static string WithoutDebugInfo(ElfFile elf, string path)
    {
        using ElfFile? debug = LocalDebugFiles.Found.FindDebugFile(elf, new LossCounts());
        return debug is not null
            ? $"has its debug info in {debug.Path}: 'perforator binaries put {debug.Path}' gives it to the server"
            : $"has no debug info, so no profile can be made of it: build with -g -fdebug-info-for-profiling, or give the debug file that was split off {Path.GetFileName(path)} "
                + "with 'perforator binaries put FILE' or --debug-file";
    }
}
