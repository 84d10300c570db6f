using System.Runtime.InteropServices;

namespace Perforator.Recording.Software;

/// <summary>
/// The pages a thread touched in its latest samples, which it mostly touches in the next as well: read all at once they cost a fraction
/// of what they cost one by one.
/// </summary>
internal sealed class WorkingSet
{
    /// <summary>More pages than this are not worth reading on suspicion.</summary>
    private const int MaxPages = 192;

    /// <summary>After so many samples, pages that were not touched for long are forgotten.</summary>
    private const int SweepInterval = 64;

    /// <summary>By page number.</summary>
    private readonly Dictionary<ulong, Touches> touches = [];
    private readonly List<ulong> likely = [];
    private int samples;

    /// <summary>Page numbers in ascending order.</summary>
    public IReadOnlyList<ulong> Likely => likely;

    /// <summary>Notes what a sample has touched.</summary>
    public void Learn(IReadOnlyCollection<ulong> touched)
    {
        samples++;
        foreach (ulong page in touched)
        {
            ref Touches known = ref CollectionsMarshal.GetValueRefOrAddDefault(touches, page, out _);
            known = new((byte)(known.At(samples) | Touches.Latest), samples);
        }
        likely.RemoveAll(page => !touches[page].MakeLikely(samples));
        int kept = likely.Count;
        foreach (ulong page in touched)
            if (likely.Count < MaxPages && touches[page].MakeLikely(samples) && likely.BinarySearch(0, kept, page, null) < 0)
                likely.Add(page);
        likely.Sort();
        if (samples % SweepInterval != 0)
            return;
        foreach ((ulong page, Touches known) in touches)
            if (known.At(samples) == 0)
                touches.Remove(page);
    }

    /// <param name="History">One bit for each of the last eight samples, the latest the highest.</param>
    /// <param name="Sample">The number of the latest.</param>
    private readonly record struct Touches(byte History, int Sample)
    {
        public const byte Latest = 0x80;

        /// <summary>The history as of a later sample, which has not touched it.</summary>
        public int At(int sample) => sample - Sample > 7 ? 0 : History >> (sample - Sample);

        /// <summary>Whether it is to be read ahead: touched by the last two samples, or by three of eight.</summary>
        public bool MakeLikely(int sample) => At(sample) is var history && (history >= 0xC0 || byte.PopCount((byte)history) >= 3);
    }
}
