using Perforator.Bytes;

namespace Perforator.Tests.Bytes;

/// <summary>A column's numbers are those that <see cref="SpanReader"/> reads, in words or byte by byte, and so are its refusals.</summary>
public sealed class Leb128ColumnTests
{
    [Fact]
    public void Columns_hold_the_numbers_that_single_reads_give()
    {
        Random random = new(5);
        for (int round = 0; round < 500; round++)
        {
            List<byte> bytes = [];
            for (int n = random.Next(40); n > 0; n--)
                Append(bytes, random);
            // Cut off, ending in numbers without an end, or with bits beyond 64.
            if (round % 3 == 1)
                bytes = [.. bytes.Take(bytes.Count - random.Next(3))];
            if (round % 3 == 2)
                bytes.AddRange(Enumerable.Repeat((byte)0xff, random.Next(12)));
            byte[] data = [.. bytes];
            SpanReader one = new(data, "numbers");
            Leb128Column column = new(data, "numbers");
            while (true)
            {
                (ulong? expected, string? refusal) = Single(ref one);
                (ulong? read, string? refused) = Column(ref column);
                Assert.Equal((expected, refusal), (read, refused));
                if (expected is null)
                    break;
                Assert.Equal(one.AtEnd, column.AtEnd);
            }
        }
    }

    /// <summary>A number of any length, sometimes with more bytes than it needs.</summary>
    private static void Append(List<byte> bytes, Random random)
    {
        ulong value = random.NextInt64() is var bits && random.Next(2) == 0 ? (ulong)bits >> random.Next(64) : (ulong)random.Next(200);
        if (random.Next(20) == 0)
            value = ulong.MaxValue;
        for (; value >= 0x80; value >>= 7)
            bytes.Add((byte)(value | 0x80));
        bytes.Add((byte)value);
        if (random.Next(20) != 0)
            return;
        bytes[^1] |= 0x80;
        bytes.AddRange(Enumerable.Repeat((byte)0x80, random.Next(12)));
        bytes.Add(0);
    }

    private static (ulong? Value, string? Refusal) Single(ref SpanReader reader)
    {
        try
        {
            return (reader.ReadULeb128(), null);
        }
        catch (MalformedInputException e)
        {
            return (null, e.Message);
        }
    }

    private static (ulong? Value, string? Refusal) Column(ref Leb128Column column)
    {
        try
        {
            return (column.Read(), null);
        }
        catch (MalformedInputException e)
        {
            return (null, e.Message);
        }
    }
}
