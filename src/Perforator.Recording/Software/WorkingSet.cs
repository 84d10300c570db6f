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
    private readonly List<ulong> candidates = [], likely = [];
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
        foreach (ulong page in touched)
        {
            ref Touches known = ref CollectionsMarshal.GetValueRefOrAddDefault(touches, page, out _);
            known = new((byte)(known.At(samples) | Touches.Latest), samples);
        }
        foreach (ulong page in candidates)
            Judge(touches[page]);
        candidates.RemoveAll(page => !touches[page].MakeCandidate(samples));
        int kept = candidates.Count;
        foreach (ulong page in touched)
            if (candidates.Count < MaxPages && touches[page].MakeCandidate(samples) && candidates.BinarySearch(0, kept, page, null) < 0)
                candidates.Add(page);
        candidates.Sort();
        likely.Clear();
        foreach (ulong page in candidates)
            if (hits[Touches.Count(touches[page].At(samples))] >= WorthReading)
                likely.Add(page);
        if (samples % SweepInterval != 0)
            return;
        foreach ((ulong page, Touches known) in touches)
            if (known.At(samples) == 0)
                touches.Remove(page);
    }

    /// <summary>Notes whether a page that was a candidate was touched by the latest sample.</summary>
    private void Judge(Touches page)
    {
        ref double share = ref hits[Touches.Count(page.At(samples) << 1)];
        share += ((page.Sample == samples ? 1 : 0) - share) * Newest;
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
