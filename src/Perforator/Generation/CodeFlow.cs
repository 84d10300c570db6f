using Perforator.Branches;
using Perforator.Disassembly;

namespace Perforator.Generation;

/// <summary>A count over the addresses from <paramref name="Begin"/> to <paramref name="End"/>, both inclusive.</summary>
internal readonly record struct RangeCount(ulong Begin, ulong End, ulong Count);

/// <summary>A taken branch; <paramref name="From"/> is External's value when it came from outside the binary's known code.</summary>
internal readonly record struct BranchCount(ulong From, ulong To, ulong Count);

/// <summary>
/// What of a <see cref="BranchProfile"/> holds against the binary's instructions: branches that arrive at an instruction, and
/// fall-through ranges that run from one instruction to another without an instruction between that always leaves. The rest is
/// counted by reason, in samples. The rules are llvm-profgen's.
/// </summary>
internal sealed class CodeFlow
{
    private CodeFlow(List<RangeCount> ranges, List<BranchCount> branches)
    {
        Ranges = ranges;
        Branches = branches;
    }

    /// <summary>Valid fall-through ranges by begin, then end.</summary>
    public List<RangeCount> Ranges { get; }

    /// <summary>Branches into the binary's code by source, then target; those from outside last.</summary>
    public List<BranchCount> Branches { get; }

    /// <summary>Whether there is a valid range from one address to another.</summary>
    public bool HasRange(ulong begin, ulong end)
    {
        int low = 0, high = Ranges.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (Ranges[middle].Begin < begin || (Ranges[middle].Begin == begin && Ranges[middle].End < end))
                low = middle + 1;
            else
                high = middle;
        }
        return low < Ranges.Count && Ranges[low].Begin == begin && Ranges[low].End == end;
    }

    public static CodeFlow Check(BranchProfile profile, ProfiledBinary binary, FlowChecks checks)
    {
        if (AddressBlocks.IsAll(profile))
            return new CodeFlow(AddressBlocks.Of(profile, binary, checks), []);
        CodeMap code = binary.Code;
        List<RangeCount> ranges = new(profile.Ranges.Count);
        foreach (PairCount range in profile.Ranges.Sorted())
        {
            checks.RangeSamples += range.Count;
            if (CheckRange(range, binary, checks))
                ranges.Add(new(range.First.Value, range.Second.Value, range.Count));
        }
        // Aggregation has dropped these already; they are ranges of the recording all the same.
        checks.BogusRange += profile.Losses[BranchAggregator.BogusRange] + profile.Losses[BranchAggregator.DuplicatedBranch];
        checks.RangeSamples += profile.Losses[BranchAggregator.BogusRange] + profile.Losses[BranchAggregator.DuplicatedBranch];

        List<BranchCount> branches = new(profile.Branches.Count);
        foreach (PairCount branch in profile.Branches.Sorted())
        {
            checks.Branches += branch.Count;
            bool leaves = branch.Second.IsExternal || !code.IsInstruction(branch.Second);
            bool arrives = branch.First.IsExternal || !code.IsInstruction(branch.First);
            if (leaves)
                checks.OutgoingBranches += branch.Count;
            else if (arrives)
                checks.IncomingBranches += branch.Count;
            if (!leaves)
                branches.Add(new(arrives ? BinaryAddress.External.Value : branch.First.Value, branch.Second.Value, branch.Count));
        }
        return new CodeFlow(ranges, branches);
    }

    private static bool CheckRange(PairCount range, ProfiledBinary binary, FlowChecks checks)
    {
        CodeMap code = binary.Code;
        bool begins = code.IsInstruction(range.First);
        (InstructionKind Kind, int Length)? last = code.At(range.Second);
        if (!begins && last is null)
        {
            checks.OutsideCode += range.Count;
            if (binary.FunctionAt(range.First) is not null)
                checks.BetweenInstructions += range.Count;
            return false;
        }
        if (!begins || last is null or { Kind: InstructionKind.Sequential })
            checks.NotOnBoundary += range.Count;
        if (binary.FunctionAt(range.First) is not { } function)
            checks.OutsideFunctions += range.Count;
        else if (range.Second >= function.End)
            checks.CrossesFunctions += range.Count;
        if (!begins || last is null)
            return false;
        if (range.First > range.Second || code.LeavesBetween(range.First, range.Second))
        {
            checks.BogusRange += range.Count;
            return false;
        }
        return true;
    }
}
