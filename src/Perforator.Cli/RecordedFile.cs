using Perforator.Branches;
using Perforator.Bytes;
using Perforator.PerfData;
using Perforator.PerfScript;
using Perforator.Pprof;

namespace Perforator.Cli;

/// <summary>A file of recorded branches of any kind that is known, told by how it begins.</summary>
internal static class RecordedFile
{
    /// <summary>Adds up a file's branches.</summary>
    /// <param name="path">The file.</param>
    /// <param name="modules">The binaries of interest.</param>
    /// <param name="service">The service it is of.</param>
    /// <returns>One set with what the file says of itself as labels: host, CPU, and its kind as the source.</returns>
    /// <exception cref="UserErrorException">Unreadable, of no known kind, or without samples.</exception>
    public static BranchProfileSet Read(string path, FileModules modules, string service)
    {
        byte[] start = Start(path);
        if (BranchProfileCodec.HasMagic(start))
        {
            BranchProfileSet stored = BranchProfileCodec.Load(path);
            stored.Labels[ProfileLabels.Service] = service;
            return stored;
        }

        // The same file gives the same set whenever it is imported, so that the server knows it again.
        DateTimeOffset written = File.GetLastWriteTimeUtc(path);
        BranchProfileSet set = new() { Start = written, End = written, Labels = { [ProfileLabels.Service] = service } };
        BranchAggregator aggregator = new(modules);
        ulong samples;
        if (PerfDataReader.HasMagic(start))
        {
            PerfDataSummary summary = new PerfDataReader(aggregator).ReadFile(path);
            samples = summary.BranchSamples + summary.AddressSamples;
            set.Labels[ProfileLabels.Source] = summary.BranchSamples > 0 ? "perf.data"
                : summary.ExactAddressSamples == summary.AddressSamples ? "perf.data-exact-addresses" : "perf.data-addresses";
            Label(set, ProfileLabels.Host, summary.HostName);
            Label(set, ProfileLabels.Cpu, summary.CpuModel);
        }
        else if (PprofReader.HasMagic(start))
        {
            PprofReader reader = new(aggregator, modules);
            reader.ReadFile(path);
            samples = reader.Samples;
            set.Labels[ProfileLabels.Source] = "pprof";
        }
        else if (start.AsSpan().Contains((byte)0) || start.Length == 0)
        {
            throw new UserErrorException($"{path} is of no known kind: perf.data, text of perf script, counts as BOLT's and AutoFDO's text has them, pprof (lbr/stacks) and {BranchProfileCodec.FileExtension} files can be imported");
        }
        else if (BranchCountText.IsCounts(start))
        {
            Module module = modules.OnlyNamed
                ?? throw new UserErrorException($"{path} holds counts by address, which do not say of which binary: name that one with --binary");
            BranchProfile counted = new(module.BuildId, module.Path);
            using FileStream file = InputFile.Open(path);
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
            reader.ReadFile(path);
            BranchInputs.RequireBranchStacks(path, reader.Summary);
            samples = reader.BranchSamples;
            set.Labels[ProfileLabels.Source] = "perf-script";
        }
        if (samples == 0)
            throw new UserErrorException($"{path} has no samples that can be used{BranchInputs.MainLoss(aggregator.Losses)}");
        set.Add(aggregator);
        foreach (BuildId untouched in set.Profiles.Where(p => p.Value.BranchEntries == 0 && p.Value.Addresses.Count == 0).Select(p => p.Key).ToList())
            set.Profiles.Remove(untouched);
        return set;
    }

    /// <summary>Enough to tell text of counts from text of samples.</summary>
    private const int StartBytes = 1 << 14;

    private static void Label(BranchProfileSet set, string label, string value)
    {
        if (value.Length > 0)
            set.Labels[label] = ProfileLabels.Printable(value);
    }

    private static byte[] Start(string path)
    {
        try
        {
            using FileStream file = InputFile.Open(path);
            // What comes through a pipe has no time of its own, and would be another profile whenever it is imported.
            if (!file.CanSeek)
                throw new UserErrorException($"{path} is a pipe; import takes files, so that importing one again changes nothing");
            byte[] start = new byte[StartBytes];
            return start[..file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{path} cannot be read: {e.Message}", e);
        }
    }
}
