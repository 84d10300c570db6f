namespace Perforator.Branches;

/// <summary>
/// Turns samples of any number of processes into one <see cref="BranchProfile"/> per binary: converts runtime addresses by each
/// process's own mappings and counts branches, ranges and sampled addresses. Not thread-safe: parallel sources feed one each and
/// <see cref="Merge"/> them.
/// </summary>
public sealed class BranchAggregator : IBranchSink
{
    /// <summary>
    /// The process id of mappings that hold for every process without mappings of its own, as in inputs that do not say which
    /// process a sample is of. No user-space process has it.
    /// </summary>
    public const int AnyProcess = 0;

    /// <summary>The range between two branches goes backwards or is implausibly long.</summary>
    public const string BogusRange = "fall-through range that goes backwards or is implausibly long (interrupted branch recording)";

    /// <summary>The same branch twice with no way from its target back to it.</summary>
    public const string DuplicatedBranch = "branch entry duplicated by the hardware";

    /// <summary>The branch has neither end in a binary of interest.</summary>
    public const string ExternalBranch = "branch outside every binary of interest";

    /// <summary>The branch has one end in executable memory without a file, and none in a binary of interest.</summary>
    public const string AnonymousBranch =
        "branch in executable memory without a file (JIT code, or code on huge pages that the mappings do not say the binary of)";

    /// <summary>The branch has one end in the kernel and none in a binary of interest.</summary>
    public const string KernelBranch = "branch in the kernel (record user space only: -e …:u)";

    /// <summary>The entry was recorded on a wrongly speculated path.</summary>
    public const string WrongPath = "branch on a wrongly speculated path";

    /// <summary>The entry says that its branch was not taken.</summary>
    public const string BranchNotTaken = "branch stack entry of a branch that was not taken";

    /// <summary>The sample is of a process no mapping is known of.</summary>
    public const string UnknownProcess = "sample of a process without known mappings";

    /// <summary>A sample without branches whose address is not in a binary of interest.</summary>
    public const string ExternalAddress = "sampled address outside every binary of interest";

    /// <summary>The longest fall-through range counted, in bytes; no straight-line code is longer.</summary>
    public const ulong MaxRangeLength = 1 << 20;

    private const BranchFlags NoPlainBranch = BranchFlags.SpeculativeWrongPath | BranchFlags.NotTaken | BranchFlags.Interrupt;

    private readonly IModuleResolver resolver;
    private readonly Dictionary<int, AddressSpace> processes = [];
    // By build id; its text, as comparing build ids would have to be compiled at run time.
    private readonly Dictionary<string, ModuleTally> tallies = new(StringComparer.Ordinal);
    private readonly OtherBinaries others = new();

    // What is mapped for the kernel holds in every process, and in those of which nothing else is known.
    private readonly AddressSpace kernel = new();
    private readonly AddressSpace kernelOnly;
    private int lastProcess = int.MinValue;
    private AddressSpace? lastSpace;
    private ulong sampleNumber;

    // Those of the entries at hand, between their being looked up and counted.
    private readonly TraceCounts.Trace[] traces = new TraceCounts.Trace[64];

    public BranchAggregator(IModuleResolver resolver)
    {
        this.resolver = resolver;
        kernelOnly = new AddressSpace(kernel);
    }

    /// <summary>The profiles so far, by build id. What is counted later reaches them when they are asked for again.</summary>
    public IReadOnlyDictionary<BuildId, BranchProfile> Profiles =>
        tallies.Values.Select(static tally => tally.Complete()).ToDictionary(static profile => profile.BuildId);

    /// <summary>One of <see cref="Profiles"/>; null when the binary was never mapped.</summary>
    public BranchProfile? ProfileOf(BuildId buildId) =>
        tallies.TryGetValue(buildId.ToString(), out ModuleTally? tally) ? tally.Complete() : null;

    /// <summary>What was dropped before it could be attributed to a binary, by reason.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>All samples seen, whether or not they touched a binary of interest.</summary>
    public ulong Samples { get; private set; }

    /// <summary>All branch stack entries seen, whether or not they touched a binary of interest.</summary>
    public ulong BranchEntries { get; private set; }

    /// <summary>What was mapped executable and is of no interest, in the order in which it was first seen.</summary>
    public IReadOnlyCollection<OtherBinary> OtherBinaries => others.All;

    /// <inheritdoc/>
    public void OnMapping(Mapping mapping)
    {
        if (mapping.IsAnonymous && mapping.BuildId.IsEmpty)
        {
            Space(mapping.ProcessId).MapAnonymous(mapping.Start.Value, mapping.End.Value);
            return;
        }
        Module? module = resolver.Resolve(mapping);
        if (module is null)
        {
            Space(mapping.ProcessId).MapOther(mapping.Start.Value, mapping.End.Value, others.Of(mapping));
            return;
        }
        BinaryAddress? start = module.StartOf(mapping);
        ModuleTally? tally = start is null ? null : Tally(module.BuildId, module.Path);
        Space(mapping.ProcessId).Map(mapping.Start.Value, mapping.End.Value, tally, mapping.Start.Value - (start?.Value ?? 0), module);
    }

