using System.Text.RegularExpressions;
using Perforator.SampleProfiles;
using Perforator.Tests.Generation;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary><c>generate --for gcc</c> of a binary built by GCC, and GCC compiling with it.</summary>
public sealed class GccTests : IClassFixture<GccTests.Program>
{
    private readonly Program program;

    public GccTests(Program program) => this.program = program;

    /// <summary>A program built by GCC, a walk through it and the profile.</summary>
    public sealed class Program : IDisposable
    {
        public static string[] Sources { get; } =
        [.. new[] { "anonymous_a.cpp", "anonymous_b.cpp" }.Select(name => Path.Combine(PeerComparison.Sources, name))];

        public Program()
        {
            if (Tool.Find("g++") is null)
                return;
            Version = int.Parse(Tool.Run("g++", ["-dumpversion"]).Succeeded().Output.Trim().Split('.')[0]);
            Binary = Programs.Compile("gcc", "g++", ["-O2", "-g1", .. Sources]);
            Script = PeerComparison.Record(Binary);
            Profile = Programs["gcc.gcda"];
            Report = Tool.Cli(
                "generate", "--binary", Binary, "--perf-script", Script, "--for", "gcc", "--gcc-version", $"{Version}", "-o", Profile)
                .Succeeded().Error;
        }

        public PeerComparison Programs { get; } = new();

        public int Version { get; }

        public string Binary { get; } = "";

        public string Script { get; } = "";

        public string Profile { get; } = "";

        public string Report { get; } = "";

        public void Dispose() => Programs.Dispose();
    }

    [SkippableFact]
    public void Functions_in_anonymous_namespaces_are_told_apart_by_their_symbols()
    {
        Tool.Require("g++");
        SampleProfile profile = SampleProfileReader.Load(program.Profile);
        Assert.DoesNotContain("next", profile.Functions.Keys);
        foreach (string name in new[] { "_ZN12_GLOBAL__N_14nextEj", "_ZN12_GLOBAL__N_14Even4nextEv", "_Z5drainR6Sourcej", "main" })
            Assert.Contains(name, profile.Functions.Keys);
        Assert.Contains("-fauto-profile=FILE", program.Report);
    }

    [SkippableFact]
    public void GCC_compiles_with_the_profile_without_a_warning_and_takes_its_counts()
    {
        Tool.Require("g++");
        foreach (string source in Program.Sources)
        {
            string name = Path.GetFileNameWithoutExtension(source), dump = program.Programs[name + ".dump"];
            ToolResult compiled = Tool.Run("g++",
                ["-O2", "-g1", "-Wall", "-Wextra", $"-fauto-profile={program.Profile}", $"-fdump-tree-optimized={dump}", "-c", source, "-o", program.Programs[name + ".o"]]).Succeeded();
            Assert.Equal("", compiled.Output + compiled.Error);
            // "local count" is what GCC guesses; "count" comes from a profile.
            Assert.Matches(new Regex(@"\[count: [1-9]\d{2,}\]"), File.ReadAllText(dump));
        }
    }

    [SkippableFact]
    public void What_GCC_does_not_inline_again_has_the_counts_of_its_inlined_copies()
    {
        Tool.Require("gcc");
        string source = program.Programs["copies.c"], text = program.Programs["copies.txt"], profile = program.Programs["copies.gcda"];
        string dump = program.Programs["copies.dump"];
        File.WriteAllText(source,
            """
            __attribute__((noinline)) static int twice(int x) {
              return x * x;
            }
            int caller(int n) {
              return twice(n) + 1;
            }

            """);
        File.WriteAllText(text, "caller:7777:7777\n 1: twice:7777\n  1: 7777\n");
        Tool.Cli("profile", "convert", text, "--format", "gcc", "--gcc-version", $"{program.Version}", "-o", profile).Succeeded();
        Tool.Run("gcc",
            ["-O2", "-g1", $"-fauto-profile={profile}", $"-fdump-tree-optimized={dump}", "-c", source, "-o", program.Programs["copies.o"]])
            .Succeeded();
        string[] functions = File.ReadAllText(dump).Split(";; Function ");
        Assert.Contains("[count: 7777]", Assert.Single(functions, static f => f.StartsWith("twice", StringComparison.Ordinal)));
    }

