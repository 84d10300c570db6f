using System.Text.RegularExpressions;
using Perforator.SampleProfiles;
using Perforator.Tests.Generation;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>Go, Rust and D, each with its real compiler: from a build to a profile that the compiler takes.</summary>
public sealed class OtherCompilersTests : IDisposable
{
    private readonly PeerComparison programs = new();

    public void Dispose() => programs.Dispose();

    /// <summary>The newest Go that has PGO (1.21), of those that Debian installs side by side, or the one on PATH.</summary>
    private static string? FindGo() =>
        Directory.EnumerateDirectories("/usr/lib", "go-1.*")
            .Where(static folder =>
                int.TryParse(folder.Split('.')[^1], out int minor) && minor >= 21 && File.Exists(Path.Combine(folder, "bin", "go")))
            .Select(static folder => Path.Combine(folder, "bin", "go"))
            .Order(StringComparer.Ordinal).LastOrDefault();

    [SkippableFact]
    public void Go_decides_by_our_profile_whatever_it_decides_by_its_own()
    {
        string? go = FindGo();
        Skip.If(go is null, "no Go with PGO in /usr/lib/go-1.21 or newer; eng/setup installs it where Debian's backports have it");
        string source = Path.Combine(Tool.RepositoryRoot(), "testdata", "go");
        Dictionary<string, string> environment = new()
        {
            ["GOCACHE"] = Path.Combine(Tool.RepositoryRoot(), "artifacts", "tmp", "go-cache"),
            ["GOPATH"] = programs["gopath"],
            ["GOTOOLCHAIN"] = "local",
            ["GOFLAGS"] = "-pgo=off",
            ["GOPROXY"] = "off",
        };
        ToolResult Go(params string[] arguments) => Tool.Run(go!, arguments, folder: source, environment: environment).Succeeded();
        string binary = programs["shapes"], native = programs["native.pprof"], ours = programs["ours.pprof"], recording = programs["shapes.branches"];
        Go("build", "-o", binary, ".");
        Tool.Run(binary, ["6000", native]).Succeeded();
        Tool.Cli("record", "--source", "software", "--max-overhead", "100%", "-o", recording, "--", binary, "6000").Succeeded();
        string report = Tool.Cli("generate", "--binary", binary, "--branches", recording, "--for", "go", "-o", ours).Succeeded().Error;
        Assert.Contains("go build -pgo=FILE", report);

        // The main package alone: with go build a new profile compiles all of the library again.
        File.WriteAllText(
            programs["importcfg"],
            Go("list", "-export", "-deps", "-f", "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}", ".").Output);
        HashSet<string> Decisions(string profile) => Regex.Matches(
            Go("tool", "compile", $"-pgoprofile={profile}", "-m=2", "-p", "main", "-lang=go1.21", "-importcfg", programs["importcfg"], "-o", programs["main.o"], "main.go").Output,
            @"main\.go:\d+:\d+: (PGO devirtualizing.*|inlining call to .*|can inline \S+ )").Select(static match => match.Value)
            .ToHashSet();
        HashSet<string> own = Decisions(native), made = Decisions(ours);
        Assert.Contains(own, static decision => decision.Contains("PGO devirtualizing", StringComparison.Ordinal));
        Assert.Equal([], own.Except(made));

        // Generic functions have the names that Go's own profile gives them.
        string top = Go("tool", "pprof", "-top", "-nodefraction=0", ours).Output;
        Assert.Contains("main.Sum[...]", top);
        Assert.Contains("main.(*Square).Area", top);
    }

    [SkippableFact]
    public void Rustc_takes_the_counts_of_a_profile_of_its_build()
    {
        Tool.Require("rustc");
        Dictionary<string, string> nightly = new() { ["RUSTC_BOOTSTRAP"] = "1" };
        string source = Path.Combine(PeerComparison.Sources, "program.rs"), binary = programs["rust"], profile = programs["rust.afdo"];
        string[] flags = ["-O", "-Cdebuginfo=1", "-Ccodegen-units=1", "-Zdebug-info-for-profiling", source];
        Tool.Run("rustc", [.. flags, "-o", binary], environment: nightly).Succeeded();
        Tool.Cli("generate", "--binary", binary, "--perf-script", PeerComparison.Record(binary), "-o", profile).Succeeded();
        Assert.Contains(
            SampleProfileReader.Load(profile).Functions.Keys, static name => name.Contains("7program", StringComparison.Ordinal));

        string ir = programs["rust.ll"];
        ToolResult compiled =
            Tool.Run("rustc", [.. flags, $"-Zprofile-sample-use={profile}", "--emit=llvm-ir", "-o", ir], environment: nightly).Succeeded();
        Assert.Equal("", compiled.Error);
        Assert.Matches(new Regex(@"!""function_entry_count"", i64 [1-9]"), File.ReadAllText(ir));
    }

    [SkippableFact]
    public void A_profile_of_LDCs_build_names_functions_as_D_mangles_them()
    {
        SampleProfile profile = SampleProfileReader.Load(ProfileOfD());
        string[] names = [.. Names(profile.Functions.Values)];
        Assert.Contains("_D7program3mixFkkZk", names);
        Assert.Contains("_Dmain", names);

        static IEnumerable<string> Names(IEnumerable<FunctionSamples> functions) => functions.SelectMany(static function =>
            Names(function.Callsites.SelectMany(static site => site.Value.Values)).Prepend(function.Name));
    }

    [SkippableFact]
    public void LDC_takes_the_counts_of_a_profile_of_its_build()
    {
        string profile = ProfileOfD(), ir = programs["d.ll"];
        ToolResult compiled =
            Tool.Run("ldc2", ["-O2", "-g", $"-fprofile-sample-use={profile}", "--output-ll", DSource, $"-of={ir}"], folder: programs[""]);
        Skip.If(compiled.Error.Contains(
            "Unknown command line argument", StringComparison.Ordinal), "this LDC has no -fprofile-sample-use; 1.42 has");
        compiled.Succeeded();
        Assert.Matches(new Regex(@"!""function_entry_count"", i64 [1-9]"), File.ReadAllText(ir));
    }

    private static string DSource => Path.Combine(PeerComparison.Sources, "program.d");

    private string ProfileOfD()
    {
        Tool.Require("ldc2");
        string binary = programs["d"], profile = programs["d.afdo"];
        Tool.Run("ldc2", ["-O2", "-g", DSource, $"-of={binary}"], folder: programs[""]).Succeeded();
        Tool.Cli("generate", "--binary", binary, "--perf-script", PeerComparison.Record(binary), "-o", profile).Succeeded();
        return profile;
    }
}
