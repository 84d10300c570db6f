using Perforator.Branches;
using Perforator.Bytes;
using Perforator.PerfData;
using Perforator.PerfScript;
using Perforator.Pprof;

namespace Perforator.Cli;

/// <summary>What a file or pipe of recorded branches holds, of any kind that is known; the kind is told by how it begins.</summary>
/// <param name="Name">What messages call it.</param>
/// <param name="Set">Its branches, with what it says of itself as labels: host, CPU, and its kind as the source.</param>
/// <param name="IsPipe">Whether it cannot be read again.</param>
internal sealed record RecordedFile(string Name, BranchProfileSet Set, bool IsPipe)
{
    /// <summary>Enough to tell text of counts from text of samples.</summary>
    private const int StartBytes = 1 << 14;

    /// <summary>Adds up a file's branches.</summary>
    /// <param name="path">The file or pipe; "-" is standard input.</param>
    /// <param name="modules">The binaries of interest.</param>
    /// <param name="service">The service it is of.</param>
    /// <exception cref="UserErrorException">Unreadable, of no known kind, or without samples.</exception>
    public static RecordedFile Read(string path, FileModules modules, string service)
    {
        using FileStream file = InputFile.Open(path);
        string name = InputFile.NameOf(path);
        using PipeInterrupt? interrupt = PipeInterrupt.While(file);
        DateTimeOffset begun = DateTimeOffset.UtcNow;
        byte[] start = ReadStart(file, name);
        using Stream whole = file.CanSeek ? file : new ResumedStream(start, file);
        if (file.CanSeek)
            file.Position = 0;
        BranchProfileSet set;
        if (BranchProfileCodec.HasMagic(start))
        {
            set = BranchProfileCodec.Load(whole, name);
        }
        else
        {
            set = ReadSamples(whole, start, name, modules);
            // The same file gives the same set whenever it is imported, so that the server knows it again. A pipe has no time of its own.
            (set.Start, set.End) = file.CanSeek
                ? (File.GetLastWriteTimeUtc(file.SafeFileHandle), File.GetLastWriteTimeUtc(file.SafeFileHandle))
                : (begun, DateTimeOffset.UtcNow);
        }
        set.Labels[ProfileLabels.Service] = service;
        return new RecordedFile(name, set, !file.CanSeek);
    }

    private static BranchProfileSet ReadSamples(Stream file, byte[] start, string name, FileModules modules)
    {
        BranchProfileSet set = new();
        BranchAggregator aggregator = new(modules);
        ulong samples;
        if (PerfDataReader.HasMagic(start))
        {
            PerfDataSummary summary = new PerfDataReader(aggregator).ReadFile(file, name);
            samples = summary.BranchSamples + summary.AddressSamples;
            set.Labels[ProfileLabels.Source] = summary.BranchSamples > 0 ? "perf.data"
                : summary.ExactAddressSamples == summary.AddressSamples ? "perf.data-exact-addresses" : "perf.data-addresses";
            Label(set, ProfileLabels.Host, summary.HostName);
            Label(set, ProfileLabels.Cpu, summary.CpuModel);
        }
        else if (PprofReader.HasMagic(start))
        {
            PprofReader reader = new(aggregator, modules);
            reader.ReadFile(file, name);
            samples = reader.Samples;
            set.Labels[ProfileLabels.Source] = "pprof";
        }
        else if (start.AsSpan().Contains((byte)0) || start.Length == 0)
        {
            throw new UserErrorException($"{name} is of no known kind: perf.data, text of perf script, counts as BOLT's and AutoFDO's text has them, pprof (lbr/stacks) and {BranchProfileCodec.FileExtension} files can be imported");
        }
        else if (BranchCountText.IsCounts(start))
        {
            Module module = modules.OnlyNamed
                ?? throw new UserErrorException($"{name} holds counts by address, which do not say of which binary: name that one with --binary");
            BranchProfile counted = new(module.BuildId, module.Path);
            BranchCountText text = new(counted);
            text.Read(file);
            set.Add(counted);
            samples = text.Counts;
            set.Labels[ProfileLabels.Source] = "branch-counts";
        }
        else
        {
            // Text without mappings is of a binary that ran where it is linked to run. Later mappings take precedence.
            foreach (Mapping mapping in modules.OnlyNamed?.MappingsAsLinked() ?? [])
                aggregator.OnMapping(mapping);
            PerfScriptReader reader = new(aggregator);
            reader.ReadFile(file, name);
            BranchInputs.RequireBranchStacks(name, reader.Summary);
            samples = reader.BranchSamples;
            set.Labels[ProfileLabels.Source] = "perf-script";
        }
        if (samples == 0)
            throw new UserErrorException($"{name} has no samples that can be used{BranchInputs.MainLoss(aggregator.Losses)}");
        set.Add(aggregator);
        foreach (BuildId untouched in set.Profiles.Where(p => p.Value.BranchEntries == 0 && p.Value.Addresses.Count == 0).Select(p => p.Key).ToList())
            set.Profiles.Remove(untouched);
        return set;
    }

    private static void Label(BranchProfileSet set, string label, string value)
    {
        if (value.Length > 0)
            set.Labels[label] = ProfileLabels.Printable(value);
    }

    private static byte[] ReadStart(Stream file, string name)
    {
        try
        {
            byte[] start = new byte[StartBytes];
            return start[..file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{name} cannot be read: {e.Message}", e);
        }
    }
}