    [SkippableFact]
    public void A_profile_in_the_other_version_is_refused_by_GCC_and_not_by_us()
    {
        Tool.Require("g++");
        string other = program.Programs["other.gcda"];
        Tool.Cli("profile", "convert", program.Profile, "--format", "gcc", "--gcc-version", program.Version >= 16
            ? "15" : "16", "-o", other).Succeeded();
        ToolResult compiled =
            Tool.Run("g++", ["-O2", "-c", $"-fauto-profile={other}", Program.Sources[1], "-o", program.Programs["other.o"]]);
        Assert.NotEqual(0, compiled.ExitCode);
        Assert.Contains("version", compiled.Error);
        Assert.Equal(
            Tool.Cli("profile", "show", program.Profile).Succeeded().Output, Tool.Cli("profile", "show", other).Succeeded().Output);
    }

    [SkippableFact]
    public void A_service_is_had_from_the_server_for_GCC_and_its_flags_name_the_GCC_at_hand()
    {
        Tool.Require("g++");
        using TemporaryFolder folder = new();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        Dictionary<string, string> environment =
            new() { ["XDG_CACHE_HOME"] = folder["cache"], ["PERFORATOR_SERVER"] = server.Address.ToString() };
        ToolResult Cli(params string[] arguments) => Tool.Run(Tool.Perforator, arguments, environment: environment);
        Cli("import", program.Script, "--service", "drain", "--binary", program.Binary).Succeeded();

        ToolResult given = Cli("pgo", "drain", "--for", "gcc", "--gcc-version", $"{program.Version}", "--report").Succeeded();
        Assert.Equal(File.ReadAllBytes(program.Profile), File.ReadAllBytes(given.Output.TrimEnd('\n')));
        Assert.Contains("-fauto-profile=FILE", given.Error);
        string[] flags = Cli("flags", "drain", "--for", "gcc", "--compiler", "g++").Succeeded().Output.TrimEnd('\n').Split(' ');
        Assert.Equal(
            [$"-fauto-profile={given.Output.TrimEnd('\n')}", "-fprofile-partial-training", "-fno-tracer", "-fno-unroll-loops",
                "-fno-peel-loops", "-fno-gcse", "-fno-crossjumping"], flags);
        Tool.Run("g++", ["-O2", "-g1", "-Werror", .. flags, "-c", Program.Sources[1], "-o", folder["b.o"]]).Succeeded();
        // The binary at hand in place of the server's gives the same.
        Assert.Equal(
            given.Output,
            Cli("pgo", "drain", "--for", "gcc", "--gcc-version", $"{program.Version}", "--binary", program.Binary).Succeeded().Output);

        ToolResult wrong = Cli("pgo", "drain", "--for", "go");
        Assert.Equal(1, wrong.ExitCode);
        Assert.Contains("build with go build", wrong.Error);
        Assert.Equal(2, Cli("pgo", "drain", "--for", "gcc", "--symbol-list").ExitCode);
        Assert.Equal(2, Cli("flags", "drain", "--for", "gcc", "--lto").ExitCode);
    }

    [SkippableFact]
    public void A_binary_of_another_compiler_is_refused_in_one_line()
    {
        Tool.Require("g++");
        string clang = program.Programs.Compile("clang", "clang++-19", ["-O2", "-g1", .. Program.Sources]);
        string script = PeerComparison.Record(clang, branches: 2_000);
        foreach (string[] options in new string[][] { ["--for", "gcc"], ["--for", "go"] })
        {
            ToolResult result =
                Tool.Cli(["generate", "--binary", clang, "--perf-script", script, .. options, "-o", program.Programs["wrong"]]);
            Assert.Equal(1, result.ExitCode);
            string line = Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
            Assert.Contains("clang version 19", line);
            Assert.Contains(options[1] == "gcc" ? "build with gcc -O2 -g1" : "build with go build", line);
            Assert.False(File.Exists(program.Programs["wrong"]));
        }
        ToolResult note =
            Tool.Cli("generate", "--binary", program.Binary, "--perf-script", program.Script, "-o", program.Programs["for-clang"])
                .Succeeded();
        Assert.Contains("100.0 % of the samples are in code that clang did not compile (mostly GNU C++17", note.Error);
    }

    [SkippableFact]
    public void Options_of_other_formats_are_refused()
    {
        foreach (string[] options in new string[][] { ["--for", "gcc", "--use-md5"], ["--for", "go", "--symbol-list"], ["--gcc-version", "12"] })
        {
            ToolResult result = Tool.Cli(["generate", "--binary", "x", "--perf-script", "y", .. options]);
            Assert.Equal(2, result.ExitCode);
            Assert.Contains("--for", result.Error);
        }
    }
}
