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

    /// <summary>The share of pages read ahead that are to be touched: one read in vain costs a quarter of what one does that is read by itself.</summary>
    private const double WorthReading = 0.25;

    /// <summary>What the newest observation counts in <see cref="hits"/>.</summary>
    private const double Newest = 0.01;

    /// <summary>By page number.</summary>
    private readonly Dictionary<ulong, Touches> touches = [];
    private readonly List<ulong> candidates = [], likely = [], fresh = [];
    /// <summary>
    /// The share of candidates that the next sample touches, by how many of the seven before did. Of a large table that is looked up at random (zstd's), hundreds of pages have
    /// been touched a few times lately, and hardly any of them are touched next.
    /// </summary>
    private readonly double[] hits = [.. Enumerable.Repeat(1.0, 8)];
    private int samples;

    /// <summary>Page numbers in ascending order.</summary>
    public IReadOnlyList<ulong> Likely => likely;

    /// <summary>Notes what a sample has touched.</summary>
    public void Learn(IReadOnlyCollection<ulong> touched)
    {
        samples++;
        fresh.Clear();
        foreach (ulong page in touched)
        {
            ref Touches known = ref CollectionsMarshal.GetValueRefOrAddDefault(touches, page, out _);
            known = new((byte)(known.At(samples) | Touches.Latest), samples);
            if (known.MakeCandidate(samples))
                fresh.Add(page);
        }
        likely.Clear();
        candidates.RemoveAll(IsOutdated);
        int kept = candidates.Count;
        foreach (ulong page in fresh)
            if (candidates.Count < MaxPages && candidates.BinarySearch(0, kept, page, null) < 0)
            {
                candidates.Add(page);
                ReadIfWorth(page, touches[page].At(samples));
            }
        candidates.Sort();
        likely.Sort();
        if (samples % SweepInterval != 0)
            return;
        foreach ((ulong page, Touches known) in touches)
            if (known.At(samples) == 0)
                touches.Remove(page);
    }

    /// <summary>Notes whether the latest sample touched a candidate, and has it read ahead if that is worth while.</summary>
    /// <returns>Whether it is no candidate any more.</returns>
    private bool IsOutdated(ulong page)
    {
        Touches known = touches[page];
        int history = known.At(samples);
        ref double share = ref hits[Touches.Count(history << 1)];
        share += ((known.Sample == samples ? 1 : 0) - share) * Newest;
        if (!known.MakeCandidate(samples))
            return true;
        ReadIfWorth(page, history);
        return false;
    }

    private void ReadIfWorth(ulong page, int history)
    {
        if (hits[Touches.Count(history)] >= WorthReading)
            likely.Add(page);
    }

    /// <param name="History">One bit for each of the last eight samples, the latest the highest.</param>
    /// <param name="Sample">The number of the latest.</param>
    private readonly record struct Touches(byte History, int Sample)
    {
        public const byte Latest = 0x80;

        private const byte LatestSeven = 0xFE;

        /// <summary>How many samples of a history touched the page; the eighth does not count, which is forgotten when the next is noted.</summary>
        public static int Count(int history) => byte.PopCount((byte)(history & LatestSeven));

        /// <summary>The history as of a later sample, which has not touched it.</summary>
        public int At(int sample) => sample - Sample > 7 ? 0 : History >> (sample - Sample);

        /// <summary>Whether it may be worth reading ahead: touched by the last two samples, or by three of eight.</summary>
        public bool MakeCandidate(int sample) => At(sample) is var history && (history >= 0xC0 || byte.PopCount((byte)history) >= 3);
    }
}
