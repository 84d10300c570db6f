using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Http;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Server.Http;
using Perforator.Server.Storage;

namespace Perforator.Server.Results;

/// <summary>Which of a service's profiles a request is about, and which these are by now.</summary>
/// <param name="Selector">Service and conditions.</param>
/// <param name="Span">The span of time.</param>
/// <param name="Days">What the index knows of them, by binary, day and labels.</param>
/// <param name="Profiles">What has to be added up.</param>
/// <param name="Uploads">The uploads in it.</param>
internal sealed record SelectedProfiles(
    ServiceSelector Selector, TimeSpanFilter Span, IReadOnlyList<BuildDay> Days, ProfileSelection Profiles, UploadSetHash Uploads)
{
    /// <summary>The service.</summary>
    public string Service => Selector.Service;
}

/// <summary>Some uploads of one set of labels that end on one day, added up.</summary>
/// <param name="Set">Their sum, or the one.</param>
/// <param name="Day">The day.</param>
/// <param name="Labels">The labels.</param>
/// <param name="Uploads">How many.</param>
/// <param name="Start">Start of the earliest.</param>
/// <param name="End">End of the latest.</param>
internal readonly record struct ReadProfiles(
    BranchProfileSet Set, DateOnly Day, IReadOnlyDictionary<string, string> Labels, long Uploads, DateTimeOffset Start, DateTimeOffset End);

/// <summary>An upload, or a part of a block: what is read as one.</summary>
internal readonly record struct SelectedPiece(SelectedUpload? Upload, SelectedPart? Part)
{
    /// <summary>Uploads, and parts behind them.</summary>
    public static SelectedPiece[] AllOf(IEnumerable<SelectedUpload> uploads, IEnumerable<SelectedPart> parts) =>
        [.. uploads.Select(
            static upload => new SelectedPiece(upload, null)), .. parts.Select(static part => new SelectedPiece(null, part))];

    /// <summary>Its labels.</summary>
    public IReadOnlyDictionary<string, string> Labels => Part?.Labels ?? Upload!.Labels;

    /// <summary>How many uploads it is.</summary>
    public long Uploads => Part?.Set.Count ?? 1;

    /// <summary>Start of the earliest.</summary>
    public DateTimeOffset Start => Part?.Start ?? Upload!.Start;

    /// <summary>End of the latest.</summary>
    public DateTimeOffset End => Part?.End ?? Upload!.End;

    /// <summary>Where its bytes are.</summary>
    public ObjectSlice Place => Part is { } part ? new ObjectSlice(part.Object, part.Offset, part.Length) : Upload!.Place;
}

/// <summary>Some of what was selected turned out to be damaged, and is noted as such: whoever selects again gets what is whole.</summary>
internal sealed class DamageFoundException(string message) : IOException(message);

/// <summary>Selects profiles and reads them, whether they lie alone or in sums.</summary>
internal sealed class ProfileReader
{
    /// <summary>
    /// How many fetches are under way at once for one sum and CPU: a store far away answers each in some milliseconds, whatever its size.
    /// </summary>
    private const int MaxAhead = 16;

    /// <summary>How many bytes of them lie in memory.</summary>
    private const long MaxBytesAhead = 8 << 20;

    /// <summary>How many bytes one fetch has, but for a piece that has more by itself.</summary>
    private const long MaxBytesAtOnce = 1 << 20;

    /// <summary>How many bytes between two pieces of an object are fetched with them, as they cost no more than one fetch more.</summary>
    private const long MaxBytesBetween = 1 << 17;

    /// <summary>Counted as often as an upload cannot be read.</summary>
    public const string Unreadable = "stored profile that can no longer be read";

    private readonly ServerStorage storage;

    public ProfileReader(ServerStorage storage) => this.storage = storage;

    /// <summary>Selects what a request asks for.</summary>
    /// <exception cref="ApiException">No such service, or nothing of it that fits.</exception>
    public async Task<SelectedProfiles> SelectAsync(string service, PgoRequest request, CancellationToken stop)
    {
        ServiceSelector selector = SelectorOf(service, request.Selector);
        IReadOnlyList<BuildDay> all = await storage.Profiles.ListBuildDaysAsync(service, stop);
        if (all.Count == 0)
            throw new UnknownServiceException(service);
        List<BuildDay> days = [.. all.Where(day => selector.Matches(day.Labels))];
        if (days.Count == 0)
            throw ApiException.NotFound(
                $"service {service} has no profiles that {selector.Conditions} selects; its labels are: {Labels(all)}");
        TimeSpanFilter span = SpanOf(request, days.Max(static day => day.LastSeen));
        days = [.. days.Where(day => !(day.LastSeen < span.Since) && !(day.FirstSeen >= span.Until))];
        ProfileSelection selection = await storage.Profiles.SelectAsync(service, span, stop);
        selection = new ProfileSelection(
            [.. selection.Uploads.Where(upload => selector.Matches(upload.Labels))],
            [.. selection.Parts.Where(part => selector.Matches(part.Labels))]);
        UploadSetHash uploads = new();
        // One that is damaged counts once it is sent again: then the selection is another.
        foreach (SelectedUpload upload in selection.Uploads)
            if (!upload.IsDamaged)
                uploads.Add(upload.Hash);
        foreach (SelectedPart part in selection.Parts)
            uploads.Add(part.Set.ToBytes(), part.Set.Count);
        if (uploads.Count != 0)
            return new SelectedProfiles(selector, span, days, selection, uploads);
        throw selection.Uploads.Count == 0
            ? ApiException.NotFound($"service {service} has no profiles in that time")
            : new ApiException(StatusCodes.Status409Conflict,
                $"all {selection.Uploads.Count} profiles that service {service} has in that time were lost or damaged; they count again once they are sent again");
    }

