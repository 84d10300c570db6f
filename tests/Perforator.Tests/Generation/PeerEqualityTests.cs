using Perforator.Generation;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Generation;

/// <summary>
/// Profiles equal llvm-profgen-19's to the letter, on programs with inlining, recursion, tail calls, switches, virtual and indirect
/// calls, exceptions, templates, equally named static functions, thread-local and global initialisers.
/// </summary>
public class PeerEqualityTests(PeerComparison programs) : IClassFixture<PeerComparison>
{
    [Theory]
    [InlineData("pie", "-fdebug-info-for-profiling")]
    [InlineData("nopie", "-no-pie -fdebug-info-for-profiling -fuse-ld=lld-19")]
    [InlineData("dwarf2", "-gdwarf-2")]
    [InlineData("dwarf3", "-gdwarf-3")]
    [InlineData("dwarf4", "-gdwarf-4 -fdebug-types-section")]
    [InlineData("linetables", "-gline-tables-only")]
    [InlineData("zlib", "-gz=zlib -gdwarf-aranges")]
    [InlineData("zstd", "-gz=zstd -fuse-ld=lld-19")]
    [InlineData("sections", "-ffunction-sections -Wl,--gc-sections")]
    [InlineData("unique", "-funique-internal-linkage-names -fdebug-info-for-profiling")]
    [InlineData("thinlto", "-flto=thin -fuse-ld=lld-19")]
    [InlineData("fulllto", "-flto -fuse-ld=lld-19 -fdebug-info-for-profiling")]
    [InlineData("vector", "-O3 -mavx2 -fdebug-info-for-profiling")]
    [InlineData("o1", "-O1 -fno-exceptions -DNO_EXCEPTIONS")]
    [InlineData("flowsensitive", "-fdebug-info-for-profiling -mllvm -enable-fs-discriminator")]
    [InlineData("probes", "-fpseudo-probe-for-profiling")]
    [InlineData("uniqueprobes", "-fpseudo-probe-for-profiling -funique-internal-linkage-names -no-pie")]
    public void Cpp_programs(string name, string flags) =>
        PeerComparison.AssertEqual(programs.CompileCpp(name, flags.Split(' ')));

    [Fact]
    public void C_program_by_clang() =>
        PeerComparison.AssertEqual(programs.Compile("c", "clang-19", "-O2", "-g", "-fdebug-info-for-profiling", Path.Combine(PeerComparison.Sources, "cold.c")));

    [Fact]
    public void C_program_by_gcc_with_a_cold_part() =>
        PeerComparison.AssertEqual(programs.Compile("gcc", "gcc", "-O2", "-g", Path.Combine(PeerComparison.Sources, "cold.c")));

    [Fact]
    public void Cpp_program_by_gcc() =>
        PeerComparison.AssertEqual(
            programs.Compile("g++", "g++", "-O2", "-g", Path.Combine(PeerComparison.Sources, "main.cpp"), Path.Combine(PeerComparison.Sources, "lib.cpp")));

    [SkippableFact]
    public void Rust_program()
    {
        Tool.Require("rustc");
        PeerComparison.AssertEqualButForInventedCallers(
            programs.Compile("rust", "rustc", "-O", "-g", Path.Combine(PeerComparison.Sources, "program.rs")));
    }

    [Fact]
    public void Identical_functions_folded_into_one() =>
        PeerComparison.AssertEqualButForInventedCallers(programs.CompileCpp("icf", "-ffunction-sections", "-fuse-ld=lld-19", "-Wl,--icf=all"));

    /// <summary>
    /// Duplicated, lost, swapped and kernel entries, cut stacks, addresses off by a byte. llvm-profgen forgets entries with neither
    /// end at a known instruction (in the PLT, say) before it forms ranges; aggregation, which does not know instructions, keeps
    /// them, so a range that would span such an entry is missing here.
    /// </summary>
    [Theory]
    [InlineData(2, 0.3, 0)]
    [InlineData(3, 0.1, 0.03)]
    public void Troubled_branch_stacks(int seed, double noise, double skid)
    {
        string binary = programs.CompileCpp($"troubled{seed}", "-fuse-ld=lld-19", "-fdebug-info-for-profiling");
        string script = PeerComparison.Record(binary, 60_000, seed, noise, skid);
        PeerComparison.AssertOverlap(binary, script);
        PeerComparison.Generate(binary, script, out FlowChecks checks);
        Assert.True(checks.BogusRange > 0 && checks.OutsideCode > 0);
        Assert.True(skid == 0 || checks.NotOnBoundary > 0);
    }
}
