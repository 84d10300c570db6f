using Perforator.Generation;
using Perforator.SampleProfiles;

namespace Perforator.Tests.Generation;

/// <summary>
/// Where compilers merge the ends of blocks, indirect calls lose their place, and clang cannot inline what a profile does not say they
/// call.
/// </summary>
public class MergedCallsTests(PeerComparison programs) : IClassFixture<PeerComparison>
{
    [Theory]
    [InlineData("merged")]
    [InlineData("mergedprobes", "-fpseudo-probe-for-profiling")]
    public void Indirect_calls_without_a_place_are_told(string name, params string[] flags)
    {
        (SampleProfile merged, FlowChecks checks) = Profile(name, flags);
        Assert.NotEqual(0UL, checks.IndirectCalls);
        Assert.Equal(checks.IndirectCalls, checks.PlacelessIndirectCalls);
        Assert.Contains(checks.Findings(), static finding => finding.What.Contains("-enable-tail-merge=false", StringComparison.Ordinal));
        Assert.Empty(PlacesThatCall(merged));

        (SampleProfile apart, checks) = Profile(name + "apart", [.. flags, "-mllvm", "-enable-tail-merge=false"]);
        Assert.NotEqual(0UL, checks.IndirectCalls);
        Assert.Equal(0UL, checks.PlacelessIndirectCalls);
        Assert.DoesNotContain(
            checks.Findings(), static finding => finding.What.Contains("-enable-tail-merge=false", StringComparison.Ordinal));
        Assert.Equal(2, PlacesThatCall(apart).Count());
    }

    /// <summary>Lines, or probes, of the function choose from which others are called.</summary>
    private static IEnumerable<LineLocation> PlacesThatCall(SampleProfile profile) =>
        profile.Functions["choose"].Body.Where(static place => place.Key.LineOffset < 0x8000 && place.Value.CallTargets.Count != 0)
            .Select(static place => place.Key);

    private (SampleProfile Profile, FlowChecks Checks) Profile(string name, string[] flags)
    {
        string binary =
            programs.Compile(
                name, "clang-19",
                ["-O2", "-g", "-fdebug-info-for-profiling", .. flags, Path.Combine(PeerComparison.Sources, "merged_calls.c")]);
        SampleProfile profile = PeerComparison.Generate(binary, PeerComparison.Record(binary), out FlowChecks checks);
        return (profile, checks);
    }
}
