using System.Buffers.Binary;

namespace Perforator.Tests.Infrastructure;

/// <summary>Makes damaged copies of valid inputs, the same ones for the same seed. Shared by the tests and eng/fuzz.</summary>
internal static class InputDamage
{
    /// <summary>Values that sizes, counts and offsets go wrong at.</summary>
    private static readonly ulong[] Extremes =
        [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, ulong.MaxValue];

    /// <summary>
    /// A copy with one to four pieces of damage: bits, bytes, extreme numbers, runs copied, cut out or doubled, a cut end.
    /// </summary>
    public static byte[] Damage(ReadOnlySpan<byte> input, Random random)
    {
        byte[] copy = input.ToArray();
        Span<byte> number = stackalloc byte[8];
        for (int pieces = 1 + random.Next(4); pieces > 0 && copy.Length > 0; pieces--)
        {
            int at = Position(copy.Length, random);
            switch (random.Next(10))
            {
                case 0 or 1 or 2:
                    copy[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 3 or 4:
                    copy[at] = (byte)random.Next(256);
                    break;
                case 5 or 6:
                    BinaryPrimitives.WriteUInt64LittleEndian(number, Extremes[random.Next(Extremes.Length)]);
                    number[..Math.Min(1 << random.Next(4), copy.Length - at)].CopyTo(copy.AsSpan(at));
                    break;
                case 7:
                    int length = Math.Min(1 + random.Next(64), copy.Length - at);
                    copy.AsSpan(Position(copy.Length - length + 1, random), length).CopyTo(copy.AsSpan(at));
                    break;
                case 8:
                    int end = Math.Min(copy.Length, at + 1 + random.Next(64));
                    copy = random.Next(2) == 0 ? [.. copy[..at], .. copy[end..]] : [.. copy[..end], .. copy[at..]];
                    break;
                default:
                    copy = copy[..at];
                    break;
            }
        }
        return copy;
    }

    /// <summary>Headers decide most, so the first bytes are hit more often than the rest.</summary>
    private static int Position(int length, Random random) => random.Next(random.Next(2) == 0 ? Math.Min(length, 256) : length);
}
