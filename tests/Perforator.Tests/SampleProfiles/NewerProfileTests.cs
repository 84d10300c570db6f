using System.Text;
using Perforator.Bytes;
using Perforator.SampleProfiles;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.SampleProfiles;

/// <summary>
/// What LLVM 20 to 23 added: virtual tables seen at calls, marks, versions and flags; understood and kept, or refused by name.
/// </summary>
public sealed class NewerProfileTests
{
    private static string Text(SampleProfile profile) =>
        Encoding.UTF8.GetString(SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Text));

    private static SampleProfile Parse(string text) => SampleProfileReader.Parse(Encoding.UTF8.GetBytes(text));

    [Fact]
    public void Virtual_tables_are_read_and_written_as_LLVM_22_does()
    {
        string text = File.ReadAllText(Profdata.TestData("vtables.txt"));
        byte[] theirs = File.ReadAllBytes(Profdata.TestData("vtables.ext"));
        Assert.Equal(text, Text(Parse(text)));
        Assert.Equal(text, Text(SampleProfileReader.Parse(theirs)));
        Assert.Equal(theirs, SampleProfileWriter.ToBytes(Parse(text), SampleProfileFormat.ExtBinary));
        Assert.Contains("vtableTypeProf", SampleProfileReader.DescribeSections(theirs));
        Assert.Equal("foo:10:1\n 0: 10\nbar:7:2\n 1: 7\n 2: 3 foo:3\n", Text(SampleProfileReader.Load(Profdata.TestData("vt22.ext"))));
    }

    [Fact]
    public void Virtual_tables_add_up_flatten_and_hash_like_the_calls_they_are_of()
    {
        SampleProfile profile =
            Parse("main:4000:100\n 1: 100\n 3: 900 area:600 scale:300\n 3: <vt-call> vtable_Circle:600 vtable_Square:300\n");
        SampleProfile sum = new();
        sum.Merge(profile, 1, new LossCounts());
        sum.Merge(profile, 2, new LossCounts());
        Assert.Equal(
            "main:12000:300\n 1: 300\n 3: 2700 area:1800 scale:900\n 3: <vt-call> vtable_Circle:1800 vtable_Square:900\n", Text(sum));
        Assert.Contains($" 3: <vt-call> {FunctionNameHash.Of("vtable_Circle")}:600", Text(Md5Names.Of(profile)));
        Assert.Contains(" 3: <vt-call> vtable_Circle:600 vtable_Square:300", Text(ProfileFlattening.Flatten(profile)));
        using TemporaryFolder folder = new();
        string shown = Tool.Cli("profile", "show", folder.Write("p.txt", Text(profile))).Succeeded().Output;
        Assert.Contains("  3: vtables: vtable_Circle:600 vtable_Square:300 \n", shown);
        Assert.DoesNotContain("inlined callee", shown);
    }

    [Fact]
    public void A_function_marked_flat_stays_so() =>
        Assert.Equal("foo:10:1\n 0: 10\n !CFGChecksum: 12\n !Flat\nbar:5:1\n 0: 5\n !CFGChecksum: 0\n",
            Text(Parse("foo:10:1\n 0: 10\n !CFGChecksum: 12\n !Flat\nbar:5:1\n 0: 5\n")));

    [Theory]
    [InlineData(0x67, 105, 0, "version 105, of an LLVM newer")]
    [InlineData(0x67, 104, 0, null)]
    [InlineData(0x67, 103, 8, "SecFlagEytzinger")]
    public void What_is_newer_still_is_refused_by_name(byte version, byte newVersion, byte nameTableFlag, string? says)
    {
        byte[] bytes = SampleProfileWriter.ToBytes(Parse("foo:10:1\n 0: 10\n"), SampleProfileFormat.ExtBinary);
        int at = Array.IndexOf(bytes, version);
        bytes[at] = newVersion;
        // Behind the version: the number of sections, then type, flags, offset and size of each; the second one is the name table.
        bytes[at + 1 + 8 + 32 + 8 + 4] |= nameTableFlag;
        if (says is null)
            Assert.Equal("foo:10:1\n 0: 10\n", Text(SampleProfileReader.Parse(bytes)));
        else
            Assert.Contains(says, Assert.Throws<MalformedInputException>(() => SampleProfileReader.Parse(bytes)).What);
    }

    [Fact]
    public void Damaged_profiles_with_virtual_tables_are_refused_or_read() =>
        DamageSweep.Run(File.ReadAllBytes(Profdata.TestData("vtables.ext")), bytes => SampleProfileReader.Parse(bytes), damages: 800);

    [Fact]
    public void Damaged_text_with_virtual_tables_is_refused_or_read() =>
        DamageSweep.Run(File.ReadAllBytes(Profdata.TestData("vtables.txt")), bytes => SampleProfileReader.Parse(bytes), damages: 800);
}
