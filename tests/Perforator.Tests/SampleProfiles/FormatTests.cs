using Perforator.Bytes;
using Perforator.SampleProfiles;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.SampleProfiles;

/// <summary>Every format, written and read, against llvm-profdata-19: equal bytes wherever LLVM's bytes are determined.</summary>
public sealed class FormatTests
{
    private static string Text(SampleProfile profile) =>
        System.Text.Encoding.UTF8.GetString(SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Text));

    public static TheoryData<string, SampleProfileFormat, string> Formats => new()
    {
        { "--text", SampleProfileFormat.Text, "" },
        { "--binary", SampleProfileFormat.Binary, "" },
        { "--extbinary", SampleProfileFormat.ExtBinary, "" },
        { "--extbinary", SampleProfileFormat.ExtBinary, "--use-md5" },
        { "--extbinary", SampleProfileFormat.ExtBinary, "--gen-partial-profile" },
        { "--extbinary", SampleProfileFormat.ExtBinary, "--prof-sym-list" },
        { "--extbinary", SampleProfileFormat.ExtBinary, "--compress-all-sections" },
    };

    [SkippableTheory]
    [MemberData(nameof(Formats))]
    public void WritesTheBytesThatLlvmWritesAndReadsThemBack(string flag, SampleProfileFormat format, string option)
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        SampleProfileWriteOptions options =
            new() { Md5Names = option == "--use-md5", CompressAllSections = option == "--compress-all-sections" };
        IEnumerable<string> symbols = ["main", "cold", "never_ran", "größe"];
        string symbolFile = folder.Write("symbols", string.Join('\n', symbols.Reverse()));
        string[] arguments = option switch
        {
            "" => [flag],
            "--prof-sym-list" => [flag, $"{option}={symbolFile}"],
            _ => [flag, option],
        };
        foreach (SampleProfile profile in new[] { SampleProfileReader.Load(Profdata.TestData("nested.txt")), Profdata.Random(1), Profdata.Random(2, functions: 400) })
        {
            string source = folder.Write("source.txt", Text(profile));
            byte[] theirs = Profdata.Merge(folder, [.. arguments, source]);
            profile.IsPartial = option == "--gen-partial-profile";
            if (option == "--prof-sym-list")
                profile.Symbols.UnionWith(symbols);

            byte[] ours = SampleProfileWriter.ToBytes(profile, format, options);
            if (!options.CompressAllSections)
                Assert.Equal(theirs, ours);

            Assert.Equal(format, SampleProfileReader.Detect(theirs));
            SampleProfile read = SampleProfileReader.Parse(theirs);
            Assert.Equal(options.Md5Names, read.UsesMd5Names);
            Assert.Equal(profile.IsPartial, read.IsPartial);
            Assert.Equal(profile.Symbols, read.Symbols);
            if (!options.Md5Names)
                Assert.Equal(Text(profile), Text(read));
            // Once names are gone, hashes sort by number, in LLVM too; from then on nothing moves.
            byte[] again = SampleProfileWriter.ToBytes(read, format, options);
            Assert.Equal(options.Md5Names ? Profdata.Merge(folder, [.. arguments, Write(folder, theirs)]) : ours, again);
            Assert.Equal(again, SampleProfileWriter.ToBytes(SampleProfileReader.Parse(again), format, options));
        }
    }

    private static string Write(TemporaryFolder folder, byte[] profile)
    {
        File.WriteAllBytes(folder["again"], profile);
        return folder["again"];
    }

    [SkippableTheory]
    [InlineData(SampleProfileFormat.Text)]
    [InlineData(SampleProfileFormat.ExtBinary)]
    public void LlvmShowsTheSameForEveryFormat(SampleProfileFormat format)
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        foreach (string name in new[] { "nested.txt", "newer.txt", "probes.txt" })
        {
            string expected = Profdata.Run("show", "--sample", "--detailed-summary", Profdata.TestData(name));
            SampleProfile profile = SampleProfileReader.Load(Profdata.TestData(name));
            foreach (SampleProfileWriteOptions options in new[] { new SampleProfileWriteOptions(), new() { CompressAllSections = true }, new() { SplitLayout = true } })
            {
                string file = folder["profile"];
                SampleProfileWriter.Save(file, profile, format, options);
                ToolResult shown = Tool.Run(Profdata.Program, ["show", "--sample", "--detailed-summary", file]).Succeeded();
                Assert.Equal(expected, shown.Output);
                Assert.Equal("", shown.Error);
            }
        }
    }

    [SkippableFact]
    public void ProbeProfilesKeepTheirChecksums()
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        SampleProfile profile = Profdata.Random(5, probes: true);
        string source = folder.Write("source.txt", Text(profile));
        Assert.Equal(Text(profile), System.Text.Encoding.UTF8.GetString(Profdata.Merge(folder, "--text", source)));

        byte[] ours = SampleProfileWriter.ToBytes(profile, SampleProfileFormat.ExtBinary);
        byte[] theirs = Profdata.Merge(folder, "--extbinary", source);
        Assert.Equal(Text(profile), Text(SampleProfileReader.Parse(theirs)));
        Assert.Equal(Text(profile), Text(SampleProfileReader.Parse(ours)));
        // LLVM writes the metadata in the order of a hash table; everything else is the same.
        Assert.Equal(theirs.Length, ours.Length);

        UserErrorException refused =
            Assert.Throws<UserErrorException>(() => SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Binary));
        Assert.Contains("extbinary", refused.Message);
    }

    [SkippableFact]
    public void ContextSensitiveProfilesAreNestedAsLlvmNestsThem()
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        string source = Profdata.TestData("contexts.txt");
        string expected =
            System.Text.Encoding.UTF8.GetString(Profdata.Merge(folder, "--text", "--convert-sample-profile-layout=nest", source));
        Assert.Equal(expected, Text(SampleProfileReader.Load(source)));
        foreach (string option in new[] { "--extbinary", "--compress-all-sections" })
            Assert.Equal(expected, Text(SampleProfileReader.Parse(Profdata.Merge(folder, option, source))));

        SampleProfile hashed = SampleProfileReader.Parse(Profdata.Merge(folder, "--extbinary", "--use-md5", source));
        Assert.Equal(Text(Md5Names.Of(SampleProfileReader.Load(source))), Text(hashed));
        Assert.Throws<MalformedInputException>(() => SampleProfileReader.Parse("[main:1 @ f:2:2\n"u8));
        Assert.Throws<MalformedInputException>(() => SampleProfileReader.Parse("[main @ f]:2:2\n"u8));
    }

    [SkippableTheory]
    [InlineData(SampleProfileFormat.Text, false)]
    [InlineData(SampleProfileFormat.Binary, false)]
    [InlineData(SampleProfileFormat.ExtBinary, false)]
    [InlineData(SampleProfileFormat.ExtBinary, true)]
    public void ClangUsesTheProfileWithoutAWarning(SampleProfileFormat format, bool md5)
    {
        Tool.Require("clang-19");
        using TemporaryFolder folder = new();
        string source = folder.Write("loop.c", """
            int work(int n) {
              int sum = 0;
              for (int i = 0; i < n; i++)
                if (i % 3) sum += i;
              return sum;
            }
            """);
        SampleProfile profile = new();
        FunctionSamples work = profile.Function("work");
        work.AddHeadSamples(100);
        foreach ((uint line, ulong count) in new[] { (1u, 100UL), (2u, 9000UL), (3u, 8900UL), (4u, 100UL) })
        {
            work.BodyAt(new(line, 0)).AddSamples(count);
            work.AddTotalSamples(count);
        }
        profile.Symbols.Add("work");
        SampleProfileWriter.Save(
            folder["profile"], profile, format, new SampleProfileWriteOptions { Md5Names = md5, CompressSymbols = true });

        ToolResult compiled = Tool.Run("clang-19",
            ["-O2", "-g", "-Wall", "-Werror", $"-fprofile-sample-use={folder["profile"]}", "-S", "-emit-llvm", "-o", folder["loop.ll"], source]).Succeeded();
        Assert.Equal("", compiled.Error);
        string ir = File.ReadAllText(folder["loop.ll"]);
        Assert.Contains("function_entry_count\", i64 101", ir);
        Assert.Contains("branch_weights", ir);
    }

    [Fact]
    public void SplitLayoutRoundTrips()
    {
        SampleProfile profile = Profdata.Random(8);
        byte[] split = SampleProfileWriter.ToBytes(profile, SampleProfileFormat.ExtBinary, new() { SplitLayout = true });
        SampleProfile read = SampleProfileReader.Parse(split);
        Assert.Equal(Text(profile), Text(read));
        Assert.Equal(split, SampleProfileWriter.ToBytes(read, SampleProfileFormat.ExtBinary, new() { SplitLayout = true }));
    }

    [Fact]
    public void FlagsSurviveTheRoundTrip()
    {
        SampleProfile profile = Profdata.Random(9);
        profile.IsFlowSensitive = profile.IsPreInlined = profile.IsPartial = true;
        profile.Functions.Values.First().Attributes = ContextAttributes.ShouldBeInlined;
        SampleProfile read = SampleProfileReader.Parse(SampleProfileWriter.ToBytes(profile, SampleProfileFormat.ExtBinary));
        Assert.True(read.IsFlowSensitive && read.IsPreInlined && read.IsPartial);
        Assert.Equal(Text(profile), Text(read));
    }

    [Theory]
    [InlineData("", "empty file")]
    [InlineData(" 1: 5\n", "samples before the first function")]
    [InlineData("main:5\n", "line 1: 'name:total samples:head samples' expected")]
    [InlineData("main:5:1\n 70000: 5\n", "line 2: 'offset[.discriminator]: samples' expected")]
    [InlineData("main:5:1\n 1: 5 foo\n", "'callee:samples' expected")]
    [InlineData("main:5:1\n 1: foo:18446744073709551616\n", "callee:total samples' expected")]
    [InlineData("main:5:1\n !CFGChecksum: 1\n 1: 5\n", "samples after the function's metadata")]
    [InlineData("main:5:1\n !Mystery: 1\n", "'!CFGChecksum: number', '!Attributes: number' or '!Flat' expected")]
    [InlineData("\u007fELF\u0002\u0001\u0001\0\0", "not an LLVM sample profile")]
    public void SaysWhatIsWrong(string text, string expected)
    {
        MalformedInputException error =
            Assert.Throws<MalformedInputException>(() => SampleProfileReader.Parse(System.Text.Encoding.UTF8.GetBytes(text)));
        Assert.Contains(expected, error.Message);
    }
}
