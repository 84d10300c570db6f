using Perforator.Generation;
using Perforator.SampleProfiles;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Generation;

/// <summary>
/// Branch stacks of programs that really ran, recorded by our software recorder as perf.data: what walks of the code do not have is real
/// call targets, callbacks out of libc and back, and exceptions unwinding through library code.
/// </summary>
[Collection(AloneCollection.Name)]
public sealed class RecordedStacksTests(PeerComparison programs) : IClassFixture<PeerComparison>
{
    [SkippableTheory]
    [InlineData("callbacks", "-fdebug-info-for-profiling")]
    [InlineData("callbacks", "-no-pie -fuse-ld=lld-19 -ffunction-sections")]
    public void Callbacks_from_libc(string name, string flags)
    {
        SampleProfile profile = AssertEqual(name, "clang-19", "callbacks.c", flags);
        // qsort and bsearch call these: their callers are outside the binary.
        Assert.True(profile.Functions["by_key"].HeadSamples > 0);
        Assert.True(profile.Functions["by_name"].HeadSamples > 0);
    }

    [SkippableTheory]
    [InlineData("virtual", "-fdebug-info-for-profiling")]
    [InlineData("virtualprobes", "-fpseudo-probe-for-profiling -no-pie")]
    [InlineData("virtualstatic", "-static -fuse-ld=lld-19")]
    public void Virtual_calls_and_exceptions(string name, string flags)
    {
        SampleProfile profile = AssertEqual(name, "clang++-19", "virtual_calls.cpp", flags);
        Assert.Contains(profile.Functions.Values.SelectMany(f => f.Body), line => line.Value.CallTargets.Count >= 4);
    }

    private SampleProfile AssertEqual(string name, string compiler, string source, string flags)
    {
        Tool.Require("perf");
        string binary = programs.Compile(name, compiler, ["-O2", "-g", .. flags.Split(' '), Path.Combine(PeerComparison.Sources, source)]);
        string data = binary + ".perf.data", script = binary + ".txt";
        Tool.Cli("record", "--source", "software", "--max-overhead", "100%", "-o", data, "--", binary).Succeeded();
        File.WriteAllText(script, Tool.Run("perf", ["script", "-i", data, "-F", "ip,brstack", "--show-mmap-events"]).Succeeded().Output);
        PeerComparison.AssertEqual(binary, script);
        SampleProfile profile = PeerComparison.Generate(binary, script, out FlowChecks checks);
        Assert.True(checks.IncomingBranches > 0 && checks.OutgoingBranches > 0);
        return profile;
    }
}
