using System.Globalization;
using System.Text;
using Perforator.Branches;

namespace Perforator.Layout.Bolt;

/// <summary>
/// A branch profile as BOLT's pre-aggregated profile (LLVM, bolt/include/bolt/Profile/DataAggregator.h), which <c>llvm-bolt -pa -p</c> and
/// <c>perf2bolt -pa -p</c> of every version read.
/// </summary>
/// <remarks>
/// A line <c>B from to count mispredicted</c> for each branch; <c>F begin end count</c> for each fall-through range that was reached by a
/// branch of the same function and <c>f begin end count</c> for those reached from another one: behind a call BOLT then counts the
/// way from the call to the range as well. Addresses are hexadecimal, 0 stands for other code.
/// </remarks>
public sealed class BoltProfile
{
    private readonly PairCount[] branches;
    private readonly SortedDictionary<(ulong Begin, ulong End), (ulong Inside, ulong Outside)> ranges = [];

    private BoltProfile(PairCount[] branches) => this.branches = branches;

    /// <summary>Taken branches with an end in a function.</summary>
    public ulong Branches { get; private set; }

    /// <summary>Of <see cref="Branches"/>, those mispredicted; 0 as well where the source cannot tell.</summary>
    public ulong Mispredicted { get; private set; }

    /// <summary>Times that code ran from a branch's target to the next branch.</summary>
    public ulong Ranges { get; private set; }

    /// <summary>
    /// Of <see cref="Ranges"/>, those with their begin in no function, or not ending in the one they begin in: BOLT leaves them out.
    /// </summary>
    public ulong RangesLeftOut { get; private set; }

    /// <summary>
    /// Of <see cref="Ranges"/>, those of which the branch before is not known: they are split by the branches to where they begin.
    /// </summary>
    public ulong UnpairedRanges { get; private set; }

    /// <summary>Taken branches with both ends in no function: BOLT leaves them out.</summary>
    public ulong BranchesLeftOut { get; private set; }

    /// <summary>How many functions were seen to run.</summary>
    public int Functions { get; private set; }

    /// <summary>Takes a branch profile apart for BOLT.</summary>
    public static BoltProfile Of(BranchProfile profile, CodeFunctions functions)
    {
        BoltProfile bolt = new(profile.Branches.Sorted());
        HashSet<int> seen = [];
        Dictionary<ulong, (ulong Inside, ulong All)> arrivals = [];
        foreach (PairCount branch in bolt.branches)
        {
            int from = functions.IndexOf(branch.First), to = functions.IndexOf(branch.Second);
            if (from < 0 && to < 0)
            {
                bolt.BranchesLeftOut = Sum(bolt.BranchesLeftOut, branch.Count);
                continue;
            }
            bolt.Branches = Sum(bolt.Branches, branch.Count);
            bolt.Mispredicted = Sum(bolt.Mispredicted, branch.Extra);
            (ulong inside, ulong all) = arrivals.GetValueOrDefault(branch.Second.Value);
            arrivals[branch.Second.Value] = (from == to ? Sum(inside, branch.Count) : inside, Sum(all, branch.Count));
            seen.Add(from);
            seen.Add(to);
        }
        foreach (TraceCount trace in profile.Traces())
            if (trace.HasRange)
                bolt.AddRange(
                    trace.To, trace.End, trace.Count, functions.IndexOf(trace.From) == functions.IndexOf(trace.To) ? trace.Count : 0,
                    functions);
        foreach (PairCount range in profile.UnpairedRanges.Sorted())
        {
            bolt.UnpairedRanges = Sum(bolt.UnpairedRanges, range.Count);
            bolt.AddRange(
                range.First, range.Second, range.Count, Share(range.Count, arrivals.GetValueOrDefault(range.First.Value)), functions);
        }
        seen.Remove(-1);
        bolt.Functions = seen.Count;
        return bolt;
    }

    /// <summary>Writes the lines: branches by source and target, then ranges by begin and end.</summary>
    public void Write(Stream output)
    {
        using StreamWriter text =
            new(output, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
        foreach (PairCount branch in branches)
            text.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"B {Address(branch.First):x} {Address(branch.Second):x} {Count(branch.Count)} {Count(branch.Extra)}"));
        foreach (((ulong begin, ulong end), (ulong inside, ulong outside)) in ranges)
        {
            if (inside != 0)
                text.WriteLine(string.Create(CultureInfo.InvariantCulture, $"F {begin:x} {end:x} {Count(inside)}"));
            if (outside != 0)
                text.WriteLine(string.Create(CultureInfo.InvariantCulture, $"f {begin:x} {end:x} {Count(outside)}"));
        }
    }

    /// <param name="inside">Of the count, how often the range was reached from its own function.</param>
    private void AddRange(BinaryAddress begin, BinaryAddress end, ulong count, ulong inside, CodeFunctions functions)
    {
        Ranges = Sum(Ranges, count);
        int function = functions.IndexOf(begin);
        if (function < 0 || function != functions.IndexOf(end))
        {
            RangesLeftOut = Sum(RangesLeftOut, count);
            return;
        }
        (ulong insideBefore, ulong outsideBefore) = ranges.GetValueOrDefault((begin.Value, end.Value));
        ranges[(begin.Value, end.Value)] = (Sum(insideBefore, inside), Sum(outsideBefore, count - inside));
    }

    /// <summary>The part of a count that the arrivals from inside have in all, to the nearest.</summary>
    private static ulong Share(ulong count, (ulong Inside, ulong All) arrivals) =>
        arrivals.All == 0 ? 0 : (ulong)(((UInt128)count * arrivals.Inside + arrivals.All / 2) / arrivals.All);

    private static ulong Address(BinaryAddress address) => address.IsExternal ? 0 : address.Value;

    /// <summary>BOLT reads counts with a sign.</summary>
    private static ulong Count(ulong count) => Math.Min(count, long.MaxValue);

    private static ulong Sum(ulong a, ulong b) => a > ulong.MaxValue - b ? ulong.MaxValue : a + b;
}
