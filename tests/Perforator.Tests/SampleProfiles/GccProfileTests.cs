using System.Text;
using Perforator.Bytes;
using Perforator.SampleProfiles;
using Perforator.SampleProfiles.Gcc;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.SampleProfiles;

/// <summary>GCC's AFDO profiles: what is written is read back, byte for byte as gcc/auto-profile.cc has it.</summary>
public sealed class GccProfileTests
{
    private static SampleProfile Parse(string text) => SampleProfileReader.Parse(Encoding.UTF8.GetBytes(text));

    private static string Text(SampleProfile profile) =>
        Encoding.UTF8.GetString(SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Text));

    private static byte[] Gcc(SampleProfile profile, int gcc) =>
        SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Gcc, new() { GccVersion = gcc });

    [Theory]
    [InlineData(12)]
    [InlineData(15)]
    [InlineData(16)]
    public void What_is_written_is_read_back(int gcc)
    {
        // Totals, which GCC's format has not, are here what the reader sums up.
        SampleProfile profile = Parse(
            """
            main:20:3
             0: 3
             2.5: 7 f:4 g:3
             65535: 1
             4: inner:9
              1.65535: 9
            f:4:4
             1: 4

            """);
        byte[] bytes = Gcc(profile, gcc);
        Assert.Equal(SampleProfileFormat.Gcc, SampleProfileReader.Detect(bytes));
        Assert.Equal(Text(profile), Text(SampleProfileReader.Parse(bytes)));
        Assert.Equal(bytes, Gcc(SampleProfileReader.Parse(bytes), gcc));
    }

    [Fact]
    public void Version_2_is_to_the_byte_what_GCC_reads()
    {
        SpanReader reader = new(Gcc(Parse("f:5:2\n 3.1: 5 g:4\n"), 12), "test");
        Assert.Equal([0x67636461, 2, 0, 0xaa000000], new[] { reader.ReadU32(), reader.ReadU32(), reader.ReadU32(), reader.ReadU32() });
        SpanReader names = reader.Slice(reader.ReadU32(), "names");
        Assert.Equal(3u, names.ReadU32());
        foreach (string name in new[] { "", "f", "g" })
        {
            Assert.Equal((uint)name.Length + 1, names.ReadU32());
            Assert.Equal(name, names.ReadCString());
        }
        Assert.True(names.AtEnd);
        Assert.Equal(0xac000000, reader.ReadU32());
        SpanReader functions = reader.Slice(reader.ReadU32(), "functions");
        Assert.Equal(1u, functions.ReadU32());
        Assert.Equal(2ul, functions.ReadU64()); // head
        Assert.Equal([1u, 1u, 0u], new[] { functions.ReadU32(), functions.ReadU32(), functions.ReadU32() }); // name, positions, callsites
        Assert.Equal([3u << 16 | 1, 1u], new[] { functions.ReadU32(), functions.ReadU32() });
        Assert.Equal(5ul, functions.ReadU64());
        Assert.Equal(7u, functions.ReadU32());
        Assert.Equal([2ul, 4ul], new[] { functions.ReadU64(), functions.ReadU64() });
        Assert.True(functions.AtEnd);
        Assert.Equal([0xae000000, 0u, 0u], new[] { reader.ReadU32(), reader.ReadU32(), reader.ReadU32() });
        Assert.True(reader.AtEnd);
    }

    [Fact]
    public void Version_3_begins_with_the_summary_and_has_file_indices_and_timestamps()
    {
        SpanReader reader = new(Gcc(Parse("f:5:2\n 3: 5\n"), 16), "test");
        Assert.Equal([0x67636461, 3, 0, 0xa8000000], new[] { reader.ReadU32(), reader.ReadU32(), reader.ReadU32(), reader.ReadU32() });
        Assert.Equal(
            [5ul, 5, 2, 1, 1, 16],
            new[] { reader.ReadU64(), reader.ReadU64(), reader.ReadU64(), reader.ReadU64(), reader.ReadU64(), reader.ReadU64() });
        reader.Skip(16 * 20);
        Assert.Equal(0xaa000000, reader.ReadU32());
        SpanReader names = reader.Slice(reader.ReadU32(), "names");
        Assert.Equal([0u, 2, 1], new[] { names.ReadU32(), names.ReadU32(), names.ReadU32() });
        names.Skip(1);
        Assert.Equal([uint.MaxValue, 2], new[] { names.ReadU32(), names.ReadU32() });
        Assert.Equal("f", names.ReadCString());
        Assert.Equal(uint.MaxValue, names.ReadU32());
        Assert.Equal(0xac000000, reader.ReadU32());
        reader.Skip(4);
        Assert.Equal(1u, reader.ReadU32());
        Assert.Equal([2ul, 0], new[] { reader.ReadU64(), reader.ReadU64() });
    }

    [Fact]
    public void Names_are_as_GCC_looks_them_up_and_what_then_is_one_function_adds_up()
    {
        SampleProfile read = SampleProfileReader.Parse(Gcc(Parse(
            """
            f:5:2
             1: 5 g.constprop.0:4
            f.isra.0:3:1
             1: 1 g:1
             2: g.part.0:2
              1: 2

            """), 15));
        Assert.Equal("f:8:3\n 1: 6 g:5\n 2: g:2\n  1: 2\n", Text(read));
    }

    /// <summary>The functions of a file of version 2 as GCC up to 15 has them: of those of one name the last.</summary>
    private static Dictionary<string, (ulong Head, ulong Total)> AsGccReadsThem(byte[] file)
    {
        SpanReader reader = new(file, "test");
        reader.Skip(16);
        SpanReader section = reader.Slice(reader.ReadU32(), "names");
        string[] names = new string[section.ReadU32()];
        for (int i = 0; i < names.Length; i++)
        {
            section.Skip(4);
            names[i] = section.ReadCString();
        }
        reader.Skip(4);
        section = reader.Slice(reader.ReadU32(), "functions");
        Dictionary<string, (ulong, ulong)> functions = [];
        for (uint left = section.ReadU32(); left > 0; left--)
        {
            ulong head = section.ReadU64();
            string name = names[section.ReadU32()];
            functions[name] = (head, Total(ref section));
        }
        Assert.True(section.AtEnd);
        return functions;

        static ulong Total(ref SpanReader function)
        {
            uint positions = function.ReadU32(), callsites = function.ReadU32();
            ulong total = 0;
            for (; positions > 0; positions--)
            {
                function.Skip(4);
                uint targets = function.ReadU32();
                total += function.ReadU64();
                function.Skip(20 * targets);
            }
            for (; callsites > 0; callsites--)
            {
                function.Skip(8);
                total += Total(ref function);
            }
            return total;
        }
    }

    [Fact]
    public void Up_to_GCC_15_functions_have_their_inlined_copies_besides_and_are_read_back_without()
    {
        SampleProfile profile = Parse(
            """
            f:21:2
             1: 5
             2: g:16
              1: 7
              3: h:9
               1: 9
            g:4:3
             1: 4

            """);
        byte[] file = Gcc(profile, 15);
        Assert.Equal(new() { ["f"] = (2, 21), ["g"] = (3 + 7, 16 + 4), ["h"] = (9, 9) }, AsGccReadsThem(file));
        Assert.Equal(Text(profile), Text(SampleProfileReader.Parse(file)));
        // GCC 16 adds them up itself.
        Assert.Equal(Text(profile), Text(SampleProfileReader.Parse(Gcc(profile, 16))));
    }

    [Fact]
    public void A_function_that_ran_was_entered()
    {
        SampleProfile read = SampleProfileReader.Parse(Gcc(Parse("loop:5:0\n 1: 5\nidle:0:0\n 1: 0\n"), 15));
        Assert.Equal(1ul, read.Functions["loop"].HeadSamples);
        Assert.Equal(0ul, read.Functions["idle"].HeadSamples);
    }

    [Fact]
    public void What_GCC_cannot_hold_is_counted()
    {
        LossCounts losses = new();
        byte[] bytes = GccProfileWriter.ToBytes(Parse("f:12:2\n 1: 5\n 2.70000: 7\n"), 15, losses);
        Assert.Equal(7ul, losses[GccProfile.TooFar]);
        Assert.Equal("f:5:2\n 1: 5\n", Text(SampleProfileReader.Parse(bytes)));
    }

    [Fact]
    public void Profiles_that_GCC_cannot_use_are_refused()
    {
        SampleProfile probes = Parse("f:5:2\n 1: 5\n !CFGChecksum: 12\n"), hashes = Parse("f:5:2\n 1: 5\n");
        hashes = SampleProfileReader.Parse(SampleProfileWriter.ToBytes(hashes, SampleProfileFormat.ExtBinary, new() { Md5Names = true }));
        Assert.Contains("pseudo probes", Assert.Throws<UserErrorException>(() => Gcc(probes, 15)).Message);
        Assert.Contains("--use-md5", Assert.Throws<UserErrorException>(() => Gcc(hashes, 15)).Message);
        Assert.Contains("GCC 11 reads another format", Assert.Throws<UserErrorException>(() => Gcc(Parse("f:1:1\n 1: 1\n"), 11)).Message);
    }

    [Theory]
    [InlineData(15)]
    [InlineData(16)]
    public void Damage_is_reported_or_harmless(int gcc) =>
        DamageSweep.Run(Gcc(Profdata.Random(3, functions: 12, probes: false), gcc), static data =>
        {
            SampleProfile read = SampleProfileReader.Parse(data);
            SampleProfileWriter.ToBytes(read, SampleProfileFormat.Text);
            GccProfileWriter.ToBytes(read, 16);
        });

    [Fact]
    public void Counter_files_of_instrumented_PGO_are_told_apart()
    {
        // "adcg", the version of gcov 12 ("B22*") and a stamp.
        byte[] gcda = [.. "adcg*22B"u8, 1, 2, 3, 4];
        Assert.Contains("instrumented PGO", Assert.Throws<MalformedInputException>(() => SampleProfileReader.Parse(gcda)).Message);
    }
}
