using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Recording.Processes;

namespace Perforator.Agent;

/// <summary>
/// Which builds of its executables each service runs, told without recording it: by the build ids of the files behind /proc/PID/exe.
/// </summary>
public sealed class RunningBuilds
{
    /// <summary>
    /// So many processes of a service are looked at, spread over all: a host that restarts a service runs two builds for a while.
    /// </summary>
    private const int ProcessesOfService = 32;

    /// <summary>Files remembered at most.</summary>
    private const int MaxKnown = 5000;

    private readonly Dictionary<FileIdentity, BuildId> known = [];

    /// <summary>The builds by service, in the order of build ids; a service whose executables may not be read has none.</summary>
    /// <param name="processes">The processes that run, each with its service.</param>
    public IReadOnlyDictionary<string, IReadOnlyList<BuildId>> Of(IReadOnlyDictionary<int, string> processes)
    {
        SortedDictionary<string, IReadOnlyList<BuildId>> builds = new(StringComparer.Ordinal);
        foreach (IGrouping<string, int> service in processes.GroupBy(static process => process.Value, static process => process.Key))
        {
            int[] ids = [.. service.Order()];
            SortedSet<BuildId> found = [];
            for (int i = 0; i < ids.Length; i += Math.Max(1, ids.Length / ProcessesOfService))
                if (BuildOf($"/proc/{ids[i]}/exe") is { IsEmpty: false } build)
                    found.Add(build);
            builds.Add(service.Key, [.. found]);
        }
        return builds;
    }

    /// <summary>The build id of a file; empty where it cannot be read.</summary>
    private BuildId BuildOf(string path)
    {
        if (FileIdentity.Of(path) is not { } file)
            return default;
        if (known.TryGetValue(file, out BuildId build))
            return build;
        if (known.Count >= MaxKnown)
            known.Clear();
        try
        {
            using ElfFile elf = ElfFile.Load(path);
            build = elf.BuildId;
        }
        catch (Exception e) when (e is UserErrorException or MalformedInputException)
        {
            // Not an ELF file, or not permitted: the server counts the host by what it uploads.
        }
        return known[file] = build;
    }
}
