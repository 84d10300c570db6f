using System.IO.Compression;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Generation;

namespace Perforator.Server.Demand;

/// <summary>
/// What demand knows of one build of one service: counts of its branches in two halves and, once these agree, of the trickle that came
/// since; how many hosts run it; what a host can record. Its size is bounded: beyond a number of distinct branches only those are kept
/// whose hash ends in so many zeros, which is a sample as good as all for telling overlaps.
/// </summary>
internal sealed class BuildEvidence
{
    private const byte Format = 1;

    /// <summary>Distinct branches kept of a half.</summary>
    private const int MaxDistinct = 100_000;

    /// <summary>Hosts are counted in spans of so many minutes; those of the last and the present one run a build.</summary>
    private static readonly TimeSpan CensusSpan = TimeSpan.FromMinutes(10);

    /// <summary>Seconds of hosts at rate 1 that the mean of what a host can record goes over.</summary>
    private const double MeanOver = 10_000;

    /// <summary>A trickle that differs by this more than chance makes it is of another behaviour.</summary>
    private const double Changed = 0.1;

    /// <summary>How far beyond its expectation chance may carry.</summary>
    private const double ChanceFactor = 1.5;

    private PairCounts one = new(), other = new(), fresh = new();
    private double onesTotal, othersTotal, freshTotal;
    private int level;
    private double own, whole;
    private double recorded, recordedSeconds;
    private HostCensus hosts = new(), hostsBefore = new();
    private long span;
    private bool isExecutable, isSufficient, hasChanged;
    private double overlap;
    private double basis;
    private DateTimeOffset since;

    /// <summary>Takes in what came since it was last looked at.</summary>
    public void Add(PendingBuild pending, DateTimeOffset now)
    {
        if (since == default)
            since = now;
        long present = now.UtcTicks / CensusSpan.Ticks;
        if (present != span)
        {
            hostsBefore = present == span + 1 ? hosts : new HostCensus();
            (hosts, span) = (new HostCensus(), present);
        }
        hosts.Add(pending.Hosts);
        isExecutable |= pending.IsExecutable;
        own += pending.OwnBranches;
        whole += pending.WholeBranches;
        recorded += pending.Recorded;
        recordedSeconds += pending.RecordedSeconds;
        if (recordedSeconds > MeanOver)
            (recorded, recordedSeconds) = (recorded / 2, recordedSeconds / 2);
        if (isSufficient)
        {
            Add(fresh, pending.One);
            Add(fresh, pending.Other);
            freshTotal += pending.OnesTotal + pending.OthersTotal;
        }
        else
        {
            Add(one, pending.One);
            Add(other, pending.Other);
            onesTotal += pending.OnesTotal;
            othersTotal += pending.OthersTotal;
        }
        while (Math.Max(one.Count, Math.Max(other.Count, fresh.Count)) > MaxDistinct)
        {
            level++;
            (one, other, fresh) = (Sample(one), Sample(other), Sample(fresh));
        }
    }

    /// <summary>Decides whether enough is known, and says all that plans are made of.</summary>
    /// <param name="executableBytes">Bytes of code; 0 where the binary is not known.</param>
    public BuildFigures Judge(double executableBytes, DateTimeOffset now)
    {
        if (isSufficient && freshTotal >= basis * BuildFigures.TricklePart)
            Compare(now);
        if (!isSufficient)
            overlap = Convergence.Overlap(one, other);
        HostCensus running = HostCensus.Of(hosts.Bytes);
        running.Add(hostsBefore);
        BuildFigures figures = new()
        {
            Branches = onesTotal + othersTotal,
            Fresh = freshTotal,
            Overlap = overlap,
            Share = whole > 0 ? own / whole : 0,
            ExecutableBytes = executableBytes,
            Hosts = running.Count,
            BranchesPerHostSecond = recordedSeconds > 0 ? recorded / recordedSeconds : 0,
            IsExecutable = isExecutable,
            HasChanged = hasChanged,
        };
        if (!isSufficient && figures.Branches >= Math.Max(BuildFigures.Least, executableBytes) && figures.Branches >= figures.Enough)
            (isSufficient, hasChanged, since, basis) = (true, false, now, figures.Enough);
        return figures with { IsSufficient = isSufficient, HasChanged = hasChanged, Since = since, Basis = basis };
    }

    /// <summary>
    /// Holds the trickle against what is known. Chance makes samples of a and b branches differ by c·√(1/a + 1/b); halves of n branches by
    /// c·√(4/n), which tells c. What differs by more is another behaviour, and the build is new again; else the trickle joins what is
    /// known.
    /// </summary>
    private void Compare(DateTimeOffset now)
    {
        PairCounts known = new();
        known.Merge(one);
        known.Merge(other);
        double total = onesTotal + othersTotal;
        double chance = (1 - overlap) / 2 * Math.Sqrt(total) * Math.Sqrt((1 / freshTotal) + (1 / total));
        if (1 - Convergence.Overlap(fresh, known) > (ChanceFactor * chance) + Changed)
        {
            (one, other, onesTotal, othersTotal, level) = (new(), new(), 0, 0, 0);
            (isSufficient, hasChanged, since, own, whole) = (false, true, now, 0, 0);
        }
        else if (onesTotal <= othersTotal)
        {
            one.Merge(fresh);
            onesTotal += freshTotal;
        }
        else
        {
            other.Merge(fresh);
            othersTotal += freshTotal;
        }
        (fresh, freshTotal) = (new(), 0);
        if (!isSufficient)
            return;
        // Slow changes are followed: what is known has at most the weight of what it took at first and as much again.
        while (onesTotal + othersTotal > 2 * Math.Max(basis, BuildFigures.Least))
        {
            (one, other) = (Halved(one), Halved(other));
            (onesTotal, othersTotal) = (onesTotal / 2, othersTotal / 2);
        }
        overlap = Convergence.Overlap(one, other);
    }

