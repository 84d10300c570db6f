using System.Text.Json;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Generation;
using Perforator.SampleProfiles;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Generation;

/// <summary>One profile for all files and builds of a service.</summary>
public sealed class ServiceProfileTests : IClassFixture<ServiceProfileTests.Builds>
{
    private static readonly DateOnly Today = new(2026, 3, 20);

    private readonly Builds builds;

    public ServiceProfileTests(Builds builds) => this.builds = builds;

    /// <summary>
    /// A program in two releases, the second with lines added before and within a function, a library, and a file without debug info.
    /// </summary>
    public sealed class Builds : IDisposable
    {
        private readonly TemporaryFolder folder = new();

        public Builds()
        {
            const string Loop = """
                __attribute__((noinline)) unsigned spin(unsigned n)
                {
                    unsigned h = 1;
                @@
                    for (unsigned i = 0; i < n; i++)
                        h = (h ^ i) * 16777619u + (h >> 7);
                    return h;
                }
                """;
            Old = Compile(
                "v1/program",
                Loop.Replace("@@", "", StringComparison.Ordinal) + "int main(int c, char **v) { (void)v; return (int)spin(c * 1000); }");
            New = Compile(
                "v2/program",
                "/* added */\n" + Loop.Replace("@@", "    h += n;\n\n\n\n", StringComparison.Ordinal)
                    + "int main(int c, char **v) { (void)v; return (int)spin(c * 1000); }");
            Library = Compile(
                "v1/libwork.so.1", Loop.Replace("spin", "work", StringComparison.Ordinal).Replace("@@", "", StringComparison.Ordinal),
                "-shared", "-fPIC");
            Bare = Compile(
                "v1/libbare.so", Loop.Replace("spin", "bare", StringComparison.Ordinal).Replace("@@", "", StringComparison.Ordinal),
                "-shared", "-fPIC", "-g0");
            OldProbes = Compile(
                "v1/probed",
                Loop.Replace("@@", "", StringComparison.Ordinal) + "int main(int c, char **v) { (void)v; return (int)spin(c * 1000); }",
                "-fpseudo-probe-for-profiling");
            NewProbes = Compile(
                "v2/probed",
                Loop.Replace("@@", "    if (n & 1) h += n / 3;", StringComparison.Ordinal)
                    + "int main(int c, char **v) { (void)v; return (int)spin(c * 1000); }", "-fpseudo-probe-for-profiling");
        }

        public string Old { get; }

        public string New { get; }

        public string Library { get; }

        public string Bare { get; }

        public string OldProbes { get; }

        public string NewProbes { get; }

        private string Compile(string name, string source, params string[] flags)
        {
            string binary = folder[name];
            Directory.CreateDirectory(Path.GetDirectoryName(binary)!);
            Tool.Run("clang-19", ["-O2", "-fno-unroll-loops", "-fno-vectorize", "-g", "-fdebug-info-for-profiling", "-fuse-ld=lld-19", "-Wl,--build-id", "-o", binary, folder.Write($"{Path.GetFileName(Path.GetDirectoryName(binary))}-{Path.GetFileName(name)}.c", source), .. flags]).Succeeded();
            return binary;
        }

        public void Dispose() => folder.Dispose();
    }

    /// <summary>The binaries of a test, as a server would have them.</summary>
    private sealed class Binaries(params string[] paths) : IBinaries
    {
        public List<string> Opened { get; } = [];

        public ProfiledBinary? Open(BuildId id, string path, TargetCompiler target, out string why)
        {
            why = "it is not here";
            Opened.Add(path);
            return paths.FirstOrDefault(file => IdOf(file) == id) is { } found
                ? ProfiledBinary.Load(found, NoDebugFiles.Instance, target) : null;
        }
    }

    private static BuildId IdOf(string path)
    {
        using ElfFile elf = ElfFile.Load(path);
        return elf.BuildId;
    }

