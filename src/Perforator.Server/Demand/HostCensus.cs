using System.Numerics;

namespace Perforator.Server.Demand;

/// <summary>
/// Counts distinct hosts in 2 KB, whoever hears of them and however often: each host has one of M bits, by the hash of its name, and of H
/// hosts a share of e^(-H/M) of the bits stays clear. So H is estimated as M · ln(M / clear bits), to 1 or 2 % up to 50,000 hosts. Unions
/// are counts of both.
/// </summary>
internal sealed class HostCensus
{
    private const int Bits = 16_384;

    private readonly byte[] bits;

    public HostCensus() => bits = new byte[Bits / 8];

    private HostCensus(byte[] bits) => this.bits = bits;

    /// <summary>Length of <see cref="Bytes"/>.</summary>
    public const int ByteCount = Bits / 8;

    /// <summary>What is kept of it.</summary>
    public ReadOnlySpan<byte> Bytes => bits;

    /// <summary>One that was kept.</summary>
    public static HostCensus Of(ReadOnlySpan<byte> kept) => new(kept.ToArray());

    /// <summary>Counts a host, given the hash of its name.</summary>
    public void Add(ulong hash) => bits[hash % Bits / 8] |= (byte)(1 << (int)(hash % 8));

    /// <summary>Counts the hosts that another has counted.</summary>
    public void Add(HostCensus other)
    {
        for (int i = 0; i < bits.Length; i++)
            bits[i] |= other.bits[i];
    }

    /// <summary>How many hosts there are.</summary>
    public long Count
    {
        get
        {
            int clear = Bits;
            foreach (byte some in bits)
                clear -= BitOperations.PopCount(some);
            return (long)Math.Round(Bits * Math.Log(Bits / (double)Math.Max(1, clear)));
        }
    }
}

/// <summary>Hashes that are the same in every process, for what servers have to agree upon.</summary>
internal static class StableHash
{
    /// <summary>FNV-1a over the characters of all parts, mixed once more as its upper bits are weak.</summary>
    public static ulong Of(params ReadOnlySpan<string> parts)
    {
        ulong hash = 14695981039346656037;
        foreach (string part in parts)
        {
            foreach (char c in part)
                hash = (hash ^ c) * 1099511628211;
            hash = (hash ^ 0x1F) * 1099511628211;
        }
        return Mix(hash);
    }

    /// <summary>The mixing of splitmix64: every bit of the result depends on every bit given.</summary>
    public static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }

    /// <summary>A hash as a number from 0 to below 1.</summary>
    public static double Share(ulong hash) => (hash >> 11) * (1.0 / (1UL << 53));
}