    private void Add(PairCounts to, PairCounts counts)
    {
        if (level == 0)
            to.Merge(counts);
        else
            foreach (PairCount branch in counts.Sorted())
                if (IsKept(branch))
                    to.Add(branch.First, branch.Second, branch.Count);
    }

    private PairCounts Sample(PairCounts counts)
    {
        PairCounts kept = new();
        Add(kept, counts);
        return kept;
    }

    private bool IsKept(in PairCount branch) =>
        (StableHash.Mix(branch.First.Value + (branch.Second.Value * 0x9E3779B97F4A7C15)) & ((1UL << level) - 1)) == 0;

    private static PairCounts Halved(PairCounts counts)
    {
        PairCounts halved = new();
        foreach (PairCount branch in counts.Sorted())
            halved.Add(branch.First, branch.Second, branch.Count / 2);
        return halved;
    }

    /// <summary>What is kept of it.</summary>
    public byte[] Encode()
    {
        ByteWriter writer = new(ByteCount());
        writer.WriteU8(Format);
        writer.WriteU8((byte)((isExecutable ? 1 : 0) | (isSufficient ? 2 : 0) | (hasChanged ? 4 : 0)));
        writer.WriteU8((byte)level);
        writer.WriteU64((ulong)since.UtcTicks);
        writer.WriteU64((ulong)span);
        foreach (double number in (double[])[onesTotal, othersTotal, freshTotal, own, whole, recorded, recordedSeconds, overlap, basis])
            writer.WriteU64(BitConverter.DoubleToUInt64Bits(number));
        writer.WriteBytes(hosts.Bytes);
        writer.WriteBytes(hostsBefore.Bytes);
        foreach (PairCounts counts in (PairCounts[])[one, other, fresh])
            Encode(writer, counts);
        return Deflate(writer.Written);
    }

    /// <summary>One that was kept.</summary>
    /// <exception cref="MalformedInputException">It is damaged, or of another version.</exception>
    public static BuildEvidence Decode(byte[] kept)
    {
        const string What = "demand evidence";
        SpanReader reader = new(Zlib.Decompress(kept, 64 << 20, What), What);
        if (reader.ReadU8() != Format)
            throw new MalformedInputException("unknown format", What, 0);
        byte flags = reader.ReadU8();
        BuildEvidence evidence = new()
        {
            isExecutable = (flags & 1) != 0,
            isSufficient = (flags & 2) != 0,
            hasChanged = (flags & 4) != 0,
            level = reader.ReadU8(),
            since = new DateTimeOffset((long)reader.ReadU64(), TimeSpan.Zero),
            span = (long)reader.ReadU64(),
            onesTotal = Number(ref reader),
            othersTotal = Number(ref reader),
            freshTotal = Number(ref reader),
            own = Number(ref reader),
            whole = Number(ref reader),
            recorded = Number(ref reader),
            recordedSeconds = Number(ref reader),
            overlap = Number(ref reader),
            basis = Number(ref reader),
            hosts = HostCensus.Of(reader.ReadBytes(HostCensus.ByteCount)),
            hostsBefore = HostCensus.Of(reader.ReadBytes(HostCensus.ByteCount)),
        };
        foreach (PairCounts counts in (PairCounts[])[evidence.one, evidence.other, evidence.fresh])
            Decode(ref reader, counts);
        return evidence;

        static double Number(ref SpanReader reader) => BitConverter.UInt64BitsToDouble(reader.ReadU64());
    }

    private static byte[] Deflate(ReadOnlySpan<byte> bytes)
    {
        using MemoryStream output = new();
        using (ZLibStream deflate = new(output, CompressionLevel.Fastest))
            deflate.Write(bytes);
        return output.ToArray();
    }

    private int ByteCount() => 256 + (2 * HostCensus.ByteCount) + (8 * (one.Count + other.Count + fresh.Count));

    private static void Encode(ByteWriter writer, PairCounts counts)
    {
        writer.WriteULeb128((ulong)counts.Count);
        ulong first = 0, second = 0;
        foreach (PairCount branch in counts.Sorted())
        {
            writer.WriteULeb128(branch.First.Value - first);
            long distance = (long)(branch.Second.Value - second);
            writer.WriteULeb128((ulong)((distance << 1) ^ (distance >> 63)));
            writer.WriteULeb128(branch.Count);
            (first, second) = (branch.First.Value, branch.Second.Value);
        }
    }

    private static void Decode(ref SpanReader reader, PairCounts counts)
    {
        ulong first = 0, second = 0, n = reader.ReadULeb128();
        counts.Reserve((int)Math.Min(n, MaxDistinct));
        for (; n > 0; n--)
        {
            first += reader.ReadULeb128();
            ulong distance = reader.ReadULeb128();
            second += (distance >> 1) ^ (0 - (distance & 1));
            counts.Add(new(first), new(second), reader.ReadULeb128());
        }
    }
}