    /// <summary>Runs of a function's loop: from its last instruction that branches back to the instruction that this leads to.</summary>
    private static Observation Loops(
        string path, string function, ulong count, int daysAgo = 0, string host = "node-1", string cpu = "cpu", ulong mispredicted = 0)
    {
        using ElfFile elf = ElfFile.Load(path);
        ElfSymbol symbol = elf.Symbols.Symbols.ToArray().Single(s => elf.Symbols.Name(s) == function);
        Perforator.Disassembly.X64Decoder decoder = new();
        ReadOnlySpan<byte> code = elf.Code(symbol.Address).Span[..(int)symbol.Size];
        BranchProfile profile = new(elf.BuildId, path) { Samples = count, BranchEntries = count };
        for (int at = 0; at < code.Length;)
        {
            BinaryAddress address = new(symbol.Address.Value + (ulong)at);
            Assert.True(decoder.TryDecode(code[at..], address, out Perforator.Disassembly.Instruction instruction));
            if (instruction.Kind == Perforator.Disassembly.InstructionKind.ConditionalBranch && instruction.Target >= symbol.Address.Value
                && instruction.Target < address.Value)
                profile.AddTrace(address, new(instruction.Target), address, count, mispredicted);
            at += instruction.Length;
        }
        Assert.False(profile.IsEmpty);
        DateTimeOffset end = new(Today.AddDays(-daysAgo), new TimeOnly(10, 0), TimeSpan.Zero);
        Dictionary<string, string> labels =
            new() { [ProfileLabels.Host] = host, [ProfileLabels.Cpu] = cpu, [ProfileLabels.Source] = "software" };
        return new Observation(profile, DateOnly.FromDateTime(end.UtcDateTime), labels, 1, end.AddHours(-2), end);
    }

    private static ServiceProfile Generate(IBinaries binaries, ServiceProfileOptions options, params Observation[] observations) =>
        ServiceProfileGenerator.Generate(new ServiceObservations("svc", observations, new LossCounts(), []), binaries, options);

    private static readonly ServiceProfileOptions Text = new() { Form = new(SampleProfileFormat.Text) };

    private static ulong Hottest(SampleProfile profile, string function) =>
        profile.Functions[function].Body.Max(static body => body.Value.Samples);

