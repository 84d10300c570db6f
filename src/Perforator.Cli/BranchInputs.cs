using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Generation;
using Perforator.PerfData;
using Perforator.PerfScript;
using Perforator.Pprof;

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
    public BranchProfile Branches { get; private set; }

    /// <summary>What was dropped before it could be attributed to a binary, by reason.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>How many files were added.</summary>
    public ulong Profiles { get; private set; }

    /// <summary>How the inputs were understood where that is not plain, a sentence each.</summary>
    public List<string> Notes { get; } = [];

    /// <summary>
    /// Adds the output of <c>perf script -F ip,brstack --show-mmap-events</c>, or counts as BOLT's pre-aggregated profiles and AutoFDO's
    /// text have them.
    /// </summary>
    /// <exception cref="UserErrorException">Unreadable, without branch stacks, or of another build of the binary.</exception>
    public void AddPerfScript(string path)
    {
        using FileStream file = InputFile.Open(path);
        using PipeInterrupt? interrupt = PipeInterrupt.While(file);
        path = InputFile.NameOf(path);
        byte[] start = ReadStart(path, file);
        using ResumedStream text = new(start, file);
        if (BranchCountText.IsCounts(start))
        {
            new BranchCountText(Branches).Read(text);
            Profiles++;
            return;
        }
        List<SingleModuleResolver> resolvers = [];
        BranchAggregator aggregator = PerfScriptFile.Read(file, text, NewShard, out PerfScriptSummary summary);
        RequireBranchStacks(path, summary);
        Add(path, aggregator, resolvers[0], text: true);

        BranchAggregator NewShard()
        {
            resolvers.Add(new SingleModuleResolver(module));
            BranchAggregator shard = new(resolvers[^1]);
            // Text without mappings is of a binary that ran where it is linked to run. Later mappings take precedence.
            foreach (Mapping mapping in module.MappingsAsLinked())
                shard.OnMapping(mapping);
            return shard;
        }
    }

    /// <summary>
    /// Adds a file of <c>perf record</c> or of <c>perforator record --format perf-data</c>. Where it has no branch stacks, sampled
    /// addresses are taken.
    /// </summary>
    /// <exception cref="UserErrorException">Unreadable, without samples, or of another build of the binary.</exception>
    public void AddPerfData(string path)
    {
        SingleModuleResolver resolver = new(module);
        BranchAggregator aggregator = new(resolver);
        using FileStream file = PerfDataReader.Open(path);
        using PipeInterrupt? interrupt = PipeInterrupt.While(file);
        path = InputFile.NameOf(path);
        PerfDataSummary summary = new PerfDataReader(aggregator).ReadFile(file, path);
        if (summary.BranchSamples + summary.AddressSamples == 0)
            throw new UserErrorException($"{path} has no samples that can be used{MainLoss(aggregator.Losses)}");
        Add(path, aggregator, resolver);
    }

    /// <summary>Adds a pprof profile of sample type lbr/stacks.</summary>
    /// <exception cref="UserErrorException">Unreadable, of other samples, or of another build of the binary.</exception>
    public void AddPprof(string path)
    {
        SingleModuleResolver resolver = new(module);
        BranchAggregator aggregator = new(resolver);
        PprofReader reader = new(aggregator, resolver);
        reader.ReadFile(path);
        path = InputFile.NameOf(path);
        if (reader.Samples == 0)
            throw new UserErrorException($"{path} has no branch stacks{MainLoss(aggregator.Losses)}");
        Notes.Add($"{path}: {reader.WeightNote}");
        Add(path, aggregator, resolver);
    }

    /// <summary>The reason most was lost for, as the end of a sentence.</summary>
    internal static string MainLoss(LossCounts losses) =>
        losses.ByReason.OrderByDescending(loss => loss.Value).Select(loss => $": {loss.Value} times {loss.Key}").FirstOrDefault("");

    /// <summary>Refuses text without branch stacks: of addresses alone perf.data says more than text does.</summary>
    /// <exception cref="UserErrorException">There was none.</exception>
    internal static void RequireBranchStacks(string path, PerfScriptSummary text)
    {
        if (text.BranchSamples == 0)
            throw new UserErrorException(text.PlainSamples == 0
                ? $"{path} has no samples: print them with 'perf script -F ip,brstack --show-mmap-events'"
                : $"{path} has no branch stacks: record with 'perf record -b' and print with 'perf script -F ip,brstack --show-mmap-events'");
    }

    /// <summary>The first mebibyte of text.</summary>
    /// <exception cref="UserErrorException">It cannot be read, or has no line end, as endless devices have none.</exception>
    private static byte[] ReadStart(string path, FileStream file)
    {
        byte[] start = new byte[1 << 20];
        try
        {
            Array.Resize(ref start, file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{path} cannot be read: {e.Message}", e);
        }
        return start.Length < 1 << 20 || start.AsSpan().Contains((byte)'\n')
            ? start
            : throw new UserErrorException($"{path} is not text: print samples with 'perf script -F ip,brstack --show-mmap-events'");
    }

    private void Add(string path, BranchAggregator aggregator, SingleModuleResolver resolver, bool text = false)
    {
        Losses.Merge(aggregator.Losses);
        if (aggregator.ProfileOf(module.BuildId) is not { } profile || (profile.BranchEntries == 0 && profile.Addresses.Count == 0))
            throw new UserErrorException(resolver.OtherBuild.IsEmpty
                ? $"{path} has no branches in {binary.Path}: was it recorded while this binary ran{(text ? ", and printed with --show-mmap-events" : "")}?"
                : $"{path} is of another build of {binary.Path}: {resolver.OtherBuild} was recorded, the file has {binary.BuildId}; name the binary that ran");
        Add(profile);
        Profiles++;
    }

    /// <summary>Adds a profile, which is not to be used by others any more.</summary>
    private void Add(BranchProfile profile)
    {
        // The first one is kept rather than copied: in many a run it is the only one, and large.
        if (Branches is { IsEmpty: true, BranchEntries: 0, Samples: 0 } && Branches.Losses.Total == 0)
            Branches = profile;
        else
            Branches.Merge(profile);
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
                $"{InputFile.NameOf(path)} has nothing of {binary.Path} (build id {binary.BuildId}); it is of {(others.Length == 0 ? "no binary" : others)}");
        }
        Losses.Merge(set.Losses);
        Add(profile);
        Profiles++;
    }
}