    /// <inheritdoc/>
    public void OnFork(int processId, int parentProcessId)
    {
        if (processId == parentProcessId)
            return;
        Forget(processId);
        if (processes.TryGetValue(parentProcessId, out AddressSpace? parent))
            processes[processId] = parent.Clone();
    }

    /// <inheritdoc/>
    public void OnExec(int processId) => Forget(processId);

    /// <inheritdoc/>
    public void OnExit(int processId) => Forget(processId);

    /// <inheritdoc/>
    public void OnLost(string reason, ulong count) => Losses.Add(reason, count);

    /// <inheritdoc/>
    public void OnSample(in BranchSample sample)
    {
        ulong weight = sample.Weight == 0 ? 1 : sample.Weight;
        Samples += weight;
        BranchEntries += weight * (ulong)sample.Stack.Length;
        AddressSpace? space = sample.ProcessId == lastProcess ? lastSpace : FindSpace(sample.ProcessId);
        if (space is null)
        {
            Losses.Add(UnknownProcess, weight);
            return;
        }

        sampleNumber++;
        ModuleTally? sampled = null;
        if (sample.InstructionPointer.Value != 0 && space.Find(sample.InstructionPointer.Value) is { Tally: { } tally } at)
        {
            tally.Profile.Addresses.Add(new(sample.InstructionPointer.Value - at.Bias), default, weight);
            tally.Profile.Samples += weight;
            if (sample.Stack.IsEmpty)
                tally.Profile.CountWithoutStack(weight, sample.HasExactAddress);
            sampled = tally;
        }
        else if (sample.Stack.IsEmpty)
        {
            Losses.Add(ExternalAddress, weight);
            space.Find(sample.InstructionPointer.Value).Other?.Count(weight);
        }
        for (ReadOnlySpan<BranchEntry> stack = sample.Stack; !stack.IsEmpty;)
        {
            int plain = CountPlain(space.LastOfInterest, stack, weight, ref sampled);
            stack = stack[plain..];
            if (plain < traces.Length && !stack.IsEmpty)
            {
                Count(space, in stack[0], weight, ref sampled);
                stack = stack[1..];
            }
        }
    }

    /// <summary>Adds what another aggregator counted; the other is not to be used any more.</summary>
    public void Merge(BranchAggregator other)
    {
        foreach (ModuleTally tally in other.tallies.Values)
            Tally(tally.Profile.BuildId, tally.Profile.Path).Merge(tally);
        others.Merge(other.others);
        Losses.Merge(other.Losses);
        Samples = PairCounts.Saturating(Samples, other.Samples);
        BranchEntries = PairCounts.Saturating(BranchEntries, other.BranchEntries);
    }

    /// <summary>
    /// Hands over all that was counted so far, as an aggregator that is not fed any more, and begins again from zero with the mappings
    /// as they are: what a recorder that runs on does at the end of each interval.
    /// </summary>
    public BranchAggregator Take()
    {
        BranchAggregator taken = new(resolver) { Samples = Samples, BranchEntries = BranchEntries };
        taken.Losses.Merge(Losses);
        foreach ((string id, ModuleTally tally) in tallies)
            taken.tallies.Add(id, tally.Take());
        (Samples, BranchEntries) = (0, 0);
        Losses.Clear();
        return taken;
    }

    /// <summary>
    /// Counts the entries a stack begins with, as far as they lie in one region and nothing is the matter with them, as with nearly all: to
    /// the same result as <see cref="Count"/>, and several times as fast. The counters are fetched from memory while the next entries are
    /// looked at.
    /// </summary>
    /// <returns>How many; as many as fit the buffer at most.</returns>
    private int CountPlain(AddressSpace.Region region, ReadOnlySpan<BranchEntry> stack, ulong weight, ref ModuleTally? sampled)
    {
        if (!region.HasTraces || weight > uint.MaxValue)
            return 0;
        ModuleTally tally = region.Tally!;
        TraceCounts counts = tally.Traces;
        ulong start = region.Start, size = region.End - start, binaryStart = start - region.Bias;
        ulong newerFrom = tally.SampleNumber == sampleNumber ? tally.NewerFrom : ulong.MaxValue, newerTo = 0;
        Span<TraceCounts.Trace> buffer = traces;
        int plain = 0;
        foreach (ref readonly BranchEntry entry in stack[..Math.Min(stack.Length, buffer.Length)])
        {
            ulong from = entry.From.Value - start, to = entry.To.Value - start;
            if (from >= size || to >= size || (entry.Flags & NoPlainBranch) != 0)
                break;
            (from, to) = (from + binaryStart, to + binaryStart);
            ulong rangeLength = newerFrom - to;
            if (rangeLength > MaxRangeLength)
            {
                if (newerFrom != ulong.MaxValue)
                    break;
                rangeLength = TraceCounts.NoRange;
            }
            buffer[plain++] = counts.Fetch(from, to, rangeLength, (uint)(entry.Flags & BranchFlags.Mispredicted));
            (newerFrom, newerTo) = (from, to);
        }
        if (plain == 0)
            return 0;
        counts.Add(buffer[..plain], (uint)weight, tally.Profile);
        tally.Profile.BranchEntries += weight * (ulong)plain;
        (tally.SampleNumber, tally.NewerFrom, tally.NewerTo) = (sampleNumber, newerFrom, newerTo);
        if (sampled is null)
            (sampled = tally).Profile.Samples += weight;
        return plain;
    }

