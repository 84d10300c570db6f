using System.Security.Cryptography;
using System.Text;

namespace Perforator.Server.Storage;

/// <summary>
/// A hash of a set of uploads that does not depend on their order and adds up: that of two sets without common members is the sum of
/// theirs. So a sum of uploads tells what is in it without a list of them, and a selection has the same hash before and after its uploads
/// were added up.
/// </summary>
/// <remarks>
/// The SHA-512 of each upload's id, added modulo 2^512 (Bellare and Micciancio's AdHash), with the number of members beside it.
/// </remarks>
public sealed class UploadSetHash
{
    private const int Length = 64;
    private readonly byte[] sum = new byte[Length];

    /// <summary>How many uploads are in it.</summary>
    public long Count { get; private set; }

    /// <summary>Adds one upload.</summary>
    /// <param name="hash">The hash of its content.</param>
    public void Add(string hash) => Add(SHA512.HashData(Encoding.ASCII.GetBytes(hash)), 1);

    /// <summary>Adds all uploads of another set.</summary>
    /// <param name="bytes">Its <see cref="ToBytes"/>.</param>
    /// <param name="count">Its <see cref="Count"/>.</param>
    public void Add(ReadOnlySpan<byte> bytes, long count)
    {
        int carry = 0;
        for (int i = 0; i < Length; i++)
        {
            carry += sum[i] + bytes[i];
            sum[i] = (byte)carry;
            carry >>= 8;
        }
        Count += count;
    }

    /// <summary>The sum, to be stored and added elsewhere.</summary>
    public byte[] ToBytes() => [.. sum];

    /// <summary>Identifies the set: SHA-256 in lower-case hexadecimal.</summary>
    public override string ToString() => Convert.ToHexStringLower(SHA256.HashData([.. sum, .. BitConverter.GetBytes(Count)]));
}
