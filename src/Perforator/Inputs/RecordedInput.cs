using Perforator.Branches;
using Perforator.Bytes;
using Perforator.PerfData;
using Perforator.PerfScript;
using Perforator.Pprof;

namespace Perforator.Inputs;

/// <summary>What of an input counts.</summary>
public sealed record InputOptions
{
    /// <summary>The event whose samples count, by its name in perf; null for the best of those there are.</summary>
    public string? Event { get; init; }
}

/// <summary>
/// What a file or pipe of recorded branches holds, of whatever kind: the one way from recordings to branch profiles.
/// </summary>
/// <param name="Name">What messages call it.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Set">
/// Its branches, with what it says of itself as labels: host, CPU, and its kind as the source. At least one binary has some.
/// </param>
/// <param name="IsPipe">Whether it cannot be read again.</param>
public sealed record RecordedInput(string Name, InputKind Kind, BranchProfileSet Set, bool IsPipe)
{
    /// <summary>Enough to tell most inputs apart, so that a slow pipe is not waited for.</summary>
    private const int FirstBytes = 1 << 14;

    /// <summary>Text must show what it is, and have a line end, within so many bytes.</summary>
    private const int TextBytes = 1 << 20;

    private const string HowToPrint = "'perf script -F ip,brstack --show-mmap-events'";

    /// <summary>How it was understood where that is not plain, a sentence each.</summary>
    public IReadOnlyList<string> Notes { get; private init; } = [];

    /// <summary>Opens a file or pipe to read.</summary>
    /// <exception cref="UserErrorException">It is missing, unreadable or a folder.</exception>
    public static FileStream Open(string path) => File.Exists(Path.Combine(path, "data")) || File.Exists(Path.Combine(path, "data.0"))
        ? throw new UserErrorException($"{path} is a folder of perf.data files, as perf record --threads writes; record without --threads")
        : InputFile.Open(path);

    /// <summary>Reads a file or pipe that stands at its beginning to its end.</summary>
    /// <param name="file">It is not closed.</param>
    /// <param name="name">What messages call it.</param>
    /// <param name="binaries">The binaries of interest.</param>
    /// <param name="otherwise">What it is taken for when its content does not tell; null to refuse it then.</param>
    /// <param name="options">What of it counts.</param>
    /// <exception cref="UserErrorException">Unreadable, of no known kind, or without branches in a binary of interest.</exception>
    public static RecordedInput Read(
        FileStream file, string name, RecordedBinaries binaries, InputKind? otherwise = null, InputOptions? options = null)
    {
        DateTimeOffset begun = DateTimeOffset.UtcNow;
        byte[] start = ReadStart(file, name, FirstBytes, []);
        InputKind? kind = InputKinds.Detect(start);
        if (kind is InputKind.PerfScript || (kind is null && otherwise is InputKind.PerfScript))
        {
            start = ReadStart(file, name, TextBytes, start);
            kind = InputKinds.Detect(start);
        }
        InputKind known = kind ?? otherwise ?? throw new UserErrorException(
            $"{name} is of no known kind: perf.data, text of perf script, counts as BOLT's and AutoFDO's text has them, pprof (lbr/stacks) and {BranchProfileCodec.FileExtension} files can be read");
        Stream whole = file;
        if (file.CanSeek)
            file.Position = 0;
        else
            whole = new ResumedStream(start, file);
        Reading reading = new(file, whole, name, binaries, options ?? new InputOptions());
        reading.Read(known, start);
        if (known != InputKind.Branches)
        {
            // The same file gives the same set whenever it is read, so that the server knows it again. A pipe has no time of its own.
            (reading.Set.Start, reading.Set.End) = file.CanSeek
                ? (File.GetLastWriteTimeUtc(file.SafeFileHandle), File.GetLastWriteTimeUtc(file.SafeFileHandle))
                : (begun, DateTimeOffset.UtcNow);
        }
        return new RecordedInput(name, known, reading.Set, !file.CanSeek) { Notes = reading.Notes };
    }

