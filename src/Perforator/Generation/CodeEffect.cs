using Perforator.Branches;
using Perforator.Disassembly;

namespace Perforator.Generation;

/// <summary>
/// What a compiler made of a build, as far as branch counts tell without a benchmark: a build compiled with a profile runs longer between
/// taken branches, calls less and has its hot code in fewer bytes.
/// </summary>
/// <param name="InstructionsPerTakenBranch">Executed instructions for each taken branch that leaves from the binary; 0 when
/// unknown.</param>
/// <param name="BytesOf90Percent">Bytes of the code, hottest first, that holds 90 % of the executed instructions.</param>
/// <param name="BytesOf99Percent">The same for 99 %.</param>
/// <param name="CallsPer1000Instructions">Direct and indirect calls for each 1,000 executed instructions.</param>
/// <param name="MispredictedShare">The share of taken branches that were mispredicted, from 0 to 1; null where the source does not
/// tell.</param>
public sealed record CodeEffect(
    double InstructionsPerTakenBranch, ulong BytesOf90Percent, ulong BytesOf99Percent, double CallsPer1000Instructions,
    double? MispredictedShare)
{
    /// <summary>Measures a build.</summary>
    /// <remarks>
    /// Instructions are those in fall-through ranges, each as often as the ranges over it were seen. A range is followed by a taken branch,
    /// its last instruction, so that ranges and taken branches are of the same stretches of the run.
    /// </remarks>
    internal static CodeEffect Of(BranchProfile branches, CodeFlow flow, ProfiledBinary binary)
    {
        List<(double Count, ulong Bytes, double Instructions)> pieces = [];
        double instructions = 0, taken = 0, calls = 0;
        foreach (RangeCount range in flow.Ranges)
            taken += range.Count;
        foreach (RangeCount range in DisjointRanges.Of([.. flow.Ranges]))
        {
            ulong bytes = 0;
            double executed = 0;
            for (ulong at = range.Begin; binary.Code.Next(ref at, range.End, out InstructionKind kind, out int length); at += (ulong)length)
            {
                bytes += (ulong)length;
                executed += range.Count;
                if (kind is InstructionKind.Call or InstructionKind.IndirectCall)
                    calls += range.Count;
            }
            instructions += executed;
            if (range.Count > 0)
                pieces.Add((range.Count, bytes, executed));
        }
        pieces.Sort(static (a, b) => b.Count.CompareTo(a.Count));
        double mispredicted = 0, all = 0;
        foreach (PairCount branch in branches.Branches.Sorted())
        {
            all += branch.Count;
            mispredicted += branch.Extra;
        }
        return new CodeEffect(
            taken == 0 ? 0 : instructions / taken, BytesOf(0.90), BytesOf(0.99), instructions == 0 ? 0 : 1000 * calls / instructions,
            mispredicted == 0 ? null : mispredicted / all);

        ulong BytesOf(double share)
        {
            double sum = 0;
            ulong bytes = 0;
            foreach ((_, ulong size, double executed) in pieces)
            {
                if (sum >= share * instructions)
                    break;
                sum += executed;
                bytes += size;
            }
            return bytes;
        }
    }
}
