namespace Perforator.Branches;

/// <summary>
/// Turns samples of any number of processes into one <see cref="BranchProfile"/> per binary: converts runtime addresses by each
/// process's own mappings and counts branches, ranges and sampled addresses.
/// </summary>
public sealed class BranchAggregator : IBranchSink
{
    /// <summary>The range between two branches goes backwards or is implausibly long.</summary>
    public const string BogusRange = "fall-through range that goes backwards or is implausibly long (interrupted or duplicated branch entry)";

    /// <summary>The branch has neither end in a binary of interest.</summary>
    public const string ExternalBranch = "branch outside every binary of interest";

    /// <summary>The entry was recorded on a wrongly speculated path.</summary>
    public const string WrongPath = "branch on a wrongly speculated path";

    /// <summary>The longest fall-through range counted, in bytes; no straight-line code is longer.</summary>
    public const ulong MaxRangeLength = 1 << 20;

    private readonly IModuleResolver resolver;
    private readonly Dictionary<int, AddressSpace> processes = [];
    private readonly Dictionary<BuildId, BranchProfile> profiles = [];

    public BranchAggregator(IModuleResolver resolver) => this.resolver = resolver;

    /// <summary>The profiles so far, by build id.</summary>
    public IReadOnlyDictionary<BuildId, BranchProfile> Profiles => profiles;

    /// <summary>What was dropped before it could be attributed to a binary, by reason.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>All samples seen, whether or not they touched a binary of interest.</summary>
    public ulong Samples { get; private set; }

    /// <inheritdoc/>
    public void OnMapping(Mapping mapping)
    {
        Module? module = resolver.Resolve(mapping);
        BinaryAddress? start = module?.ToBinaryAddress(mapping.Offset);
        BranchProfile? profile = null;
        if (module is not null && start is not null && !profiles.TryGetValue(module.BuildId, out profile))
            profiles.Add(module.BuildId, profile = new BranchProfile(module.BuildId, module.Path));
        Space(mapping.ProcessId).Map(mapping.Start.Value, mapping.End.Value, start is null ? null : profile, mapping.Start.Value - (start?.Value ?? 0));
    }

    /// <inheritdoc/>
    public void OnFork(int processId, int parentProcessId)
    {
        if (processId != parentProcessId && processes.TryGetValue(parentProcessId, out AddressSpace? parent))
            processes[processId] = parent.Clone();
    }

    /// <inheritdoc/>
    public void OnExec(int processId) => processes.Remove(processId);

    /// <inheritdoc/>
    public void OnExit(int processId) => processes.Remove(processId);

    /// <inheritdoc/>
    public void OnLost(string reason, ulong count) => Losses.Add(reason, count);

    /// <inheritdoc/>
    public void OnSample(in BranchSample sample)
    {
        ulong weight = sample.Weight == 0 ? 1 : sample.Weight;
        Samples += weight;
        if (!processes.TryGetValue(sample.ProcessId, out AddressSpace? space))
        {
            Losses.Add("sample of a process without known mappings", weight);
            return;
        }

        BranchProfile? touched = null;
        if (sample.InstructionPointer.Value != 0 && space.Find(sample.InstructionPointer.Value) is { Profile: { } sampled } at)
        {
            sampled.Addresses.Add(new(sample.InstructionPointer.Value - at.Bias), default, weight);
            sampled.Samples += weight;
            touched = sampled;
        }

        // Newest first: the range that precedes a branch runs from the target of the next, older entry up to it.
        BranchProfile? newerFromProfile = null;
        ulong newerFrom = 0;
        foreach (ref readonly BranchEntry entry in sample.Stack)
        {
            if ((entry.Flags & BranchFlags.SpeculativeWrongPath) != 0)
            {
                Losses.Add(WrongPath, weight);
                continue;
            }
            AddressSpace.Region? from = space.Find(entry.From.Value);
            AddressSpace.Region? to = space.Find(entry.To.Value);
            BranchProfile? fromProfile = from?.Profile;
            BranchProfile? toProfile = to?.Profile;
            BinaryAddress fromAddress = fromProfile is null ? BinaryAddress.External : new(entry.From.Value - from!.Bias);
            BinaryAddress toAddress = toProfile is null ? BinaryAddress.External : new(entry.To.Value - to!.Bias);
            ulong mispredicted = (entry.Flags & BranchFlags.Mispredicted) != 0 ? weight : 0;

            if (fromProfile is null && toProfile is null)
                Losses.Add(ExternalBranch, weight);
            if (fromProfile is not null)
            {
                fromProfile.Branches.Add(fromAddress, toProfile == fromProfile ? toAddress : BinaryAddress.External, weight, mispredicted);
                fromProfile.BranchEntries += weight;
            }
            if (toProfile is not null && toProfile != fromProfile)
            {
                toProfile.Branches.Add(BinaryAddress.External, toAddress, weight, mispredicted);
                toProfile.BranchEntries += weight;
            }
            if (newerFromProfile is not null && newerFromProfile == toProfile)
            {
                if (newerFrom >= toAddress.Value && newerFrom - toAddress.Value <= MaxRangeLength)
                    toProfile.Ranges.Add(toAddress, new(newerFrom), weight);
                else
                    toProfile.Losses.Add(BogusRange, weight);
            }
            BranchProfile? any = fromProfile ?? toProfile;
            if (touched is null && any is not null)
            {
                any.Samples += weight;
                touched = any;
            }
            newerFromProfile = fromProfile;
            newerFrom = fromAddress.Value;
        }
    }

    private AddressSpace Space(int processId)
    {
        if (!processes.TryGetValue(processId, out AddressSpace? space))
            processes.Add(processId, space = new AddressSpace());
        return space;
    }
}
