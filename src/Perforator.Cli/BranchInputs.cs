using Perforator.Branches;
using Perforator.Elf;
using Perforator.Generation;
using Perforator.PerfScript;

namespace Perforator.Cli;

/// <summary>Adds up what any number of files say of one binary.</summary>
internal sealed class BranchInputs
{
    private readonly ProfiledBinary binary;
    private readonly Module module;

    /// <param name="binary">The binary of interest; branches of all others are left out.</param>
    public BranchInputs(ProfiledBinary binary)
    {
        this.binary = binary;
        module = binary.ToModule();
        Branches = new BranchProfile(binary.BuildId, binary.Path);
    }

    /// <summary>What was observed of the binary.</summary>
    public BranchProfile Branches { get; }

    /// <summary>What was dropped before it could be attributed to a binary, by reason.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>How many files were added.</summary>
    public ulong Profiles { get; private set; }

    /// <summary>Adds the output of <c>perf script -F ip,brstack --show-mmap-events</c>.</summary>
    /// <exception cref="UserErrorException">Unreadable, without branch stacks, or of another build of the binary.</exception>
    public void AddPerfScript(string path)
    {
        SingleModuleResolver resolver = new(module);
        BranchAggregator aggregator = new(resolver);
        // Text without mappings is of a binary that ran where it is linked to run. Later mappings take precedence.
        foreach (LoadSegment segment in module.Segments)
            if (segment.IsExecutable)
                aggregator.OnMapping(new Mapping(BranchAggregator.AnyProcess, new(segment.Address.Value), segment.FileSize, segment.Offset, module.Path, module.BuildId));
        PerfScriptReader reader = new(aggregator);
        reader.ReadFile(path);
        if (reader.BranchSamples == 0)
            throw new UserErrorException(reader.PlainSamples == 0
                ? $"{path} has no samples: print them with 'perf script -F ip,brstack --show-mmap-events'"
                : $"{path} has no branch stacks: record with 'perf record -b' and print with 'perf script -F ip,brstack --show-mmap-events'");
        Losses.Merge(aggregator.Losses);
        if (!aggregator.Profiles.TryGetValue(module.BuildId, out BranchProfile? profile) || profile.BranchEntries == 0)
            throw new UserErrorException(resolver.OtherBuild.IsEmpty
                ? $"{path} has no branches in {binary.Path}: was it recorded while this binary ran, and printed with --show-mmap-events?"
                : $"{path} is of another build of {binary.Path}: {resolver.OtherBuild} was recorded, the file has {binary.BuildId}; name the binary that ran");
        Branches.Merge(profile);
        Profiles++;
    }

    /// <summary>Adds a file that Perforator recorded.</summary>
    /// <exception cref="UserErrorException">Unreadable, damaged, or of other binaries.</exception>
    public void AddBranches(string path)
    {
        BranchProfileSet set = BranchProfileCodec.Load(path);
        if (!set.Profiles.TryGetValue(module.BuildId, out BranchProfile? profile))
        {
            string others = string.Join(", ", set.Profiles.Values.Take(5).Select(p => $"{p.BuildId} ({p.Path})"));
            throw new UserErrorException(
                $"{path} has nothing of {binary.Path} (build id {binary.BuildId}); it is of {(others.Length == 0 ? "no binary" : others)}");
        }
        Losses.Merge(set.Losses);
        Branches.Merge(profile);
        Profiles++;
    }
}