    /// <summary>Its branches in one of the binaries of interest.</summary>
    /// <exception cref="UserErrorException">It has none.</exception>
    public BranchProfile ProfileOf(Module binary)
    {
        if (Set.Profiles.TryGetValue(binary.BuildId, out BranchProfile? profile))
            return profile;
        string others = string.Join(", ", Set.Profiles.Values.Take(5).Select(other => $"{other.BuildId} ({other.Path})"));
        throw new UserErrorException(
            $"{Name} has nothing of {binary.Path} (build id {binary.BuildId}); it is of {(others.Length == 0 ? "no binary" : others)}");
    }

    /// <summary>The reason most was lost for, as the end of a sentence.</summary>
    public static string MainLoss(LossCounts losses) =>
        losses.LargestFirst().Select(static loss => $": {loss.Count} times {loss.Reason}").FirstOrDefault("");

    /// <summary>The first bytes, of which some may have been read.</summary>
    /// <exception cref="UserErrorException">It cannot be read.</exception>
    private static byte[] ReadStart(FileStream file, string name, int length, byte[] already)
    {
        try
        {
            byte[] start = new byte[length];
            already.CopyTo(start, 0);
            return start[..(already.Length
                + file.ReadAtLeast(start.AsSpan(already.Length), length - already.Length, throwOnEndOfStream: false))];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{name} cannot be read: {e.Message}", e);
        }
    }

    /// <summary>One input on its way to a set.</summary>
    private sealed class Reading(FileStream file, Stream whole, string name, RecordedBinaries binaries, InputOptions options)
    {
        public BranchProfileSet Set { get; private set; } = new();

        public List<string> Notes { get; } = [];

        private readonly LinkedAddresses linked = new(binaries.Named);

        public void Read(InputKind kind, byte[] start)
        {
            switch (kind)
            {
                case InputKind.Branches:
                    Set = BranchProfileCodec.Load(whole, name);
                    break;
                case InputKind.PerfData:
                    Take(ReadPerfData());
                    break;
                case InputKind.Pprof:
                    Take(ReadPprof());
                    break;
                case InputKind.BranchCounts:
                    ReadCounts();
                    break;
                default:
                    Take(ReadPerfScript(start));
                    break;
            }
        }

        private BranchAggregator ReadPerfData()
        {
            BranchAggregator aggregator = new(binaries);
            PerfDataSummary summary = new PerfDataReader(aggregator) { Event = options.Event }.ReadFile(whole, name);
            if (options.Event is not null && !summary.EventNames.Any(known => EventName.AreSame(known, options.Event)))
                throw new UserErrorException($"{name} has no event {options.Event}; those it has: {string.Join(", ", summary.EventNames)}");
            if (options.Event is null && summary.EventsUsed.Count < summary.EventNames.Count)
                Notes.Add($"{name}: samples of {string.Join(" and ", summary.EventsUsed)} count, of {summary.EventNames.Count} events; --event takes another");
            if (summary is { BranchSamples: 0, Traces.Count: > 0 })
                DecodeFirst(summary);
            RequireSamples(summary.BranchSamples + summary.AddressSamples, aggregator.Losses);
            Set.Labels[ProfileLabels.Source] = summary.BranchSamples > 0 ? "perf.data"
                : summary.ExactAddressSamples == summary.AddressSamples ? "perf.data-exact-addresses" : "perf.data-addresses";
            Label(ProfileLabels.Host, summary.HostName);
            Label(ProfileLabels.Cpu, summary.CpuModel);
            return aggregator;
        }

        /// <summary>Says how branch stacks are made of a trace, for which there is no decoder here.</summary>
        private void DecodeFirst(PerfDataSummary summary)
        {
            string traces = string.Join(" and ", summary.Traces);
            string how = summary.IsSimpleperf
                ? $"'simpleperf inject -i {name} -o counts.txt --output autofdo' makes counts of it, which are given with --perf-script"
                : $"'perf inject -i {name} -o decoded.perf.data --itrace={(summary.Traces.Contains("Arm SPE") ? "bl" : "i1000il64")} --strip' makes branch stacks of it, on a perf that has the decoder";
            if (summary.AddressSamples == 0)
                throw new UserErrorException(
                    $"{name} has a trace of {traces} and no branch stacks, and traces are not decoded here: {how}");
            Notes.Add($"{name}: its trace of {traces} is not used: {how}");
        }