    [Fact]
    public void All_files_with_debug_info_are_in_the_profile_and_those_without_are_named_with_their_share()
    {
        ServiceProfile made = Generate(
            new Binaries(builds.Old, builds.Library, builds.Bare), Text,
            Loops(builds.Old, "spin", 1000), Loops(builds.Library, "work", 500), Loops(builds.Bare, "bare", 8000),
            Loops(builds.New, "spin", 500));
        Assert.Equal(1000UL, Hottest(made.Profile, "spin"));
        Assert.Equal(500UL, Hottest(made.Profile, "work"));
        FileReport bare = Assert.Single(made.Report.Files, static file => file.Name == "libbare.so");
        Assert.False(bare.IsUsed);
        Assert.Equal(0.8, bare.ShareOfBranches, 3);
        Assert.Contains("no debug info", bare.Builds[0].Problem, StringComparison.Ordinal);
        Assert.Contains(made.Report.Files, static file => file.Name == "libwork.so");
        Assert.Contains(made.Report.Builds, static build => build.Problem == "it is not here");
        Assert.Equal(0.15, made.Report.UsableShare, 3);
        Assert.Contains("not in it: libbare.so 80 %", made.Report.ToLine(), StringComparison.Ordinal);
        Assert.Contains(
            "File: libbare.so: 80 % of the branches, 0 % of the profile: NOT in it", made.Report.ToText(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_profile_is_the_merge_of_the_files_own_profiles_as_llvm_profdata_makes_it()
    {
        Observation[] observations = [Loops(builds.Old, "spin", 1000), Loops(builds.Library, "work", 500), Loops(builds.New, "spin", 300)];
        Binaries binaries = new(builds.Old, builds.Library, builds.New);
        ServiceProfile whole = Generate(binaries, Text, observations);
        using TemporaryFolder folder = new();
        List<string> parts = [];
        foreach (Observation observation in observations)
            parts.Add(folder.Write($"{parts.Count}.txt", System.Text.Encoding.UTF8.GetString(Generate(binaries, Text, observation).Bytes)));
        Tool.Run("llvm-profdata-19", ["merge", "--sample", "--text", "-o", folder["merged.txt"], .. parts]).Succeeded();
        Assert.Equal(File.ReadAllText(folder["merged.txt"]), System.Text.Encoding.UTF8.GetString(whole.Bytes));
    }

    [Fact]
    public void Counts_fade_by_days_of_the_data_and_places_once_seen_stay()
    {
        Observation[] observations =
            [Loops(builds.Old, "spin", 100), Loops(builds.Old, "spin", 40, daysAgo: 7), Loops(builds.Old, "spin", 4, daysAgo: 14)];
        Binaries binaries = new(builds.Old);
        Assert.Equal(121UL, Hottest(Generate(binaries, Text, observations).Profile, "spin"));
        Assert.Equal(144UL, Hottest(Generate(binaries, Text with { HalfLifeDays = null }, observations).Profile, "spin"));
        Assert.Equal(
            1UL, Hottest(
                Generate(binaries, Text with { HalfLifeDays = 1 }, Loops(builds.Old, "spin", 3, daysAgo: 12), Loops(builds.Library, "work", 9)).Profile is { } p && p.Functions.ContainsKey("spin") ? p : throw new InvalidOperationException(), "spin"));
        // Neither the order nor the clock has a part in it.
        Assert.Equal(Generate(binaries, Text, observations).Hash, Generate(binaries, Text, [.. observations.Reverse()]).Hash);
    }

    [Fact]
    public void Releases_merge_and_how_far_the_older_one_fits_is_told()
    {
        ServiceProfile made = ServiceProfileGenerator.Generate(
            new ServiceObservations(
                "svc", [Loops(builds.Old, "spin", 1000, daysAgo: 1), Loops(builds.New, "spin", 10)], new LossCounts(), [IdOf(builds.New)]),
            new Binaries(builds.Old, builds.New), Text with { HalfLifeDays = null });
        BuildReport older = Assert.Single(made.Report.Builds, build => build.BuildId == IdOf(builds.Old));
        Assert.NotNull(older.FitToNewest);
        // The loop moved on by a line within the function: what is now on its old lines is other code.
        Assert.InRange(older.FitToNewest.Share, 0.0, 0.999);
        Assert.Null(Assert.Single(made.Report.Builds, static build => build.IsCurrent).FitToNewest);
        Assert.True(made.Report.TotalBranches == 1010);
        Assert.True(older.ShareOfProfile > 0.9);
    }

    [Fact]
    public void Of_an_older_build_with_probes_functions_of_another_control_flow_are_left_out_and_counted()
    {
        ServiceObservations observed =
            new("svc", [Loops(builds.OldProbes, "spin", 1000), Loops(builds.NewProbes, "spin", 10)], new LossCounts(), [IdOf(builds.NewProbes)]);
        ServiceProfile made = ServiceProfileGenerator.Generate(observed, new Binaries(builds.OldProbes, builds.NewProbes), Text);
        Assert.True(made.Profile.IsProbeBased);
        Assert.Equal(10UL, Hottest(made.Profile, "spin"));
        BuildReport older = Assert.Single(made.Report.Builds, static build => !build.IsCurrent);
        Assert.True(older.FunctionsLeftOut >= 1);
        Assert.Equal("control flow changed", older.FitToNewest!.Losses[0].Reason);
        Assert.True(made.Report.Losses[FunctionSamples.ChecksumMismatch] >= 1);
    }

    [Fact]
    public void Files_of_another_kind_of_profile_are_left_out_by_name()
    {
        ServiceProfile made =
            Generate(new Binaries(builds.OldProbes, builds.Library), Text, Loops(builds.OldProbes, "spin", 1000), Loops(builds.Library, "work", 10));
        Assert.False(made.Profile.Functions.ContainsKey("work"));
        Assert.Contains(
            "another kind", Assert.Single(made.Report.Files, static file => file.Name == "libwork.so").Builds[0].Problem,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Only_narrows_by_name_path_or_build_and_says_what_there_is()
    {
        Observation[] observations = [Loops(builds.Old, "spin", 1000), Loops(builds.Library, "work", 500)];
        Binaries binaries = new(builds.Old, builds.Library);
        foreach (string only in new[] { "libwork.so", "libwork.so.1", builds.Library, IdOf(builds.Library).ToString()[..8] })
            Assert.Equal(["work"], Generate(binaries, Text with { Only = [only] }, observations).Profile.Functions.Keys.Order());
        UserErrorException error =
            Assert.Throws<UserErrorException>(() => Generate(binaries, Text with { Only = ["nothing.so"] }, observations));
        Assert.Contains("has no file or build 'nothing.so' in that time; it has:", error.Message, StringComparison.Ordinal);
        Assert.Contains(builds.Library, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_that_can_be_used_is_an_error_with_the_reason_of_each_file()
    {
        UserErrorException error =
            Assert.Throws<UserErrorException>(
                () => Generate(new Binaries(builds.Bare), Text, Loops(builds.Bare, "bare", 10), Loops(builds.Old, "spin", 5)));
        Assert.Contains("has no debug info", error.Message, StringComparison.Ordinal);
        Assert.Contains("it is not here", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Two_halves_that_tell_the_same_overlap_and_lopsided_data_are_told()
    {
        Binaries binaries = new(builds.Old, builds.Library);
        Assert.Null(Generate(binaries, Text, Loops(builds.Old, "spin", 100)).Report.Convergence);
        ServiceReport even =
            Generate(binaries, Text, Loops(builds.Old, "spin", 100), Loops(builds.Old, "spin", 100, host: "node-2")).Report;
        Assert.Equal(1.0, even.Convergence!.Value, 6);
        Assert.DoesNotContain(even.Bias, static bias => bias.Contains("host", StringComparison.Ordinal));
        ServiceReport lopsided =
            Generate(binaries, Text, Loops(builds.Old, "spin", 900), Loops(builds.Old, "spin", 100, host: "node-2", cpu: "other")).Report;
        Assert.Contains("90 % of the branches are of one of 2 hosts, node-1", lopsided.Bias);
        Assert.Contains("90 % of the branches are of one of 2 CPU models, cpu", lopsided.Bias);

        BranchProfile one = new(BuildId.Parse("aa"), "x"), other = new(BuildId.Parse("aa"), "x");
        one.AddBranch(new(1), new(2), 60);
        one.AddBranch(new(3), new(4), 40);
        other.AddBranch(new(1), new(2), 30);
        other.AddBranch(new(3), new(4), 10);
        Assert.Equal(0.85, Convergence.Overlap(one.Branches, other.Branches), 6);
    }

    [Fact]
    public void Gates_name_what_is_not_met()
    {
        ServiceReport report =
            Generate(new Binaries(builds.Old, builds.Bare), Text, Loops(builds.Old, "spin", 10), Loops(builds.Bare, "bare", 90)).Report;
        DateTimeOffset now = report.Provenance.LastSeen.AddDays(3);
        Assert.Empty(new ProfileGates().Failures(report, now));
        string[] failures =
            [.. new ProfileGates(
                MinRatio: 1000, MinCoverage: 0.5, MinOverlap: 0.5, MaxAge: TimeSpan.FromDays(2), MinHosts: 2).Failures(report, now)];
        Assert.Equal(5, failures.Length);
        Assert.Contains("--min-ratio 1000", failures[0], StringComparison.Ordinal);
        Assert.Contains("only 10 % of the branches can be used", failures[1], StringComparison.Ordinal);
        Assert.Contains("--min-overlap", failures[2], StringComparison.Ordinal);
        Assert.Contains("3 days old, more than --max-age 2 days", failures[3], StringComparison.Ordinal);
        Assert.Contains("1 host, fewer than --min-hosts 2", failures[4], StringComparison.Ordinal);
    }

    [Fact]
    public void The_effect_of_a_build_is_read_from_its_branches()
    {
        ServiceReport report = Generate(new Binaries(builds.Old), Text, Loops(builds.Old, "spin", 100, mispredicted: 25)).Report;
        CodeEffect effect = Assert.Single(report.Builds).Effect!;
        Assert.True(effect.InstructionsPerTakenBranch > 1);
        Assert.Equal(0, effect.CallsPer1000Instructions);
        Assert.Equal(0.25, effect.MispredictedShare!.Value, 6);
        Assert.InRange(effect.BytesOf90Percent, 1UL, effect.BytesOf99Percent);
        using JsonDocument json = JsonDocument.Parse(report.ToJson());
        Assert.Equal(
            effect.BytesOf99Percent,
            json.RootElement.GetProperty("files")[0].GetProperty("builds")[0].GetProperty("effect").GetProperty("bytesOf99Percent")
                .GetUInt64());
        Assert.All(AllNames(json.RootElement), static name => Assert.True(char.IsLower(name[0]), name));
    }

    [Fact]
    public void A_profile_fits_its_own_binary_whole_and_one_whose_lines_moved_less()
    {
        ServiceProfile made = Generate(new Binaries(builds.Old), Text, Loops(builds.Old, "spin", 100));
        using ProfiledBinary own = ProfiledBinary.Load(builds.Old, NoDebugFiles.Instance);
        using ProfiledBinary next = ProfiledBinary.Load(builds.New, NoDebugFiles.Instance);
        using ProfiledBinary other = ProfiledBinary.Load(builds.Library, NoDebugFiles.Instance);
        Assert.Equal(1, ProfileFit.Of(made.Profile, own).Share);
        Assert.InRange(ProfileFit.Of(made.Profile, next).Share, 0, 0.999);
        ProfileFit none = ProfileFit.Of(made.Profile, other);
        Assert.Equal(0, none.Share);
        Assert.Equal(("spin", "gone"), (none.Losses[0].Function, none.Losses[0].Reason));
    }

    private static IEnumerable<string> AllNames(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object =>
            element.EnumerateObject().Where(static p => p.Name != "losses").SelectMany(static p => AllNames(p.Value).Prepend(p.Name)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(AllNames),
        _ => [],
    };
}
