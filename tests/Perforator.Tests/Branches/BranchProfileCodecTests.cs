using System.IO.Compression;
using Google.Protobuf;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Branches;

public class BranchProfileCodecTests
{
    private static BranchProfileSet Sample(int seed = 1, int branches = 200)
    {
        Random random = new(seed);
        BranchProfileSet set = new()
        {
            Start = DateTimeOffset.Parse("2026-03-01T10:00:00.123456Z"),
            End = DateTimeOffset.Parse("2026-03-01T10:01:00Z"),
            TotalSamples = 1234,
        };
        set.Labels["service"] = "search";
        set.Labels["host"] = "node-1";
        set.Losses.Add("sample of a process without known mappings", 3);
        foreach (string id in (string[])["bb01", "aa02"])
        {
            BranchProfile profile =
                new(BuildId.Parse(id), "/opt/" + id) { Samples = 17, BranchEntries = 200, AddressSamples = 5, ExactAddressSamples = 3 };
            for (int i = 0; i < branches; i++)
            {
                ulong from = 0x1000 + (ulong)random.Next(0x10000), to = 0x1000 + (ulong)random.Next(0x10000);
                profile.AddBranch(new(from), new(to), (ulong)random.NextInt64(1, 1L << 40), (ulong)random.Next(2));
                profile.AddRange(new(Math.Min(from, to)), new(Math.Max(from, to)), 7);
                profile.AddTrace(
                    new(from), new(to), new(to + (ulong)random.Next(0x100)), (ulong)random.Next(1, 1000), (ulong)random.Next(2));
                profile.Addresses.Add(new(from), default, 1);
            }
            profile.AddTrace(BinaryAddress.External, new(0x1000), new(0x1000), ulong.MaxValue, ulong.MaxValue);
            profile.AddTrace(new(0x2000), new(0xffff_ffff_ffff_fffe), new(0xffff_ffff_ffff_fffe), 1);
            profile.AddBranch(BinaryAddress.External, new(0x1000), 5);
            profile.AddBranch(new(0xffff_ffff_8100_0000), BinaryAddress.External, ulong.MaxValue);
            profile.Losses.Add(BranchAggregator.BogusRange, 4);
            set.Profiles.Add(profile.BuildId, profile);
        }
        return set;
    }

    private static void AssertSame(BranchProfileSet expected, BranchProfileSet actual)
    {
        Assert.Equal(expected.Labels, actual.Labels);
        Assert.Equal((expected.Start, expected.End, expected.TotalSamples), (actual.Start, actual.End, actual.TotalSamples));
        Assert.Equal(expected.Losses.ByReason, actual.Losses.ByReason);
        Assert.Equal(expected.Profiles.Keys, actual.Profiles.Keys);
        foreach ((BuildId id, BranchProfile profile) in expected.Profiles)
        {
            BranchProfile other = actual.Profiles[id];
            Assert.Equal((profile.Path, profile.Samples, profile.BranchEntries), (other.Path, other.Samples, other.BranchEntries));
            Assert.Equal((profile.AddressSamples, profile.ExactAddressSamples), (other.AddressSamples, other.ExactAddressSamples));
            Assert.Equal(profile.Traces(), other.Traces());
            Assert.Equal(profile.UnpairedRanges.Sorted(), other.UnpairedRanges.Sorted());
            Assert.Equal(profile.Branches.Sorted(), other.Branches.Sorted());
            Assert.Equal(profile.Ranges.Sorted(), other.Ranges.Sorted());
            Assert.Equal(profile.Addresses.Sorted(), other.Addresses.Sorted());
            Assert.Equal(profile.Losses.ByReason, other.Losses.ByReason);
        }
    }

