using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Perforator.Server.Telemetry;

/// <summary>What the server counts about itself, and the activities of its traces; docs/operation.md lists both.</summary>
internal static class ServerMetrics
{
    /// <summary>The name of the meter and of the source of activities.</summary>
    public const string Name = "Perforator.Server";

    /// <summary>Activities: ingest, generate, compact, collect.</summary>
    public static readonly ActivitySource Activities = new(Name);

    private static readonly Meter Meter = new(Name);

    private static readonly Counter<long> Uploads = Count("perforator.uploads", "Profiles acknowledged, by outcome: added or duplicate.");
    private static readonly Counter<long> RefusedUploads = Count("perforator.uploads.refused", "Profiles not taken, by reason.");
    private static readonly Counter<long> UploadBytes = Count("perforator.upload.size", "Bytes of profiles added.", "By");
    private static readonly Histogram<double> UploadDuration = Time(
        "perforator.upload.duration", "From a profile's first byte to its acknowledgement.",
        [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 20, 60]);

    private static readonly Counter<long> AuthFailures =
        Count("perforator.auth.failures", "Requests of callers who are unknown, may not, or ask too often.");
    private static readonly Counter<long> Binaries = Count("perforator.binaries", "Binaries taken.");
    private static readonly Counter<long> BinaryBytes = Count("perforator.binary.size", "Bytes of binaries taken.", "By");
    private static readonly Counter<long> Generations =
        Count("perforator.generations", "Generation tasks ended, by outcome: done, failed or returned.");
    private static readonly Histogram<double> GenerationDuration = Time(
        "perforator.generation.duration", "Time that a generation task took.", [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]);

    private static readonly Counter<long> Blocks = Count("perforator.compaction.blocks", "Sums of an hour or a day that were made.");
    private static readonly Counter<long> BlockUploads =
        Count("perforator.compaction.uploads", "Uploads that were added up into sums for the first time.");
    private static readonly Counter<long> BlockBytes = Count("perforator.compaction.size", "Bytes of sums made.", "By");
    private static readonly Counter<long> ForgottenUploads =
        Count("perforator.collection.uploads", "Uploads forgotten because of their age.");
    private static readonly Counter<long> CollectedObjects =
        Count("perforator.collection.objects", "Objects deleted that nothing named any more.");
    private static readonly Counter<long> CollectedBytes = Count("perforator.collection.size", "Bytes of objects deleted.", "By");
    private static readonly Counter<long> UncountedForDemand = Count(
        "perforator.demand.uncounted",
        "Builds of uploads and of hosts that counted for no demand, by what there was too much of: branches or builds.");

    private static double compactedAt;
    private static double collectedAt;

    private static Counter<long> Count(string name, string description, string? unit = null) =>
        Meter.CreateCounter<long>(name, unit, description);

    private static Histogram<double> Time(string name, string description, double[] bounds) =>
        Meter.CreateHistogram(name, "s", description, advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = bounds });

    /// <summary>A profile was acknowledged.</summary>
    /// <param name="bytes">Its length.</param>
    /// <param name="duration">From its first byte.</param>
    public static void Uploaded(bool duplicate, long bytes, TimeSpan duration)
    {
        Uploads.Add(1, new KeyValuePair<string, object?>("outcome", duplicate ? "duplicate" : "added"));
        if (!duplicate)
            UploadBytes.Add(bytes);
        UploadDuration.Record(duration.TotalSeconds);
    }

    /// <summary>A profile was not taken.</summary>
    public static void Refused(string reason) => RefusedUploads.Add(1, new KeyValuePair<string, object?>("reason", reason));

    /// <summary>What came of a build counts for no demand, as too much waits to be added to what is known.</summary>
    /// <param name="of">What there is too much of.</param>
    public static void NotCountedForDemand(string of) => UncountedForDemand.Add(1, new KeyValuePair<string, object?>("reason", of));

    /// <summary>A caller was turned away.</summary>
    public static void AuthFailed(string reason) => AuthFailures.Add(1, new KeyValuePair<string, object?>("reason", reason));

    /// <summary>A binary was taken.</summary>
    public static void BinaryTaken(long bytes)
    {
        Binaries.Add(1);
        BinaryBytes.Add(bytes);
    }

    /// <summary>A generation task has ended, one way or the other.</summary>
    public static void Generated(string outcome, TimeSpan duration)
    {
        Generations.Add(1, new KeyValuePair<string, object?>("outcome", outcome));
        GenerationDuration.Record(duration.TotalSeconds);
    }

    /// <summary>A block was made.</summary>
    /// <param name="uploads">How many uploads lay alone before.</param>
    /// <param name="bytes">The block's length.</param>
    public static void Compacted(long uploads, long bytes)
    {
        Blocks.Add(1);
        BlockUploads.Add(uploads);
        BlockBytes.Add(bytes);
    }

    /// <summary>All that could be added up has been.</summary>
    public static void CompactionEnded(DateTimeOffset now) => Volatile.Write(ref compactedAt, Seconds(now));

    /// <summary>Uploads were forgotten because of their age.</summary>
    public static void Forgot(long uploads) => ForgottenUploads.Add(uploads);

    /// <summary>An object was deleted.</summary>
    public static void Collected(long bytes)
    {
        CollectedObjects.Add(1);
        CollectedBytes.Add(bytes);
    }

    /// <summary>All that could be collected has been.</summary>
    public static void CollectionEnded(DateTimeOffset now) => Volatile.Write(ref collectedAt, Seconds(now));

    /// <summary>When adding up and collecting last went through, in seconds since 1970; 0 for never.</summary>
    public static (double Compaction, double Collection) LastSuccess => (Volatile.Read(ref compactedAt), Volatile.Read(ref collectedAt));

    /// <summary>A time as Prometheus has them: seconds since 1970.</summary>
    public static double Seconds(DateTimeOffset time) => time.ToUnixTimeMilliseconds() / 1e3;
}
