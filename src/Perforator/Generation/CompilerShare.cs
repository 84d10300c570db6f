using System.Globalization;
using Perforator.Branches;

namespace Perforator.Generation;

/// <summary>
/// Whether the compiler that a profile is made for also made the code that was observed. Line numbers are source's, but discriminators and
/// names are the compiler's, so a profile of another compiler's build serves badly or not at all.
/// </summary>
public sealed class CompilerShare
{
    private readonly Dictionary<SourceCompiler, ulong> samples = [];
    private readonly Dictionary<string, ulong> producers = new(StringComparer.Ordinal);
    private ulong total;

    private CompilerShare() { }

    /// <summary>
    /// Counts the fall-through ranges, and sampled addresses where there are none, by the compiler of the code that they begin in.
    /// </summary>
    public static CompilerShare Of(BranchProfile branches, ProfiledBinary binary)
    {
        CompilerShare share = new();
        foreach (PairCount range in (branches.Ranges.Count != 0 ? branches.Ranges : branches.Addresses).Sorted())
        {
            string producer = binary.ProducerAt(range.First);
            if (producer.Length == 0)
                continue;
            SourceCompiler compiler = Producer.CompilerOf(producer);
            Add(share.samples, compiler, range.Count);
            Add(share.producers, Producer.Short(producer), range.Count);
            share.total = PairCounts.Saturating(share.total, range.Count);
        }
        return share;
    }

    /// <summary>The share of the samples that are in a compiler's code, of those whose compiler is told; 1 when none is.</summary>
    public double Share(SourceCompiler compiler) => total == 0 ? 1 : (double)samples.GetValueOrDefault(compiler) / total;

    /// <summary>The compiler with most samples, as debug info names it; empty when none is told.</summary>
    public string Main =>
        producers.Count == 0
            ? "" : producers.OrderByDescending(static p => p.Value).ThenBy(static p => p.Key, StringComparer.Ordinal).First().Key;

    /// <summary>The share of the samples that is in code of a kind that the profile's compiler has use for.</summary>
    public double UsableBy(TargetCompiler target) =>
        target == TargetCompiler.Clang && Share(SourceCompiler.Gcc) + Share(SourceCompiler.Go) == 0 ? 1 : Share(Wanted(target));

    /// <summary>Refuses a profile for a compiler that made none of the code, and notes what else it cannot use.</summary>
    /// <exception cref="UserErrorException">The compiler made none of the code; the message says what to build with.</exception>
    public IEnumerable<string> Check(TargetCompiler target, string path)
    {
        double share = Share(Wanted(target));
        if (share >= 0.995)
            return [];
        if (share == 0 && target != TargetCompiler.Clang)
            throw new UserErrorException(
                $"{path} was compiled by {Main}, whose lines and names are not {Name(target)}'s: {Build(target)} and record that build");
        string percent = (100 * (1 - share)).ToString("0.0", CultureInfo.InvariantCulture);
        return UsableBy(target) == 1
            ? []
            : [$"{percent} % of the samples are in code that {Name(target)} did not compile (mostly {Main}): it can use little of them; {Build(target)} and record that build"];
    }

    private static SourceCompiler Wanted(TargetCompiler target) => target switch
    {
        TargetCompiler.Gcc => SourceCompiler.Gcc,
        TargetCompiler.Go => SourceCompiler.Go,
        _ => SourceCompiler.Llvm,
    };

    private static string Name(TargetCompiler target) => target switch
    {
        TargetCompiler.Gcc => "GCC",
        TargetCompiler.Go => "Go",
        _ => "clang",
    };

    private static string Build(TargetCompiler target) => target switch
    {
        TargetCompiler.Gcc => "build with gcc -O2 -g1",
        TargetCompiler.Go => "build with go build",
        _ => "build with clang -O2 -gline-tables-only -fdebug-info-for-profiling",
    };

    private static void Add<TKey>(Dictionary<TKey, ulong> counts, TKey key, ulong count)
        where TKey : notnull => counts[key] = PairCounts.Saturating(counts.GetValueOrDefault(key), count);
}
