using System.Text;
using Perforator.Bytes;
using Perforator.SampleProfiles;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.SampleProfiles;

public sealed class DamagedProfileTests
{
    public static TheoryData<SampleProfileFormat, bool, bool> Formats => new()
    {
        { SampleProfileFormat.Text, false, false },
        { SampleProfileFormat.Text, false, true },
        { SampleProfileFormat.Binary, false, false },
        { SampleProfileFormat.ExtBinary, false, false },
        { SampleProfileFormat.ExtBinary, false, true },
        { SampleProfileFormat.ExtBinary, true, false },
    };

    [Theory]
    [MemberData(nameof(Formats))]
    public void DamageIsReportedOrHarmless(SampleProfileFormat format, bool compressed, bool probes)
    {
        SampleProfile profile = Profdata.Random(3, functions: 40, probes);
        profile.Symbols.UnionWith(["a", "b", "main"]);
        byte[] input = SampleProfileWriter.ToBytes(profile, format, new() { CompressAllSections = compressed });
        DamageSweep.Run(input, static data =>
        {
            // What could be read can be written, shown and summed up as well.
            SampleProfile read = SampleProfileReader.Parse(data);
            SampleProfileWriter.ToBytes(read, SampleProfileFormat.ExtBinary);
            SampleProfileWriter.ToBytes(read, SampleProfileFormat.Text);
        });
    }

    [SkippableTheory]
    [InlineData("--text")]
    [InlineData("--extbinary")]
    public void DamagedContextsAreReportedOrHarmless(string format)
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        byte[] input = Profdata.Merge(folder, format, Profdata.TestData("contexts.txt"));
        DamageSweep.Run(input, static data => SampleProfileWriter.ToBytes(SampleProfileReader.Parse(data), SampleProfileFormat.ExtBinary));
    }

    [Fact]
    public void EndlessInliningIsRefused()
    {
        StringBuilder text = new("main:1:1\n");
        for (int depth = 1; depth < 2000; depth++)
            text.Append(' ', depth).Append("1: f:1\n");
        MalformedInputException error =
            Assert.Throws<MalformedInputException>(() => SampleProfileReader.Parse(Encoding.UTF8.GetBytes(text.ToString())));
        Assert.Contains("levels deep", error.Message);

        ByteWriter binary = new();
        binary.WriteULeb128(BinaryFormat.BinaryMagic);
        binary.WriteULeb128(BinaryFormat.Version);
        binary.WriteBytes(new byte[6]);
        binary.WriteULeb128(1);
        binary.WriteBytes("f\0"u8);
        // Head samples and name, then for ever: total, no body, one callsite at offset 0, name.
        binary.WriteBytes([1, 0]);
        for (int depth = 0; depth < 100_000; depth++)
            binary.WriteBytes([1, 0, 1, 0, 0, 0]);
        error = Assert.Throws<MalformedInputException>(() => SampleProfileReader.Parse(binary.Written));
        Assert.Contains("levels deep", error.Message);
    }

    [Fact]
    public void ADecompressionBombIsRefused()
    {
        SampleProfile profile = new();
        profile.Function("f").AddTotalSamples(1);
        profile.Symbols.Add(new string('x', 40 << 20));
        byte[] bomb = SampleProfileWriter.ToBytes(profile, SampleProfileFormat.ExtBinary, new() { CompressSymbols = true });
        Assert.True(bomb.Length < 1 << 20);
        MalformedInputException error = Assert.Throws<MalformedInputException>(() => SampleProfileReader.Parse(bomb));
        Assert.Contains("more than a file of this size may hold", error.Message);
    }

    [Fact]
    public void LinesInTheWorstOrderStayCheap()
    {
        StringBuilder text = new("f:1:1\n");
        for (int i = 200_000; i > 0; i--)
            text.Append(' ').Append(i & 0xffff).Append('.').Append(i).Append(": 1\n");
        text.Append(" 1: 1 ").Append(string.Concat(Enumerable.Repeat("a:b", 200_000))).Append(":1\n");
        FunctionSamples function = SampleProfileReader.Parse(Encoding.UTF8.GetBytes(text.ToString())).Functions["f"];
        Assert.Equal(200_001, function.Body.Count);
        Assert.Equal(600_000, function.BodyAt(new(1, 0)).CallTargets.Single().Key.Length);
    }
}