    /// <summary>
    /// Adds up everything selected: each CPU a run of it, in order, and then the runs in order. What cannot be read is counted, and its
    /// upload counts again once it is sent again.
    /// </summary>
    /// <param name="begin">Makes a sum of nothing.</param>
    /// <param name="add">Adds to a sum; may change what it is given.</param>
    /// <param name="merge">Adds the second sum, which is not used any more, to the first.</param>
    /// <returns>The sum, and how many uploads could not be read.</returns>
    /// <exception cref="DamageFoundException">One of them could be read when last it was tried.</exception>
    public async Task<(T Sum, long Lost)> SumAsync<T>(
        SelectedProfiles selected, Func<T> begin, Action<T, ReadProfiles> add, Action<T, T> merge, CancellationToken stop)
    {
        SelectedPiece[] pieces =
            SelectedPiece.AllOf(selected.Profiles.Uploads.Where(static upload => !upload.IsDamaged), selected.Profiles.Parts);
        int share = (pieces.Length / Environment.ProcessorCount) + 1;
        (T Sum, long Found, long Lost)[] runs =
            await Task.WhenAll(pieces.Chunk(share).Select(run => Task.Run(() => SumRunAsync(run, begin(), add, stop), stop)));
        if (runs.Sum(static run => run.Found) is > 0 and long found)
            throw new DamageFoundException($"{found} stored profiles of {selected.Service} are damaged; ask again for what is whole");
        T total = runs.Length > 0 ? runs[0].Sum : begin();
        foreach ((T sum, _, _) in runs.Skip(1))
            merge(total, sum);
        long damaged = selected.Profiles.Uploads.LongCount(static upload => upload.IsDamaged);
        return (total, damaged + runs.Sum(static run => run.Lost));
    }

    private async Task<(T Sum, long Found, long Lost)> SumRunAsync<T>(
        SelectedPiece[] run, T sum, Action<T, ReadProfiles> add, CancellationToken stop)
    {
        long found = 0, lost = 0;
        await foreach ((SelectedPiece piece, BranchProfileSet? set) in LoadAsync(run, stop))
            if (set is not null)
                add(sum, new ReadProfiles(
                    set, DateOnly.FromDateTime(piece.End.UtcDateTime), piece.Labels, piece.Uploads, piece.Start, piece.End));
            else if (piece.Part is not { } part)
                found++;
            else if (await storage.Profiles.DissolveAsync(part.Object, stop))
                throw new DamageFoundException($"{part.Object} is damaged, and is made again of its profiles; ask again");
            else
                lost += part.Set.Count;
        return (sum, found, lost);
    }

    /// <summary>
    /// Loads pieces in order, and fetches the next ones meanwhile, as far as their bytes may lie in memory; pieces that lie close together
    /// in one object are fetched at once. Null stands for one that cannot be read: an upload is marked as damaged then.
    /// </summary>
    public async IAsyncEnumerable<(SelectedPiece Piece, BranchProfileSet? Set)> LoadAsync(
        IReadOnlyList<SelectedPiece> pieces, [EnumeratorCancellation] CancellationToken stop)
    {
        Queue<(int End, ObjectSlice Slice, Task<byte[]?> Content)> ahead = [];
        long bytes = 0;
        for (int at = 0, next = 0; at < pieces.Count;)
        {
            while (next < pieces.Count && ahead.Count < MaxAhead)
            {
                (int until, ObjectSlice slice) = Neighbours(pieces, next);
                if (ahead.Count != 0 && bytes + slice.Length > MaxBytesAhead)
                    break;
                bytes += slice.Length;
                ahead.Enqueue((until, slice, storage.Objects.ReadAsync(slice, stop)));
                next = until;
            }
            (int end, ObjectSlice fetched, Task<byte[]?> fetch) = ahead.Dequeue();
            byte[]? content = await fetch;
            for (; at < end; at++)
            {
                SelectedPiece piece = pieces[at];
                ReadOnlyMemory<byte>? own = content is null ? null : PartOf(content, piece.Place, fetched);
                yield return (piece, piece.Part is { } part ? await OpenAsync(part, own) : await OpenAsync(piece.Upload!, own, stop));
            }
            bytes -= fetched.Length;
        }
    }

