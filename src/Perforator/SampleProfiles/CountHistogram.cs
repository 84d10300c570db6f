namespace Perforator.SampleProfiles;

/// <summary>How often each count occurs. A large profile has millions of counts, most of them small, so those have an array.</summary>
internal sealed class CountHistogram
{
    private readonly uint[] small = new uint[1 << 16];
    private readonly List<ulong> large = [];

    /// <summary>How many counts were added.</summary>
    public uint Number { get; private set; }

    /// <summary>Their sum, modulo 2^64.</summary>
    public ulong Total { get; private set; }

    public void Add(ulong count)
    {
        Number++;
        Total += count;
        if (count < (ulong)small.Length)
            small[count]++;
        else
            large.Add(count);
    }

    /// <summary>Each count with how often it occurs, the highest first.</summary>
    public IEnumerable<(ulong Count, uint Frequency)> Descending()
    {
        large.Sort();
        for (int i = large.Count - 1; i >= 0;)
        {
            ulong count = large[i];
            uint frequency = 0;
            for (; i >= 0 && large[i] == count; i--)
                frequency++;
            yield return (count, frequency);
        }
        for (int count = small.Length - 1; count >= 0; count--)
            if (small[count] != 0)
                yield return ((ulong)count, small[count]);
    }
}