    /// <summary>
    /// Counts one entry. Entries come newest first: the range that precedes a branch runs from the target of the next older
    /// branch up to it.
    /// </summary>
    private void Count(AddressSpace space, in BranchEntry entry, ulong weight, ref ModuleTally? sampled)
    {
        if ((entry.Flags & (BranchFlags.SpeculativeWrongPath | BranchFlags.NotTaken)) != 0)
        {
            Losses.Add((entry.Flags & BranchFlags.NotTaken) != 0 ? BranchNotTaken : WrongPath, weight);
            return;
        }
        AddressSpace.Region fromRegion = space.Find(entry.From.Value);
        AddressSpace.Region toRegion = space.Find(entry.To.Value);
        // Code runs straight through an interrupt, which thus ends no range.
        ModuleTally? from = (entry.Flags & BranchFlags.Interrupt) == 0 ? fromRegion.Tally : null;
        ModuleTally? to = toRegion.Tally;
        bool mispredicted = (entry.Flags & BranchFlags.Mispredicted) != 0;
        ulong fromAddress = from is null ? ulong.MaxValue : entry.From.Value - fromRegion.Bias;
        ulong toAddress = to is null ? ulong.MaxValue : entry.To.Value - toRegion.Bias;

        if (to is not null)
        {
            BranchProfile profile = to.Profile;
            ulong seenFrom = to == from ? fromAddress : ulong.MaxValue;
            ulong rangeLength = TraceCounts.NoRange;
            if (to.SampleNumber == sampleNumber && to.NewerFrom != ulong.MaxValue)
            {
                if (to.NewerFrom - toAddress <= MaxRangeLength)
                    rangeLength = to.NewerFrom - toAddress;
                else
                    profile.Losses.Add(to.NewerFrom == seenFrom && to.NewerTo == toAddress ? DuplicatedBranch : BogusRange, weight);
            }
            to.Add(seenFrom, toAddress, rangeLength, weight, mispredicted);
            profile.BranchEntries += weight;
            to.SampleNumber = sampleNumber;
            to.NewerFrom = seenFrom;
            to.NewerTo = toAddress;
        }
        if (from is not null && from != to)
        {
            from.Add(fromAddress, ulong.MaxValue, TraceCounts.NoRange, weight, mispredicted);
            from.Profile.BranchEntries += weight;
            from.SampleNumber = sampleNumber;
            from.NewerFrom = fromAddress;
            from.NewerTo = ulong.MaxValue;
        }
        if ((from ?? to) is not { } touched)
        {
            (fromRegion.Other ?? toRegion.Other)?.Count(weight);
            Losses.Add(
                (entry.From.Value | entry.To.Value) >> 63 != 0 && !kernel.HasTallies ? KernelBranch
                    : fromRegion.IsAnonymous || toRegion.IsAnonymous ? AnonymousBranch : ExternalBranch, weight);
        }
        else if (sampled is null)
        {
            (sampled = touched).Profile.Samples += weight;
        }
    }

    private ModuleTally Tally(BuildId id, string path)
    {
        if (!tallies.TryGetValue(id.ToString(), out ModuleTally? tally))
            tallies.Add(id.ToString(), tally = new ModuleTally(new BranchProfile(id, path), new TraceCounts()));
        return tally;
    }

    private AddressSpace? FindSpace(int processId)
    {
        if (!processes.TryGetValue(processId, out AddressSpace? space) && !processes.TryGetValue(AnyProcess, out space) && !kernel.IsEmpty)
            space = kernelOnly;
        lastProcess = processId;
        return lastSpace = space;
    }

    private AddressSpace Space(int processId)
    {
        lastProcess = int.MinValue;
        if (processId == Mapping.KernelProcess)
        {
            foreach (AddressSpace known in processes.Values)
                known.ForgetLast();
            kernelOnly.ForgetLast();
            return kernel;
        }
        if (!processes.TryGetValue(processId, out AddressSpace? space))
            processes.Add(processId, space = new AddressSpace(kernel));
        return space;
    }

    private void Forget(int processId)
    {
        lastProcess = int.MinValue;
        processes.Remove(processId);
    }
}
