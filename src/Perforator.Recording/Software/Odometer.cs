using System.Diagnostics;
using Perforator.Recording.Interpreter;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>What an <see cref="Odometer"/> says.</summary>
/// <param name="Speed">Branches a microsecond.</param>
/// <param name="Variance">
/// Of the words' logarithms of it. They agree where a path is like what runs while they are watched, ten times as long; a stretch that counts something else than what follows (lzip,
/// skipping what a long match covers) makes some words too slow and others too quick.
/// </param>
internal readonly record struct OdometerReading(double Speed, double Variance);

/// <summary>
/// Tells how quick a thread is that nobody disturbs: by counters in its own memory, read while it runs. Interpreting its path shows which words of memory go up or down steadily
/// and by how much a branch (counters of rows, positions in buffers, statistics); how far they get in a while says how many branches
/// that while had. A stop would tell no more than how quick the thread is after a stop, with cold caches.
/// </summary>
internal sealed unsafe class Odometer
{
    /// <summary>Words watched at most, in all and of one page: a buffer being filled is to leave room for others.</summary>
    private const int MaxWords = 192, MaxWordsOfPage = 32;

    private const int Readings = 4;

    /// <summary>Words apart that words may be to be read along with what is between them, which is cheaper than reading each by itself.</summary>
    private const int WidestGap = 64;

    private const int MaxRead = MaxWords * WidestGap;

    /// <summary>Branches on a path; fewer tell nothing.</summary>
    private const int FewestBranches = 200;

    /// <summary>A word is to change by so much on the path: it may be counted once too often or too seldom.</summary>
    private const long LeastChange = 3;

    /// <summary>A word that changes by more per branch is no counter but was overwritten, as those of a hash table are; to read so many of them would cost more than the others.</summary>
    private const long MostPerBranch = 64;

    /// <summary>A word that changes by more on the path is hardly counting: what it does between is not known.</summary>
    private const double MostCounted = 300;

    /// <summary>How often as much a word may change per microsecond in one interval between readings as in another.</summary>
    private const double Tolerance = 3;

    /// <summary>Branches a microsecond that are believed, and instructions: no CPU does more than some four in a cycle for long.</summary>
    private const double Slowest = 10, QuickestInstructions = 20_000;

    /// <summary>From its being let go until a thread is about as quick as before.</summary>
    private static readonly TimeSpan WarmUp = TimeSpan.FromMicroseconds(100);

    private static readonly TimeSpan Interval = TimeSpan.FromMicroseconds(150);

    private readonly double[] slopes = new double[MaxWords], speeds = new double[MaxWords], weights = new double[MaxWords];
    /// <summary>Where each of the words is in what a reading reads.</summary>
    private readonly int[] positions = new int[MaxWords];
    private readonly int[] values = new int[MaxRead * Readings];
    private readonly long[] times = new long[Readings];
    /// <summary>The stretches of memory that the words are in.</summary>
    private readonly IoVector[] remote = new IoVector[MaxWords];
    /// <summary>How many words, stretches, and words' length of all stretches.</summary>
    private int words, stretches, length, branchesOnPath;
    private int readings;
    private double quickest;
    private long since;
    private TimeSpan pause;

    /// <summary>How long until the next reading.</summary>
    public TimeSpan Due => pause - Stopwatch.GetElapsedTime(since);