        private BranchAggregator ReadPprof()
        {
            if (options.Event is not null)
                throw new UserErrorException($"{name} is a pprof profile, which does not tell events apart: leave --event out");
            BranchAggregator aggregator = new(binaries);
            PprofReader reader = new(aggregator, binaries);
            reader.ReadFile(whole, name);
            RequireSamples(reader.Samples, aggregator.Losses);
            Notes.Add($"{name}: {reader.WeightNote}");
            Set.Labels[ProfileLabels.Source] = "pprof";
            return aggregator;
        }

        private void ReadCounts()
        {
            BranchCountText text = new(binaries, binaries.Only, options.Event);
            try
            {
                text.Read(whole);
            }
            catch (UserErrorException e)
            {
                throw new UserErrorException($"{name} {e.Message}", e);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new UserErrorException($"{name} cannot be read: {e.Message}", e);
            }
            foreach (BranchProfile profile in text.Profiles)
                if (!profile.IsEmpty)
                    Set.TakeOver(profile);
            Set.Losses.Merge(text.Losses);
            if (Set.Profiles.Count == 0 && text.OtherBinaries.Count == 0)
                RequireSamples(0, text.Profiles.FirstOrDefault()?.Losses ?? text.Losses);
            if (Set.Profiles.Count == 0)
                throw new UserErrorException(new UnmatchedRecording(name, text.OtherBinaries, text.Losses, binaries).Message);
            foreach (string note in text.Notes)
                Notes.Add($"{name}: {note}");
            Set.Labels[ProfileLabels.Source] = "branch-counts";
        }

        private BranchAggregator ReadPerfScript(byte[] start)
        {
            if (start.Length == TextBytes && !start.AsSpan().Contains((byte)'\n'))
                throw new UserErrorException($"{name} is not text: print samples with {HowToPrint}");
            BranchAggregator aggregator =
                PerfScriptFile.Read(file, whole, NewShard, new PerfScriptOptions(linked, options.Event), out PerfScriptSummary summary);
            // Of addresses alone perf.data says more than text does.
            if (summary.BranchSamples == 0)
                throw new UserErrorException(aggregator.Losses[PerfScriptReader.OtherEvent] > 0
                    ? $"{name} has no branch stacks that it tells to be of the event {options.Event}: print the events with -F +event, and see there what they are called"
                    : summary.PlainSamples == 0
                    ? $"{name} has no samples: print them with {HowToPrint}"
                    : $"{name} has no branch stacks: record with 'perf record -b' and print with {HowToPrint}");
            Set.Labels[ProfileLabels.Source] = "perf-script";
            return aggregator;
        }

        private BranchAggregator NewShard()
        {
            BranchAggregator shard = new(binaries);
            // Text without mappings is of binaries that ran where they are linked to run. Later mappings take precedence.
            foreach (Mapping mapping in linked.Mappings)
                shard.OnMapping(mapping);
            return shard;
        }

        private void RequireSamples(ulong samples, LossCounts losses)
        {
            if (samples == 0)
                throw new UserErrorException($"{name} has no samples that can be used{MainLoss(losses)}");
        }

        private void Take(BranchAggregator aggregator)
        {
            Set.Losses.Merge(aggregator.Losses);
            Set.TotalSamples = aggregator.Samples;
            foreach (BranchProfile profile in aggregator.Profiles.Values)
                if (profile.BranchEntries != 0 || profile.Addresses.Count != 0)
                    Set.TakeOver(profile);
            if (Set.Profiles.Count == 0)
                throw new UserErrorException(new UnmatchedRecording(name, aggregator.OtherBinaries, aggregator.Losses, binaries).Message);
        }

        private void Label(string label, string value)
        {
            if (value.Length > 0)
                Set.Labels[label] = ProfileLabels.Printable(value);
        }
    }
}