    [Fact]
    public void Decoding_gives_back_what_was_encoded_and_the_bytes_do_not_depend_on_order()
    {
        BranchProfileSet set = Sample();
        byte[] encoded = BranchProfileCodec.Encode(set);
        BranchProfileSet decoded = BranchProfileCodec.Decode(encoded);
        AssertSame(set, decoded);
        Assert.Equal(encoded, BranchProfileCodec.Encode(decoded));
        Assert.Equal(64, BranchProfileCodec.ContentHash(encoded).Length);

        BranchProfileSet reordered = new() { Start = set.Start, End = set.End, TotalSamples = set.TotalSamples };
        foreach ((string name, string value) in set.Labels.Reverse())
            reordered.Labels[name] = value;
        reordered.Losses.Merge(set.Losses);
        foreach (BranchProfile profile in set.Profiles.Values.Reverse())
        {
            BranchProfile copy = new(profile.BuildId, profile.Path);
            foreach (TraceCount trace in profile.Traces().Reverse())
                copy.AddTrace(trace.From, trace.To, trace.End, trace.Count, trace.Mispredicted);
            foreach (PairCount range in profile.UnpairedRanges.Sorted().Reverse())
                copy.AddRange(range.First, range.Second, range.Count);
            copy.Addresses.Merge(profile.Addresses);
            (copy.Samples, copy.BranchEntries) = (profile.Samples, profile.BranchEntries);
            (copy.AddressSamples, copy.ExactAddressSamples) = (profile.AddressSamples, profile.ExactAddressSamples);
            copy.Losses.Merge(profile.Losses);
            reordered.Add(copy);
        }
        Assert.Equal(encoded, BranchProfileCodec.Encode(reordered));
    }

    [Fact]
    public void An_empty_set_and_hostile_texts_survive()
    {
        AssertSame(new BranchProfileSet(), BranchProfileCodec.Decode(BranchProfileCodec.Encode(new BranchProfileSet())));

        BranchProfileSet set = new();
        set.Labels["host"] = "a\nb\u001b[31m" + '\ud800';
        set.Add(new BranchProfile(BuildId.Parse("aa"), new string('x', 5000)));
        BranchProfileSet decoded = BranchProfileCodec.Decode(BranchProfileCodec.Encode(set));
        Assert.Equal("a\ufffdb\ufffd[31m\ufffd", decoded.Labels["host"]);
        Assert.Equal(4096, decoded.Profiles[BuildId.Parse("aa")].Path.Length);
    }

    [Fact]
    public void Truncation_is_always_seen()
    {
        byte[] encoded = BranchProfileCodec.Encode(Sample(branches: 20));
        for (int length = 0; length < encoded.Length; length++)
            Assert.Throws<MalformedInputException>(() => BranchProfileCodec.Decode(encoded.AsSpan(0, length)));
        Assert.Throws<MalformedInputException>(() => BranchProfileCodec.Decode([.. encoded, 0]));
    }

    [Fact]
    public void Damaged_files_are_refused_or_mean_the_same()
    {
        BranchProfileSet set = Sample(branches: 20);
        byte[] encoded = BranchProfileCodec.Encode(set);
        Random random = new(7);
        for (int i = 0; i < 5000; i++)
        {
            byte[] damaged = (byte[])encoded.Clone();
            damaged[random.Next(damaged.Length)] ^= (byte)random.Next(1, 256);
            try
            {
                AssertSame(set, BranchProfileCodec.Decode(damaged));
            }
            catch (MalformedInputException)
            {
            }
        }
    }

    /// <summary>The message itself, checksum aside: whatever comes in, only a refusal or a set that can be encoded comes out.</summary>
    [Fact]
    public void Damaged_messages_are_refused_or_mean_another_set()
    {
        byte[] message = BranchProfileMessage.Encode(Sample(branches: 20));
        Random random = new(8);
        int refused = 0, accepted = 0;
        for (int i = 0; i < 20_000; i++)
        {
            byte[] damaged = (byte[])message.Clone();
            for (int flips = random.Next(1, 4); flips > 0; flips--)
                damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            if (random.Next(4) == 0)
                damaged = damaged[..random.Next(damaged.Length)];
            try
            {
                BranchProfileSet set = Decode(damaged);
                AssertSame(set, Decode(BranchProfileMessage.Encode(set)));
                accepted++;
            }
            catch (MalformedInputException)
            {
                refused++;
            }
        }
        Assert.True(refused > 1000 && accepted > 100, $"{refused} refused, {accepted} accepted");
    }

