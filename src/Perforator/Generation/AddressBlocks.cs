using System.Runtime.InteropServices;
using Perforator.Branches;
using Perforator.Disassembly;
using Perforator.Symbolize;

namespace Perforator.Generation;

/// <summary>
/// What sampled addresses say when there are no branch stacks. An instruction is sampled as often as it ran and as long as it took, and
/// a sample may land on a later one, so single instructions say little. All instructions between two branches ran equally often: each
/// is given the mean of their samples.
/// </summary>
/// <remarks>Code that nothing was sampled in may have run all the same, and calls are not seen: branch stacks tell far more.</remarks>
internal static class AddressBlocks
{
    /// <summary>Counts are in sixteenths of a sample, so that the mean over a long block is not rounded to nothing.</summary>
    public const ulong Scale = 16;

    /// <summary>Whether a profile has nothing but sampled addresses.</summary>
    public static bool IsAll(BranchProfile profile) =>
        profile.Branches.Count == 0 && profile.Ranges.Count == 0 && profile.Addresses.Count != 0;

    /// <summary>The blocks that samples fell into, each with its mean.</summary>
    public static List<RangeCount> Of(BranchProfile profile, ProfiledBinary binary, FlowChecks checks)
    {
        Dictionary<ulong, ulong> samples = [];
        Dictionary<ulong, FunctionRange> pieces = [];
        foreach (PairCount address in profile.Addresses.Sorted())
        {
            checks.RangeSamples += address.Count;
            if (binary.FunctionAt(address.First) is not { } piece)
            {
                checks.OutsideFunctions += address.Count;
                continue;
            }
            if (!binary.Code.IsInstruction(address.First))
                checks.NotOnBoundary += address.Count;
            CollectionsMarshal.GetValueRefOrAddDefault(samples, address.First.Value, out _) += address.Count;
            pieces.TryAdd(piece.Start.Value, piece);
        }
        List<RangeCount> blocks = [];
        foreach (FunctionRange piece in pieces.Values.OrderBy(piece => piece.Start))
            AddBlocks(piece, samples, binary.Code, blocks);
        return blocks;
    }

    private static void AddBlocks(FunctionRange piece, Dictionary<ulong, ulong> samples, CodeMap code, List<RangeCount> blocks)
    {
        ulong begin = piece.Start.Value, last = begin, sum = 0, instructions = 0;
        for (ulong at = begin; code.Next(ref at, piece.End.Value - 1, out InstructionKind kind, out int length); at += (ulong)length)
        {
            if (instructions == 0)
                begin = at;
            instructions++;
            last = at;
            sum = PairCounts.Saturating(sum, samples.GetValueOrDefault(at));

            // A call comes back: what follows ran as often.
            if (kind is not (InstructionKind.Sequential or InstructionKind.Call or InstructionKind.IndirectCall))
                Close();
        }
        Close();

        void Close()
        {
            if (sum != 0)
                blocks.Add(new RangeCount(
                    begin, last, (ulong)UInt128.Max(1, UInt128.Min(ulong.MaxValue, (UInt128)sum * Scale / instructions))));
            (sum, instructions) = (0, 0);
        }
    }
}
