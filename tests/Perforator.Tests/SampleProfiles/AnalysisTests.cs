using System.Text;
using Perforator.SampleProfiles;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.SampleProfiles;

/// <summary>Merging, comparing, showing, flattening and trimming, each against llvm-profdata-19 to the last character.</summary>
public sealed class AnalysisTests
{
    private static string Text(SampleProfile profile) =>
        Encoding.UTF8.GetString(SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Text));

    private static string Save(TemporaryFolder folder, string name, SampleProfile profile)
    {
        SampleProfileWriter.Save(folder[name], profile, SampleProfileFormat.ExtBinary);
        return folder[name];
    }

    public static IEnumerable<SampleProfile> Profiles =>
        [SampleProfileReader.Load(Profdata.TestData("nested.txt")), SampleProfileReader.Load(Profdata.TestData("probes.txt")), Profdata.Random(11), Profdata.Random(12, functions: 300)];

    [SkippableFact]
    public void ShowsWhatLlvmShows()
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        foreach (SampleProfile profile in Profiles)
        {
            profile.Symbols.UnionWith(["main", "never", "größe"]);
            string file = Save(folder, "profile", profile);

            StringWriter functions = new();
            SampleProfileText.Write(functions, profile);
            Assert.Equal(
                Profdata.Run("show", "--sample", "--detailed-summary", file), functions + ProfileSummary.Compute(profile).ToText());

            using MemoryStream json = new();
            SampleProfileJson.Write(json, profile);
            Assert.Equal(Profdata.Run("show", "--sample", "--show-format=json", file), Encoding.UTF8.GetString(json.ToArray()));

            Assert.Equal(
                Profdata.Run("show", "--sample", "--show-sec-info-only", file),
                SampleProfileReader.DescribeSections(File.ReadAllBytes(file)));
        }
    }

    [SkippableFact]
    public void ListsTheHotFunctionsThatLlvmLists()
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        foreach (SampleProfile profile in Profiles)
        {
            string file = Save(folder, "profile", profile);
            StringWriter functions = new();
            SampleProfileText.Write(functions, profile);
            // Functions of equal totals come in the order of a hash table there.
            string expected = Profdata.Run("show", "--sample", "--hot-func-list", file)[functions.ToString().Length..];
            string actual = SampleProfileText.HotFunctions(ProfileQuality.Of(profile));
            Assert.Equal(expected.Split('\n').Order(StringComparer.Ordinal), actual.Split('\n').Order(StringComparer.Ordinal));
            Assert.Equal(expected.Split('\n')[..4], actual.Split('\n')[..4]);
        }
    }

    [SkippableTheory]
    [InlineData(1UL)]
    [InlineData(7UL)]
    [InlineData(1UL << 62)]
    public void MergesAsLlvmDoesWithWeightsAndSaturation(ulong weight)
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        foreach ((SampleProfile first, SampleProfile second) in new[]
        {
            (SampleProfileReader.Load(Profdata.TestData("nested.txt")), SampleProfileReader.Load(Profdata.TestData("newer.txt"))),
            (Profdata.Random(21), Profdata.Random(22)),
        })
        {
            first.Symbols.Add("only_listed_first");
            second.Symbols.Add("only_listed_second");
            string[] inputs = [Save(folder, "first", first), $"--weighted-input={weight},{Save(folder, "second", second)}"];
            string theirs = Encoding.UTF8.GetString(Profdata.Merge(folder, ["--text", .. inputs]));
            byte[] theirBytes = Profdata.Merge(folder, ["--extbinary", .. inputs]);

            SampleProfile merged = new();
            LossCounts losses = new();
            merged.Merge(first, 1, losses);
            merged.Merge(second, weight, losses);
            Assert.Equal(theirs, Text(merged));
            Assert.Equal(theirBytes, SampleProfileWriter.ToBytes(merged, SampleProfileFormat.ExtBinary));
            Assert.Equal(0UL, losses.Total);
        }
    }

    [SkippableFact]
    public void FunctionsOfOtherControlFlowAreLeftOutAndCounted()
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        SampleProfile first = SampleProfileReader.Load(Profdata.TestData("probes.txt"));
        SampleProfile second = SampleProfileReader.Load(Profdata.TestData("probes.txt"));
        second.Functions["callee"].Checksum++;
        string theirs =
            Encoding.UTF8.GetString(Profdata.Merge(folder, "--text", Save(folder, "first", first), Save(folder, "second", second)));

        LossCounts losses = new();
        SampleProfile merged = new();
        merged.Merge(first, 1, losses);
        merged.Merge(second, 1, losses);
        Assert.Equal(theirs, Text(merged));
        Assert.Equal(1UL, losses[FunctionSamples.ChecksumMismatch]);
        Assert.Throws<UserErrorException>(() => merged.Merge(Profdata.Random(1), 1, losses));
    }

    [Fact]
    public void MergingIsCommutative()
    {
        SampleProfile one = new(), other = new();
        one.Merge(Profdata.Random(31), 3, new LossCounts());
        one.Merge(Profdata.Random(32), 5, new LossCounts());
        other.Merge(Profdata.Random(32), 5, new LossCounts());
        other.Merge(Profdata.Random(31), 3, new LossCounts());
        Assert.Equal(Text(one), Text(other));
    }

    [Fact]
    public void NamesAndHashesMergeByHash()
    {
        SampleProfile plain = Profdata.Random(41), newer = Profdata.Random(42), expected = new();
        expected.Merge(plain, 1, new LossCounts());
        expected.Merge(newer, 1, new LossCounts());
        foreach ((SampleProfile first, SampleProfile second) in new[] { (plain, Md5Names.Of(newer)), (Md5Names.Of(plain), newer) })
        {
            SampleProfile merged = new();
            merged.Merge(first, 1, new LossCounts());
            merged.Merge(second, 1, new LossCounts());
            Assert.True(merged.UsesMd5Names);
            Assert.Equal(Text(Md5Names.Of(expected)), Text(merged));
        }
        Assert.Equal(1, ProfileOverlap.Compare(plain, Md5Names.Of(plain)).Similarity);
    }

    [SkippableFact]
    public void OverlapFiguresEqualLlvms()
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        foreach ((SampleProfile first, SampleProfile second) in new[]
        {
            (SampleProfileReader.Load(Profdata.TestData("nested.txt")), SampleProfileReader.Load(Profdata.TestData("newer.txt"))),
            (SampleProfileReader.Load(Profdata.TestData("nested.txt")), SampleProfileReader.Load(Profdata.TestData("nested.txt"))),
            (Profdata.Random(51), Profdata.Random(52)),
            (Profdata.Random(53, functions: 300), Profdata.Random(54, functions: 200)),
        })
        {
            string basePath = Save(folder, "base", first), testPath = Save(folder, "test", second);
            string expected = Profdata.Run("overlap", "--sample", "--value-cutoff=0", basePath, testPath);
            ProfileOverlap overlap = ProfileOverlap.Compare(first, second);
            string summary = ProfileOverlapText.Summary(overlap, basePath, testPath);
            Assert.StartsWith(summary, expected);
            string table = ProfileOverlapText.Functions(overlap, overlap.TestFunctions);
            Assert.Equal(
                expected[summary.Length..].Split('\n').Order(StringComparer.Ordinal), table.Split('\n').Order(StringComparer.Ordinal));
        }
    }

    [SkippableFact]
    public void FlattensAsLlvmDoes()
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        foreach (SampleProfile profile in new[] { SampleProfileReader.Load(Profdata.TestData("nested.txt")), Profdata.Random(61), Profdata.Random(62, functions: 200) })
        {
            string theirs = Encoding.UTF8.GetString(
                Profdata.Merge(folder, "--text", "--convert-sample-profile-layout=flat", Save(folder, "profile", profile)));
            Assert.Equal(theirs, Text(ProfileFlattening.Flatten(profile)));
        }
    }

    [SkippableTheory]
    [InlineData(20_000)]
    [InlineData(12_000)]
    public void TrimsToASizeAsLlvmDoes(int limit)
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        SampleProfile large = new();
        for (uint i = 0; i < 900; i++)
        {
            FunctionSamples function = large.Function($"_ZN3app4task{i}Ev");
            function.AddTotalSamples(i / 2 * 7);
            for (uint line = 0; line < i % 6; line++)
                function.BodyAt(new(line, 0)).AddSamples(i * line);
        }
        string file = Save(folder, "profile", large);
        SampleProfile profile = SampleProfileReader.Load(file);
        int dropped = ProfileTrim.FitInto(profile, limit, SampleProfileFormat.ExtBinary);
        byte[] ours = SampleProfileWriter.ToBytes(profile, SampleProfileFormat.ExtBinary);
        Assert.Equal(Profdata.Merge(folder, "--extbinary", $"--output-size-limit={limit}", file), ours);
        Assert.True(dropped > 0 && ours.Length <= limit);
        Assert.Throws<UserErrorException>(() => ProfileTrim.FitInto(profile, 10, SampleProfileFormat.ExtBinary));
    }

    [SkippableFact]
    public void DensityAndColdFunctionsAreLlvmProfgens()
    {
        Tool.Require("clang-19");
        Tool.Require("llvm-profgen-19");
        using TemporaryFolder folder = new();
        string binary = folder["binary"];
        Tool.Run("clang-19", ["-g", "-o", binary, folder.Write("main.c", "int main(void) { return 0; }")]).Succeeded();
        SampleProfile uneven = new();
        for (uint i = 1; i <= 300; i++)
        {
            FunctionSamples function = uneven.Function($"f{i}");
            function.BodyAt(new(1, 0)).AddSamples(i * i * i);
            function.BodyAt(new(i % 7, 1)).AddSamples(i % 5);
            function.AddTotalSamples(i < 100 ? i : i * i * i);
        }
        foreach (SampleProfile profile in Profiles.Where(static p => !p.IsProbeBased).Append(uneven))
        {
            string printed = Tool.Run("llvm-profgen-19",
                [$"--llvm-sample-profile={Save(folder, "profile", profile)}", $"--binary={binary}", "--show-density", "--trim-cold-profile", "--format=text", $"--output={folder["out"]}"]).Succeeded().Output;
            ProfileTrim.DropBelow(profile, ProfileSummary.Compute(profile).ColdCountThreshold);
            Assert.Equal(File.ReadAllText(folder["out"]), Text(profile));
            Assert.Equal(
                FormattableString.Invariant(
                    $"Functions with density >= {ProfileQuality.Of(profile).Density:F1} account for 99.00% total sample counts.\n"),
                    printed);
        }
    }

    [Fact]
    public void TrimmingDropsFunctionsBelowTheThresholdOnly()
    {
        SampleProfile profile = SampleProfileReader.Load(Profdata.TestData("nested.txt"));
        Assert.Equal(3, ProfileTrim.DropBelow(profile, 91));
        Assert.Equal(["_ZN5queue4pushEi", "main"], profile.Functions.Keys.Order(StringComparer.Ordinal));
    }
}