    /// <summary>How far pieces lie so close together that they are fetched at once, and all that is fetched.</summary>
    private static (int End, ObjectSlice Slice) Neighbours(IReadOnlyList<SelectedPiece> pieces, int first)
    {
        ObjectSlice all = pieces[first].Place;
        int end = first + 1;
        for (; end < pieces.Count && all.Length > 0; end++)
        {
            ObjectSlice next = pieces[end].Place;
            long between = next.Start - (all.Start + all.Length), length = next.Start + next.Length - all.Start;
            if (next.Object != all.Object || next.Length == 0 || between is < 0 or > MaxBytesBetween || length > MaxBytesAtOnce)
                break;
            all = all with { Length = length };
        }
        return (end, all);
    }

    /// <summary>What of fetched bytes a piece has, as far as there are so many.</summary>
    private static ReadOnlyMemory<byte> PartOf(byte[] content, ObjectSlice place, ObjectSlice fetched)
    {
        if (place == fetched)
            return content;
        int start = (int)Math.Min(place.Start - fetched.Start, content.Length);
        return content.AsMemory(start, (int)Math.Min(place.Length, content.Length - start));
    }

    /// <summary>Selects and reads again when damage was found on the way.</summary>
    public static async Task<T> WithoutDamageAsync<T>(Func<Task<T>> action)
    {
        const int Attempts = 5;
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await action();
            }
            catch (DamageFoundException) when (attempt < Attempts)
            {
            }
        }
    }

    private async Task<BranchProfileSet?> OpenAsync(SelectedUpload upload, ReadOnlyMemory<byte>? bytes, CancellationToken stop)
    {
        if (bytes is { } some && IsUpload(some.Span, upload.Hash) && TryDecode(some.Span) is { } set)
            return set;
        await storage.Profiles.MarkDamagedAsync(upload.Hash, upload.Place, stop);
        if (bytes is { } damaged)
            await storage.SetAsideAsync(upload.Hash, upload.Place, damaged);
        return null;
    }

    private async Task<BranchProfileSet?> OpenAsync(SelectedPart part, ReadOnlyMemory<byte>? bytes)
    {
        if (bytes is not { } some)
            return null;
        if (TryDecode(some.Span) is { } set && part.Labels.All(label => set.Labels.GetValueOrDefault(label.Key) == label.Value))
            return set;
        await storage.SetAsideAsync(part.Object, "it is made again of its uploads, as far as they are kept");
        return null;
    }

    /// <summary>Whether bytes are those of an upload, as far as they say so themselves.</summary>
    private static bool IsUpload(ReadOnlySpan<byte> bytes, string hash) =>
        bytes.Length >= BranchProfileEnvelope.Length && BranchProfileCodec.ContentHash(bytes) == hash;

    /// <summary>Whether bytes are those of an upload, and whole.</summary>
    public static bool IsWhole(ReadOnlySpan<byte> bytes, string hash) => IsUpload(bytes, hash) && TryDecode(bytes) is not null;

    private static BranchProfileSet? TryDecode(ReadOnlySpan<byte> bytes)
    {
        try
        {
            // Sums may be larger than what is accepted from outside.
            return BranchProfileCodec.Decode(bytes, int.MaxValue, long.MaxValue);
        }
        catch (MalformedInputException)
        {
            return null;
        }
    }

    private static ServiceSelector SelectorOf(string service, string? conditions)
    {
        ServiceSelector selector;
        try
        {
            selector = ServiceSelector.Parse(conditions is null ? service : conditions.StartsWith('{') ? service + conditions : conditions);
        }
        catch (UserErrorException e)
        {
            throw ApiException.BadRequest(e.Message);
        }
        return selector.Service == service
            ? selector : throw ApiException.BadRequest($"the selector is of service '{selector.Service}', not of '{service}'");
    }

    /// <summary>A window counts back from the newest profile's day, not from today: so the same data give the same profile.</summary>
    private static TimeSpanFilter SpanOf(PgoRequest request, DateTimeOffset newest)
    {
        double days = request.WindowDays ?? PgoRequest.DefaultWindowDays;
        if (!(days > 0 && days <= 36_500))
            throw ApiException.BadRequest($"windowDays is {days}; give a number of days above 0");
        if (request.Since > request.Until)
            throw ApiException.BadRequest("since is after until");
        DateTimeOffset last = request.Until < newest ? request.Until.Value : newest;
        return new TimeSpanFilter(request.Since ?? BlockPeriod.DayOf(last).Start.AddDays(-days), request.Until);
    }

    private static string Labels(IEnumerable<BuildDay> days) => ProfileLabels.Printable(string.Join(", ", days
        .SelectMany(static day => day.Labels).Where(static label => label.Key != ProfileLabels.Service)
        .Select(static label => $"{label.Key}=\"{label.Value}\"")
        .Distinct().Order(StringComparer.Ordinal).Take(30)));
}
