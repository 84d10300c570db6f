using System.IO.Compression;
using Perforator.Generation;
using Perforator.SampleProfiles;
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
    [InlineData("types5", "-gdwarf-5 -fdebug-types-section")]
    [InlineData("dwarf64", "-gdwarf-5 -gdwarf64")]
    [InlineData("linetables", "-gline-tables-only")]
    [InlineData("zlib", "-gz=zlib -gdwarf-aranges")]
    [InlineData("zstd", "-gz=zstd -fuse-ld=lld-19")]
    [InlineData("sections", "-ffunction-sections -Wl,--gc-sections")]
    [InlineData("unique", "-funique-internal-linkage-names -fdebug-info-for-profiling")]
    [InlineData("thinlto", "-flto=thin -fuse-ld=lld-19")]
    [InlineData("fulllto", "-flto -fuse-ld=lld-19 -fdebug-info-for-profiling")]
    [InlineData("vector", "-O3 -mavx2 -fdebug-info-for-profiling")]
    [InlineData("blocks", "-fbasic-block-sections=all -fuse-ld=lld-19")]
    [InlineData("segments", "-ffunction-sections -fuse-ld=lld-19 -no-pie -Wl,--section-start=.text=0x800000")]
    [InlineData("o0", "-O0")]
    [InlineData("templates", "-gsimple-template-names -mretpoline")]
    [InlineData("outlined", "-Oz -mllvm -enable-machine-outliner=always")]
    [InlineData("devirtualized", "-flto -fuse-ld=lld-19 -fvisibility=hidden -fwhole-program-vtables -fsanitize=cfi")]
    [InlineData("o1", "-O1 -fno-exceptions -DNO_EXCEPTIONS")]
    [InlineData("flowsensitive", "-fdebug-info-for-profiling -mllvm -enable-fs-discriminator")]
    [InlineData("probes", "-fpseudo-probe-for-profiling")]
    [InlineData("uniqueprobes", "-fpseudo-probe-for-profiling -funique-internal-linkage-names -no-pie")]
    public void Cpp_programs(string name, string flags) =>
        PeerComparison.AssertEqual(programs.CompileCpp(name, flags.Split(' ')));

    [Theory]
    [InlineData("-pie")]
    [InlineData("-no-pie")]
    public void C_program_by_clang(string position) =>
        PeerComparison.AssertEqual(programs.Compile(
            $"c{position}", "clang-19", "-O2", "-g", "-fdebug-info-for-profiling", position,
            Path.Combine(PeerComparison.Sources, "cold.c")));

    [Fact]
    public void C_program_by_gcc_with_a_cold_part() =>
        PeerComparison.AssertEqual(programs.Compile("gcc", "gcc", "-O2", "-g", Path.Combine(PeerComparison.Sources, "cold.c")));

    [Theory]
    [InlineData("-O2")]
    [InlineData("-O3")]
    [InlineData("-O2 -flto")]
    public void Cpp_program_by_gcc(string flags) =>
        PeerComparison.AssertEqual(
            programs.Compile(
                $"g++{flags.Length}", "g++",
                [.. flags.Split(' '), "-g", Path.Combine(PeerComparison.Sources, "main.cpp"), Path.Combine(PeerComparison.Sources, "lib.cpp")]));

    /// <summary>Compiled elsewhere to assembly, so that no machine needs rustc.</summary>
    [Theory]
    [InlineData("legacy")]
    [InlineData("v0")]
    public void Rust_mangling(string mangling)
    {
        string assembly = programs[$"rust-{mangling}.s"], main = programs["rust_main.c"];
        using (GZipStream packed =
            new(File.OpenRead(Path.Combine(PeerComparison.Sources, $"rust-{mangling}.s.gz")), CompressionMode.Decompress))
        using (FileStream unpacked = File.Create(assembly))
            packed.CopyTo(unpacked);
        File.WriteAllText(
            main, "extern unsigned long rust_main(unsigned long); int main(int c, char **v) { return rust_main(c * 1000) & 1; }");
        string binary = programs.Compile($"rust-{mangling}", "clang-19", "-O2", "-g", main, assembly);
        string script = PeerComparison.Record(binary);
        PeerComparison.AssertEqual(binary, script);
        Assert.Contains(
            PeerComparison.Generate(binary, script, out _).Functions.Keys,
            name => name.StartsWith(mangling == "v0" ? "_RNvX" : "_ZN40_$LT$rusty..Mix", StringComparison.Ordinal));
    }

    [SkippableFact]
    public void Rust_program()
    {
        Tool.Require("rustc");
        PeerComparison.AssertEqualButForInventedCallers(
            programs.Compile("rust", "rustc", "-O", "-g", Path.Combine(PeerComparison.Sources, "program.rs")));
    }

    [Fact]
    public void Coroutines() =>
        PeerComparison.AssertEqual(
            programs.Compile(
                "coroutines", "clang++-19", "-std=c++20", "-O2", "-g", Path.Combine(PeerComparison.Sources, "coroutines.cpp")));

    [Fact]
    public void Assembly_with_labels_and_data_and_functions_without_debug_info()
    {
        programs.Compile("bare.o", "clang-19", "-O2", "-c", "-Dmain=bare_main", Path.Combine(PeerComparison.Sources, "cold.c"));
        string binary = programs.Compile("assembly", "clang-19", "-O2", "-g", Path.Combine(PeerComparison.Sources, "calls_assembly.c"),
            Path.Combine(PeerComparison.Sources, "assembly.s"), programs["bare.o"]);
        string script = PeerComparison.Record(binary);
        Assert.Equal(PeerComparison.Peer(binary, script), PeerComparison.Ours(binary, script));
        SampleProfile profile = PeerComparison.Generate(binary, script, out FlowChecks checks);
        Assert.Contains("drive", profile.Functions.Keys);
        Assert.True(checks.OutsideFunctions > 0);
    }

    /// <summary>Hot and cold parts of one function, split by clang on the strength of an instrumented profile.</summary>
    [Theory]
    [InlineData("split", "-fdebug-info-for-profiling")]
    [InlineData("splitprobes", "-fpseudo-probe-for-profiling")]
    public void Split_machine_functions(string name, string flag)
    {
        string instrumented = programs.CompileCpp($"{name}.instrumented", "-fprofile-generate");
        Tool.Run(instrumented, [], environment: new Dictionary<string, string> { ["LLVM_PROFILE_FILE"] = programs[$"{name}.profraw"] })
            .Succeeded();
        Tool.Run("llvm-profdata-19", ["merge", programs[$"{name}.profraw"], "-o", programs[$"{name}.profdata"]]).Succeeded();
        string binary =
            programs.CompileCpp(
                name, $"-fprofile-use={programs[$"{name}.profdata"]}", "-fsplit-machine-functions", "-fuse-ld=lld-19", flag);
        Assert.Contains(".cold", Tool.Run("llvm-nm-19", [binary]).Succeeded().Output);
        PeerComparison.AssertEqual(binary);
    }

    [Theory]
    [InlineData("dwo5", "-gdwarf-5")]
    [InlineData("dwo4", "-gdwarf-4")]
    public void Split_DWARF_in_files_and_packaged(string name, string version)
    {
        string binary = programs.CompileCpp(name, "-gsplit-dwarf", version);
        string script = PeerComparison.Record(binary);
        PeerComparison.AssertEqual(binary, script);
        string before = PeerComparison.Ours(binary, script);
        Tool.Run("llvm-dwp-19", ["-e", binary, "-o", $"{binary}.dwp"]).Succeeded();
        foreach (string dwo in Directory.GetFiles(Path.GetDirectoryName(binary)!, $"{name}-*.dwo"))
            File.Delete(dwo);
        Assert.Equal(before, PeerComparison.Ours(binary, script));
    }

    [SkippableFact]
    public void Entries_that_dwz_shared()
    {
        Tool.Require("dwz");
        string binary = programs.CompileCpp("dwz", "-gdwarf-4");
        Tool.Run("dwz", [binary]).Succeeded();
        PeerComparison.AssertEqual(binary);
    }

    /// <summary>LLVM 19 does not read what dwz moved to another file, so its profile of the program before dwz is the reference.</summary>
    [SkippableFact]
    public void Entries_that_dwz_moved_to_another_file()
    {
        Tool.Require("dwz");
        string binary = programs.CompileCpp("alt", "-gdwarf-4"), other = programs["alt.other"];
        string script = PeerComparison.Record(binary);
        string expected = PeerComparison.Peer(binary, script);
        File.Copy(binary, other);
        Tool.Run("dwz", ["-m", "alt.shared", "-M", "alt.shared", binary, other], folder: Path.GetDirectoryName(binary)).Succeeded();
        Assert.Contains(".gnu_debugaltlink", Tool.Run("llvm-readelf-19", ["-S", "-W", binary]).Succeeded().Output);
        Assert.Equal(expected, PeerComparison.Ours(binary, script));
    }

    /// <summary>
    /// The linker keeps one of several copies of an inline function, or of identical functions. lld's debug info of the others stays at
    /// address 0, where llvm-profgen finds the callers from outside the binary; placed at -1 they are out of its way.
    /// </summary>
    [Theory]
    [InlineData("comdat", "-DCOMDAT")]
    [InlineData("icf", "-ffunction-sections -Wl,--icf=all")]
    public void Functions_that_the_linker_dropped(string name, string flags)
    {
        string[] all = ["-fuse-ld=lld-19", .. flags.Split(' ')];
        string plain = programs.CompileCpp(name, all);
        string apart = programs.CompileCpp($"{name}.apart",
            [.. all, .. new[] { ".debug_info", ".debug_addr" }.Select(
                section => $"-Wl,-z,dead-reloc-in-nonalloc={section}=0xffffffffffffffff")]);
        string script = PeerComparison.Record(plain), scriptApart = PeerComparison.Record(apart);
        PeerComparison.AssertEqual(apart, scriptApart);
        Assert.Equal(PeerComparison.Ours(apart, scriptApart), PeerComparison.Ours(plain, script));
        Assert.NotEqual(PeerComparison.Peer(plain, script), PeerComparison.Ours(plain, script));
    }

    /// <summary>As above, by the GNU linker, and with copies that were compiled differently.</summary>
    [Theory]
    [InlineData("-O1")]
    [InlineData("-O2")]
    public void Comdat_copies_that_differ(string level)
    {
        string name = $"differ{level}";
        programs.Compile($"{name}.main.o", "clang++-19", "-O2", "-g", "-c", "-DCOMDAT", Path.Combine(PeerComparison.Sources, "main.cpp"));
        programs.Compile($"{name}.lib.o", "clang++-19", level, "-g", "-c", "-DCOMDAT", Path.Combine(PeerComparison.Sources, "lib.cpp"));
        foreach (string part in (string[])["main", "lib"])
            Assert.Contains("W _Z6digitsl", Tool.Run("llvm-nm-19", [programs[$"{name}.{part}.o"]]).Succeeded().Output);
        PeerComparison.AssertEqual(
            programs.Compile(name, "clang++-19", "-fuse-ld=bfd", programs[$"{name}.lib.o"], programs[$"{name}.main.o"]));
    }

    /// <summary>What the names of tests promise is in the programs that they compare.</summary>
    [Theory]
    [InlineData("clang++-19", "-O2 -g", @"jmpq?\s+\*%")] // jump table
    [InlineData("clang++-19", "-O2 -g", @"jmp\s.*<_Z7collatzl>\n")] // tail call
    [InlineData("clang++-19", "-O2 -g", @"callq?\s+\*")] // virtual and indirect calls
    [InlineData("clang++-19", "-O2 -g", @"callq?\s.*<printf@plt>")]
    [InlineData("clang++-19", "-O2 -g -flto=thin -fuse-ld=lld-19", @"<_ZL6helperl\.llvm\.\d+>:")]
    [InlineData("clang++-19", "-O2 -g -funique-internal-linkage-names", @"<_ZL\w+\.__uniq\.\d+>:")]
    [InlineData("clang++-19", "-O2 -g -fbasic-block-sections=all -fuse-ld=lld-19", @"<main\.__part\.\d+>:")]
    [InlineData("g++", "-O2 -g", @"<\w+\.cold>:")]
    [InlineData("g++", "-O3 -g", @"<\w+\.(part|constprop|isra)\.\d+>:")]
    public void The_programs_have_what_is_compared(string compiler, string flags, string pattern)
    {
        string binary = programs.Compile("checked", compiler,
            [.. flags.Split(' '), Path.Combine(PeerComparison.Sources, "main.cpp"), Path.Combine(PeerComparison.Sources, "lib.cpp")]);
        Assert.Matches(pattern, Tool.Run("llvm-objdump-19", ["-d", "--no-show-raw-insn", binary]).Succeeded().Output);
    }

    /// <summary>
    /// llvm-profgen disassembles by the binary's own symbols and finds nothing in a stripped one; ours takes the debug file's.
    /// </summary>
    [Fact]
    public void Debug_info_and_symbols_in_a_file_apart()
    {
        string binary = programs.CompileCpp("whole", "-fdebug-info-for-profiling", "-Wl,--build-id");
        string script = PeerComparison.Record(binary);
        string expected = PeerComparison.Ours(binary, script);
        string debug = programs["apart.debug"], stripped = programs["apart/whole"];
        Tool.Run("objcopy", ["--only-keep-debug", binary, debug]).Succeeded();
        Directory.CreateDirectory(Path.GetDirectoryName(stripped)!);
        Tool.Run("llvm-strip-19", ["-g", binary, "-o", stripped]).Succeeded();
        Assert.Equal(expected, PeerComparison.Peer(stripped, script, "--debug-binary", debug));
        Assert.Equal(expected, PeerComparison.Ours(stripped, script, debug));

        Tool.Run("llvm-strip-19", ["-s", binary, "-o", stripped]).Succeeded();
        Assert.Equal(expected, PeerComparison.Ours(stripped, script, debug));
        Tool.Run("objcopy", [$"--add-gnu-debuglink={debug}", stripped]).Succeeded();
        File.Move(debug, Path.Combine(Path.GetDirectoryName(stripped)!, Path.GetFileName(debug)));
        Assert.Equal(expected, PeerComparison.Ours(stripped, script));
    }

    /// <summary>
    /// Duplicated, lost, swapped and kernel entries, cut stacks, addresses off by a byte. llvm-profgen forgets entries with neither
    /// end at a known instruction (in the PLT, say) before it forms ranges; aggregation, which does not know instructions, keeps
    /// them, so a range that would span such an entry is missing here.
    /// </summary>
    [Theory]
    [InlineData(2, 0.3, 0, 99.99)]
    [InlineData(4, 1, 0, 99.99)]
    [InlineData(3, 0.1, 0.03, 99.9)]
    [InlineData(3, 0, 1, 99)]
    public void Troubled_branch_stacks(int seed, double noise, double skid, double overlap)
    {
        string binary = programs.CompileCpp($"troubled{seed}", "-fuse-ld=lld-19", "-fdebug-info-for-profiling");
        string script = PeerComparison.Record(binary, 60_000, seed, noise, skid);
        PeerComparison.AssertOverlap(binary, script, overlap);
        PeerComparison.Generate(binary, script, out FlowChecks checks);
        Assert.True((noise == 0 || checks.BogusRange > 0) && checks.OutsideCode > 0);
        Assert.True(skid == 0 || checks.NotOnBoundary > 0);
    }
}
