using System.Runtime.CompilerServices;

namespace Perforator.Branches;

/// <summary>
/// Places in a table for pairs of numbers. They depend on secret numbers that every process draws anew, so that nobody can make up
/// pairs that all collide.
/// </summary>
internal readonly struct AddressHash
{
    private readonly ulong firstSecret;
    private readonly ulong secondSecret;

    private AddressHash(ulong firstSecret, ulong secondSecret)
    {
        this.firstSecret = firstSecret;
        this.secondSecret = secondSecret;
    }

    /// <summary>The one that all tables of this process share, so that they merge in the order of places.</summary>
    public static AddressHash OfThisProcess { get; } = Draw();

    /// <summary>
    /// The sum of products with secret odd numbers keeps any two pairs apart, but for the odds of chance (multiply-shift hashing); its
    /// lower half is weak, so a last multiplication brings the upper one down to where it is used.
    /// </summary>
    /// <returns>32 bits.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Of(ulong first, ulong second)
    {
        ulong sum = unchecked(first * firstSecret + second * secondSecret);
        return unchecked((sum ^ sum >> 32) * 0x9E3779B97F4A7C15UL) >> 32;
    }

    /// <summary>Two odd numbers. A new GUID is 122 bits of the kernel's randomness, without loading a library of cryptography.</summary>
    private static AddressHash Draw()
    {
        byte[] random = Guid.NewGuid().ToByteArray();
        return new(BitConverter.ToUInt64(random, 0) | 1, BitConverter.ToUInt64(random, sizeof(ulong)) | 1);
    }
}
