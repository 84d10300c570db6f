using System.Runtime.CompilerServices;

namespace Perforator.Branches;

/// <summary>
/// Places in a table for two or three numbers together. They depend on secret numbers that every process draws anew, so that nobody can
/// make up some that all collide.
/// </summary>
internal readonly struct AddressHash
{
    private readonly ulong firstSecret;
    private readonly ulong secondSecret;
    private readonly ulong thirdSecret;

    private AddressHash(ulong firstSecret, ulong secondSecret, ulong thirdSecret)
    {
        this.firstSecret = firstSecret;
        this.secondSecret = secondSecret;
        this.thirdSecret = thirdSecret;
    }

    /// <summary>The one that all tables of this process share, so that they merge in the order of places.</summary>
    public static AddressHash OfThisProcess { get; } = Draw();

    /// <summary>
    /// The sum of products with secret odd numbers keeps any two of them apart, but for the odds of chance (multiply-shift hashing); its
    /// lower half is weak, so a last multiplication brings the upper one down to where it is used.
    /// </summary>
    /// <returns>32 bits.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Of(ulong first, ulong second) => Upper(unchecked(first * firstSecret + second * secondSecret));

    /// <inheritdoc cref="Of(ulong, ulong)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Of(ulong first, ulong second, ulong third) =>
        Upper(unchecked(first * firstSecret + second * secondSecret + third * thirdSecret));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Upper(ulong sum) => unchecked((sum ^ sum >> 32) * 0x9E3779B97F4A7C15UL) >> 32;

    /// <summary>Odd numbers. A new GUID is 122 bits of the kernel's randomness, without loading a library of cryptography.</summary>
    private static AddressHash Draw()
    {
        byte[] random = [.. Guid.NewGuid().ToByteArray(), .. Guid.NewGuid().ToByteArray()];
        return new(BitConverter.ToUInt64(random, 0) | 1, BitConverter.ToUInt64(random, 8) | 1, BitConverter.ToUInt64(random, 16) | 1);
    }
}
