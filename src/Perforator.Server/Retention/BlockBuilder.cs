using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Perforator.Branches;
using Perforator.Server.Results;
using Perforator.Server.Storage;
using Perforator.Server.Telemetry;

namespace Perforator.Server.Retention;

/// <summary>
/// Adds uploads up into blocks: those of an hour once it is over, the hours of a day once that is over, and what comes late once more. No
/// answer changes by it, as a block has a part for each set of labels.
/// </summary>
internal sealed class BlockBuilder
{
    private const int Batch = 200;

    private readonly ServerStorage storage;
    private readonly ProfileReader reader;
    private readonly TimeProvider time;
    private readonly TimeSpan quiet;

    /// <param name="settings">Says how long an hour that is over is left alone, for agents that send late.</param>
    public BlockBuilder(ServerStorage storage, ProfileReader reader, ServerSettings settings, TimeProvider time)
    {
        this.storage = storage;
        this.reader = reader;
        this.time = time;
        quiet = settings.CompactAfter;
    }

    /// <summary>Builds what blocks can be built by now.</summary>
    /// <returns>How many were.</returns>
    public async Task<int> RunAsync(CancellationToken stop)
    {
        int built = 0;
        foreach (bool days in (bool[])[false, true])
        {
            DateTimeOffset before = time.GetUtcNow() - quiet;
            foreach (OpenPeriod open in await storage.Profiles.ListOpenPeriodsAsync(days, before, Batch, stop))
                if (open.LatestReceived <= before && await TryBuildAsync(open, stop))
                    built++;
        }
        return built;
    }

    /// <summary>What is wrong with one service's period holds up no other.</summary>
    private async Task<bool> TryBuildAsync(OpenPeriod open, CancellationToken stop)
    {
        try
        {
            return await BuildAsync(open.Service, open.Period, stop);
        }
        catch (Exception e) when (e is not (OperationCanceledException or StorageAwayException))
        {
            storage.Log.LogError(
                e, "the uploads of {Service} in {Period} could not be added up; it is tried again", open.Service, open.Period.Start);
            return false;
        }
    }

    /// <summary>Adds up what there is of one period. False when it changed meanwhile, or cannot be read; it stays as it was then.</summary>
    public async Task<bool> BuildAsync(string service, BlockPeriod period, CancellationToken stop)
    {
        using Activity? activity = ServerMetrics.Activities.StartActivity("compact");
        activity?.SetTag("perforator.service", service).SetTag("perforator.period", period.Start);
        ProfileSelection selection = await storage.Profiles.SelectPeriodAsync(service, period, stop);
        SortedDictionary<string, Sum> sums = new(StringComparer.Ordinal);
        List<string> uploads = [];
        await foreach ((SelectedPiece piece, BranchProfileSet? set) in reader.LoadAsync(
            SelectedPiece.AllOf(selection.Uploads, selection.Parts), stop))
        {
            if (set is null && piece.Part is { } damaged)
            {
                await storage.Profiles.DissolveAsync(damaged.Object, stop);
                return false;
            }
            // An upload that cannot be read stays outside, until it is sent again.
            if (set is null)
                continue;
            Sum sum = SumOf(piece.Labels);
            sum.Add(set, piece.Start, piece.End);
            if (piece.Part is { } part)
            {
                sum.Uploads.Add(part.Set.ToBytes(), part.Set.Count);
                continue;
            }
            sum.Uploads.Add(piece.Upload!.Hash);
            uploads.Add(piece.Upload.Hash);
        }
        if (sums.Count == 0)
            return false;

        using MemoryStream content = new();
        List<NewPart> parts = [];
        UploadSetHash all = new();
        foreach (Sum sum in sums.Values)
        {
            byte[] encoded = BranchProfileCodec.Encode(sum.Set);
            parts.Add(new NewPart(sum.Set.Labels, content.Length, encoded.Length, sum.Uploads, sum.Start, sum.End));
            all.Add(sum.Uploads.ToBytes(), sum.Uploads.Count);
            content.Write(encoded);
        }
        NewBlock block = new(
            service, period, $"{all}-{(period.IsDay ? "day" : "hour")}", content.Length, parts, uploads,
            [.. selection.Parts.Select(static part => part.Object).Distinct()]);
        await storage.Objects.PutAsync(ObjectKeys.Block(block.Hash), content.ToArray(), stop);
        if (!await storage.Profiles.ReplaceAsync(block, stop))
            return false;
        ServerMetrics.Compacted(uploads.Count, block.Bytes);
        return true;

        Sum SumOf(IReadOnlyDictionary<string, string> labels)
        {
            string key = string.Join('\n', labels);
            if (!sums.TryGetValue(key, out Sum? sum))
                sums.Add(key, sum = new Sum(labels));
            return sum;
        }
    }

    /// <summary>A part that is being added up.</summary>
    private sealed class Sum
    {
        public Sum(IReadOnlyDictionary<string, string> labels)
        {
            foreach ((string name, string value) in labels)
                Set.Labels[name] = value;
        }

        public BranchProfileSet Set { get; } = new();

        public UploadSetHash Uploads { get; } = new();

        public DateTimeOffset Start { get; private set; } = DateTimeOffset.MaxValue;

        public DateTimeOffset End { get; private set; } = DateTimeOffset.MinValue;

        public void Add(BranchProfileSet set, DateTimeOffset start, DateTimeOffset end)
        {
            foreach (BranchProfile profile in set.Profiles.Values)
                Set.Add(profile);
            Set.Losses.Merge(set.Losses);
            Set.TotalSamples = set.TotalSamples > ulong.MaxValue - Set.TotalSamples ? ulong.MaxValue : Set.TotalSamples + set.TotalSamples;
            Start = start < Start ? start : Start;
            End = end > End ? end : End;
            (Set.Start, Set.End) = (Start, End);
        }
    }
}