    private static BranchProfileSet Decode(byte[] message) => BranchProfileMessage.Decode(message, BranchProfileCodec.DefaultMaxRows);

    private static void AssertRefused(Action<Perforator.Branches.Wire.BranchProfileSet> change, string expected)
    {
        var message = Perforator.Branches.Wire.BranchProfileSet.Parser.ParseFrom(BranchProfileMessage.Encode(Sample(branches: 3)));
        change(message);
        MalformedInputException e = Assert.Throws<MalformedInputException>(() => Decode(message.ToByteArray()));
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Inconsistent_messages_are_refused_with_the_reason()
    {
        AssertRefused(m => m.Profiles[0].Branches.Rows = ulong.MaxValue, "truncated");
        AssertRefused(m => m.Profiles[0].Branches.Rows--, "rows declared");
        AssertRefused(m => m.Profiles[0].Ranges = null, "missing");
        AssertRefused(m => m.Profiles[0].Addresses.Second = ByteString.CopyFrom(1), "rows declared");
        AssertRefused(m => m.Profiles[0].Traces.Rows = ulong.MaxValue, "truncated");
        AssertRefused(m => m.Profiles[0].Traces.Rows--, "rows declared");
        AssertRefused(m => Trace(m).From = ByteString.CopyFrom(5, 0), "out of order");
        AssertRefused(m => Trace(m).To = ByteString.CopyFrom(11, 8), "impossible range");
        AssertRefused(m => Trace(m).Count = ByteString.CopyFrom(1, 0), "impossible counts");
        AssertRefused(m => Trace(m).Mispredicted = ByteString.CopyFrom(1, 2), "impossible counts");
        AssertRefused(m => m.Profiles[0].BuildId = ByteString.Empty, "build id");
        AssertRefused(m => m.Profiles[1].BuildId = m.Profiles[0].BuildId, "occurs twice");
        AssertRefused(m => m.Labels[1].Name = m.Labels[0].Name, "occurs twice");
        AssertRefused(m => m.Labels[0].Name = "../etc", "not a label name");
        AssertRefused(m => m.Labels[0].Value = "a\nb", "control characters");
        AssertRefused(m => m.Profiles[0].Path = new string('x', 4097), "more than 4096");
        AssertRefused(m => m.EndUnixMicros = 0, "ends before");
        AssertRefused(m => m.EndUnixMicros = ulong.MaxValue, "9999");
        AssertRefused(m => m.Losses[0].Count = 0, "without a count");
    }

    /// <summary>Two traces in the place of a message's own: 5→9…11 and 6→10…12.</summary>
    private static Perforator.Branches.Wire.TraceColumns Trace(Perforator.Branches.Wire.BranchProfileSet message) => message.Profiles[0].Traces = new()
    {
        Rows = 2,
        From = ByteString.CopyFrom(5, 1),
        To = ByteString.CopyFrom(8, 8),
        Length = ByteString.CopyFrom(2, 2),
        Count = ByteString.CopyFrom(1, 1),
    };

    /// <summary>A file of the time before there were traces, written by commit 2fb6200 from this very content.</summary>
    [Fact]
    public void Files_without_traces_are_read_and_written_the_same()
    {
        byte[] old = Convert.FromBase64String(
            "UEZCUkFOQ0gBAAAAAQAAAGsAAAAAAAAAawAAAAAAAACvnxlaDJVOQTUTpW/24YitDyNUNyJCkTgEDfbBLTfICHic4xLkYi9OLSrLTE4VYitOTSxKzl"
            + "BgNgrhYlrFJMStn19Qog8RlGBW4DRS5GAW4t2gILD//n8IYJRikY+/5KDEzMzKqMXMwMRgxc/BJMS8QIFDislBQImJmdGJk4NRiGmCghIjMwBZwRqX");
        BranchProfileSet set = BranchProfileCodec.Decode(old);
        BranchProfile profile = Assert.Single(set.Profiles.Values);
        BinaryAddress external = BinaryAddress.External;
        Assert.Equal(
            [new(new(0x1030), new(0x1020), 3, 0), new(new(0x1040), new(0x1010), 5, 2), new(external, new(0x1028), 1, 0)],
            profile.Branches.Sorted());
        Assert.Equal([new(new(0x1020), new(0x1040), 3, 0), new(new(0x1028), new(0x1030), 1, 0)], profile.Ranges.Sorted());
        Assert.Equal(profile.Ranges.Sorted(), profile.UnpairedRanges.Sorted());
        Assert.Equal(BranchProfileCodec.ContentHash(old), BranchProfileCodec.ContentHash(BranchProfileCodec.Encode(set)));

        // And adds up with newer ones.
        profile.AddTrace(new(0x1030), new(0x1020), new(0x1040), 4, 1);
        Assert.Equal(new PairCount(new(0x1030), new(0x1020), 7, 1), profile.Branches.Sorted()[0]);
        Assert.Equal(new PairCount(new(0x1020), new(0x1040), 7, 0), profile.Ranges.Sorted()[0]);
        AssertSame(set, BranchProfileCodec.Decode(BranchProfileCodec.Encode(set)));
    }

    [Theory]
    [InlineData(new byte[] { 5, 0 }, new byte[] { 8, 8 }, new byte[] { 1, 1 }, "out of order")]
    [InlineData(new byte[] { 5, 1 }, new byte[] { 8, 1 }, new byte[] { 1, 1 }, "impossible addresses")]
    [InlineData(new byte[] { 5, 1 }, new byte[] { 8, 8 }, new byte[] { 1, 0 }, "impossible counts")]
    public void Ranges_that_cannot_be_are_refused(byte[] first, byte[] second, byte[] count, string expected)
    {
        Perforator.Branches.Wire.PairColumns columns = new()
        {
            Rows = 2,
            First = ByteString.CopyFrom(first),
            Second = ByteString.CopyFrom(second),
            Count = ByteString.CopyFrom(count),
        };
        MalformedInputException e =
            Assert.Throws<MalformedInputException>(() => PairColumnsCodec.Decode(columns, PairKind.Ranges, (_, _, _, _) => { }));
        Assert.Contains(expected, e.Message, StringComparison.Ordinal);
    }

    /// <summary>What a newer agent says besides is kept in the bytes, whose hash is the set's identity, and counted.</summary>
    [Fact]
    public void Fields_of_a_newer_version_are_counted_and_change_nothing_else()
    {
        BranchProfileSet set = Sample(branches: 20);
        var message = Perforator.Branches.Wire.BranchProfileSet.Parser.ParseFrom(BranchProfileMessage.Encode(set));
        // In the set a text under 1000 and a fixed64 under 1001; in a profile a number and a fixed32.
        byte[] newer = [.. message.ToByteArray(), 0xc2, 0x3e, 2, (byte)'h', (byte)'i', 0xc9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8];
        message = Perforator.Branches.Wire.BranchProfileSet.Parser.ParseFrom(newer);
        byte[] inner = [.. message.Profiles[0].ToByteArray(), 0xc0, 0x3e, 7, 0xcd, 0x3e, 1, 2, 3, 4];
        message.Profiles[0] = Perforator.Branches.Wire.BranchProfile.Parser.ParseFrom(inner);
        BranchProfileSet decoded = Decode(message.ToByteArray());
        Assert.Equal(4UL, decoded.Losses[BranchProfileMessage.UnknownField]);
        set.Losses.Add(BranchProfileMessage.UnknownField, 4);
        AssertSame(set, decoded);
    }

    /// <summary>Columns of equal bytes shrink a thousandfold, and grow fortyfold in memory.</summary>
    [Fact]
    public void More_rows_or_parts_than_are_accepted_are_refused_before_they_take_memory()
    {
        long before = GC.GetTotalAllocatedBytes();
        byte[] bomb = Bomb(rows: 5_000_000);
        Assert.True(bomb.Length < 40_000);
        long made = GC.GetTotalAllocatedBytes() - before;
        MalformedInputException error = Assert.Throws<MalformedInputException>(() => BranchProfileCodec.Decode(bomb, maxRows: 1_000_000));
        Assert.True(error.IsTooLarge);
        Assert.Contains("at most 1000000 are accepted", error.Message, StringComparison.Ordinal);
        Assert.True(GC.GetTotalAllocatedBytes() - before - made < 100 << 20, "much was allocated for what was refused");

        // Two bytes for a label, a loss or a profile each.
        foreach (byte field in (byte[])[0x0a, 0x2a, 0x32])
        {
            byte[] parts = new byte[4_000_000];
            for (int i = 0; i < parts.Length; i += 2)
                parts[i] = field;
            Assert.True(Assert.Throws<MalformedInputException>(() => BranchProfileMessage.Decode(parts, 1_000_000)).IsTooLarge);
        }
    }

    /// <summary>A set of one binary with so many rows, each of the same bytes.</summary>
    internal static byte[] Bomb(int rows)
    {
        byte[] ones = new byte[rows];
        Array.Fill(ones, (byte)1);
        Perforator.Branches.Wire.PairColumns Columns(int n) => new()
        {
            Rows = (ulong)n,
            First = ByteString.CopyFrom(ones, 0, n),
            Count = ByteString.CopyFrom(ones, 0, n),
        };
        Perforator.Branches.Wire.BranchProfileSet message = new() { StartUnixMicros = 1, EndUnixMicros = 2, TotalSamples = 1 };
        message.Labels.Add(new Perforator.Branches.Wire.Label { Name = "service", Value = "search" });
        message.Profiles.Add(new Perforator.Branches.Wire.BranchProfile
        {
            BuildId = ByteString.CopyFrom(0xaa, 0x01),
            Samples = 1,
            Branches = new(),
            Ranges = new(),
            Addresses = Columns(rows),
        });
        return BranchProfileCodec.Enclose(message.ToByteArray());
    }

    [Fact]
    public void A_decompression_bomb_is_refused_by_its_declared_size()
    {
        using MemoryStream output = new();
        using (ZLibStream compressor = new(output, CompressionLevel.SmallestSize, leaveOpen: true))
            compressor.Write(new byte[32 << 20]);
        byte[] bomb = [.. BranchProfileCodec.Encode(new BranchProfileSet()).AsSpan(0, 64), .. output.ToArray()];
        BitConverter.GetBytes(output.Length).CopyTo(bomb, 16);
        BitConverter.GetBytes(32L << 20).CopyTo(bomb, 24);
        Assert.Contains(
            "at most", Assert.Throws<MalformedInputException>(() => BranchProfileCodec.Decode(bomb, 1 << 20)).Message,
            StringComparison.Ordinal);
        BitConverter.GetBytes(100L).CopyTo(bomb, 24);
        Assert.Contains(
            "decompresses to more than 100 bytes",
            Assert.Throws<MalformedInputException>(() => BranchProfileCodec.Decode(bomb, 1 << 20)).Message, StringComparison.Ordinal);
        BitConverter.GetBytes(200L << 20).CopyTo(bomb, 24);
        Assert.Contains(
            "cannot hold", Assert.Throws<MalformedInputException>(() => BranchProfileCodec.Decode(bomb)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Files_are_written_whole_and_errors_name_them()
    {
        using TemporaryFolder folder = new();
        BranchProfileSet set = Sample();
        BranchProfileCodec.Write(folder["a.branches"], set);
        Assert.Equal(["a.branches"], Directory.GetFiles(folder.Path).Select(Path.GetFileName));
        AssertSame(set, BranchProfileCodec.Load(folder["a.branches"]));

        Assert.Contains(
            folder["none"], Assert.Throws<UserErrorException>(() => BranchProfileCodec.Load(folder["none"])).Message,
            StringComparison.Ordinal);
        folder.Write("text", "hello");
        Assert.Contains(
            "not a branch profile file", Assert.Throws<UserErrorException>(() => BranchProfileCodec.Load(folder["text"])).Message,
            StringComparison.Ordinal);
    }
}