    /// <summary>Looks for counters on a path that was interpreted, to be called when the thread runs again.</summary>
    /// <param name="memory">As it is at the path's end.</param>
    /// <param name="branches">Taken on the path.</param>
    /// <param name="instructionsPerBranch">Of the path.</param>
    /// <returns>Whether there are any.</returns>
    public bool Begin(MemorySnapshot memory, int branches, double instructionsPerBranch)
    {
        quickest = QuickestInstructions / instructionsPerBranch;
        (words, stretches, length, readings, branchesOnPath) = (0, 0, 0, 0, branches);
        if (branches < FewestBranches)
            return false;
        ulong page = 0;
        int most = 0;
        foreach (WrittenGranule granule in memory.WrittenGranules())
        {
            if (granule.Address >> MemorySnapshot.PageShift is var number && number != page)
                (page, most) = (number, Math.Min(words + MaxWordsOfPage, MaxWords));
            int last = -WidestGap;
            ReadOnlySpan<int> before = granule.Before, after = granule.After;
            for (int i = 0; words < most && (i += after[i..].CommonPrefixLength(before[i..])) < after.Length; i++)
            {
                // Modulo 2^32, as the low halves of 64-bit counters and pointers overflow.
                int change = after[i] - before[i];
                if (Math.Abs((long)change) < LeastChange || Math.Abs((long)change) > MostPerBranch * branches)
                    continue;
                int gap = i - last;
                if (gap >= WidestGap)
                {
                    remote[stretches++] = new() { Base = (nint)granule.Address + (i * sizeof(int)) };
                    gap = 1;
                }
                remote[stretches - 1].Length += gap * sizeof(int);
                length += gap;
                last = i;
                positions[words] = length - 1;
                slopes[words++] = change / (double)branches;
            }
        }
        (since, pause) = (Stopwatch.GetTimestamp(), WarmUp);
        return words > 0;
    }

    /// <summary>Reads the counters if that is due.</summary>
    /// <returns>Whether the last reading is done, or none is possible any more.</returns>
    public bool Read(int processId)
    {
        if (Due > TimeSpan.Zero)
            return false;
        long before = Stopwatch.GetTimestamp();
        fixed (int* into = &values[readings * MaxRead])
        fixed (IoVector* from = remote)
        {
            IoVector local = new() { Base = (nint)into, Length = length * sizeof(int) };
            if (process_vm_readv(processId, &local, 1, from, (ulong)stretches, 0) != local.Length)
            {
                words = 0;
                return true;
            }
        }
        (since, pause) = (Stopwatch.GetTimestamp(), Interval);
        times[readings++] = before + ((since - before) / 2);
        return readings == Readings;
    }

    /// <summary>
    /// Branches a microsecond from the first reading to the last: the median of the words that have gone on steadily, each with what it counted on the path for a weight, as it may have
    /// counted once too often or too seldom. Null where none has, as when all have started anew meanwhile or the thread has not run.
    /// </summary>
    public OdometerReading? Speed()
    {
        if (readings < Readings)
            return null;
        int steady = 0;
        for (int word = 0; word < words; word++)
        {
            double least = double.MaxValue, most = 0;
            for (int i = 1; i < Readings; i++)
            {
                double speed = Between(word, i - 1, i);
                (least, most) = (Math.Min(least, speed), Math.Max(most, speed));
            }
            double all = Between(word, 0, Readings - 1);
            if (least > 0 && most <= Tolerance * least && all >= Slowest && all <= quickest)
            {
                double change = Math.Abs(slopes[word] * branchesOnPath);
                weights[steady] = change <= MostCounted ? change : 1;
                speeds[steady++] = all;
            }
        }
        if (steady == 0)
            return null;
        Array.Sort(speeds, weights, 0, steady);
        double total = 0, logarithms = 0, squares = 0;
        for (int i = 0; i < steady; i++)
        {
            double logarithm = Math.Log(speeds[i] / speeds[0]);
            total += weights[i];
            logarithms += weights[i] * logarithm;
            squares += weights[i] * logarithm * logarithm;
        }
        double rest = total / 2, mean = logarithms / total;
        int median = 0;
        while (median < steady - 1 && (rest -= weights[median]) > 0)
            median++;
        return new(speeds[median], Math.Max(0, (squares / total) - (mean * mean)));
    }

    private double Between(int word, int first, int last) =>
        (values[(last * MaxRead) + positions[word]] - values[(first * MaxRead) + positions[word]]) / slopes[word] / Stopwatch.GetElapsedTime(times[first], times[last]).TotalMicroseconds;
}
