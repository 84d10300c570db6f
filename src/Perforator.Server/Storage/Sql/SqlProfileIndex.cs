using System.Collections.Concurrent;
using System.Data.Common;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Dapper;

namespace Perforator.Server.Storage.Sql;

/// <summary>The profile index in a database; <c>Schema</c> says what its tables hold.</summary>
public sealed partial class SqlProfileIndex : IProfileIndex
{
    private const long Kept = (long)UploadState.Kept, Damaged = (long)UploadState.Damaged, Forgotten = (long)UploadState.Forgotten;

    /// <summary>How many rows are named in one statement.</summary>
    private const int Batch = 500;

    private readonly SqlDatabase database;

    /// <summary>How many label sets are remembered.</summary>
    private const int MaxLabelSets = 100_000;

    /// <summary>Label sets never change.</summary>
    private readonly ConcurrentDictionary<long, IReadOnlyDictionary<string, string>> labelSets = [];

    public SqlProfileIndex(SqlDatabase database) => this.database = database;

    /// <inheritdoc/>
    public Task MarkDamagedAsync(string hash, ObjectSlice place, CancellationToken stop) => database.WriteAsync((connection, transaction) =>
        connection.Execute(
            $"""
            UPDATE upload SET state = {Damaged}
            WHERE hash = @hash AND state = {Kept} AND block IS NULL AND COALESCE(object, @own) = @place AND start_at = @start
            """, new { hash, own = ObjectKeys.Upload(hash), place = place.Object, start = place.Start }, transaction), stop);

    /// <inheritdoc/>
    public Task<IReadOnlyList<ServiceTotals>> ListServicesAsync(CancellationToken stop) => database.ReadAsync<IReadOnlyList<ServiceTotals>>(
        static connection =>
        [
            .. connection.Query<(string Name, long Builds, long Uploads, long Samples, long Last)>(
                """
                SELECT name, (SELECT count(*) FROM service_build WHERE service = service.id), uploads, samples, last_us
                FROM service WHERE uploads > 0
                """)
                .OrderBy(static row => row.Name, StringComparer.Ordinal)
                .Select(static row =>
                    new ServiceTotals(row.Name, row.Builds, row.Uploads, (ulong)row.Samples, UnixMicros.ToTime(row.Last))),
        ], stop);

    private sealed record BuildDayRow(
        string BuildId, string Path, long Labels, long Day, long Uploads, long Samples, long Branches, long First, long Last);

    /// <inheritdoc/>
    public Task<IReadOnlyList<BuildDay>> ListBuildDaysAsync(string service, CancellationToken stop) => database.ReadAsync<IReadOnlyList<BuildDay>>(connection =>
    {
        List<BuildDayRow> rows = [.. connection.Query<BuildDayRow>(
            """
            SELECT build_id AS BuildId, path AS Path, labels AS Labels, day AS Day, uploads AS Uploads, samples AS Samples, branches AS Branches,
                first_us AS First, last_us AS Last
            FROM build_day WHERE service = (SELECT id FROM service WHERE name = @service)
            """, new { service })];
        Func<long, IReadOnlyDictionary<string, string>> labels = LabelSets(connection, rows.Select(static row => row.Labels));
        return
        [
            .. rows.Select(row => new BuildDay(
                BuildId.Parse(row.BuildId), row.Path, labels(row.Labels), DateOnly.FromDayNumber((int)row.Day), row.Uploads,
                (ulong)row.Samples,
                (ulong)row.Branches, UnixMicros.ToTime(row.First), UnixMicros.ToTime(row.Last))),
        ];
    }, stop);

    /// <summary>Uploads of before there were packs have an object of their own.</summary>
    private static ObjectSlice PlaceOf(string hash, string? pack, long start, long bytes) =>
        new(pack ?? ObjectKeys.Upload(hash), start, bytes);

    private sealed record UploadRow(string Hash, long Labels, long Start, long End, long State, long Bytes, string? Object, long StartAt);

    private sealed record PartRow(
        long Block, string Object, long Offset, long Length, long Labels, byte[] SetHash, long Uploads, long Start, long End);

    private const string UploadColumns = """
        hash AS Hash, labels AS Labels, start_us AS Start, end_us AS "End", state AS State, bytes AS Bytes, object AS Object, start_at AS StartAt
        """;

    private const string PartColumns = """
        p.block AS Block, b.object AS Object, p.start_at AS "Offset", p.length AS Length, p.labels AS Labels, p.set_hash AS SetHash,
        p.uploads AS Uploads, p.first_us AS Start, p.last_us AS "End"
        """;

    /// <inheritdoc/>
    public Task<ProfileSelection> SelectAsync(string service, TimeSpanFilter span, CancellationToken stop) => database.ReadAsync(connection =>
    {
        long id = connection.ExecuteScalar<long?>("SELECT id FROM service WHERE name = @service", new { service }) ?? -1;
        object bounds = new
        {
            id,
            since = span.Since is { } since ? UnixMicros.Of(since) : long.MinValue,
            until = span.Until is { } until ? UnixMicros.Of(until) : long.MaxValue,
        };
        // A block is cut when the span has some, but perhaps not all of it. Its uploads are read instead, as long as there are any.
        const string Touched = "last_end_us >= @since AND first_start_us < @until";
        const string Cut = "(first_end_us < @since OR last_start_us >= @until) AND uploads_kept = 1";
        List<UploadRow> uploads = [.. connection.Query<UploadRow>(
            $"""
            SELECT {UploadColumns} FROM upload WHERE service = @id AND block IS NULL AND end_us >= @since AND start_us < @until
            UNION ALL
            SELECT {UploadColumns} FROM upload WHERE end_us >= @since AND start_us < @until
                AND block IN (SELECT id FROM block WHERE service = @id AND {Touched} AND {Cut})
            """, bounds)];
        List<PartRow> parts = [.. connection.Query<PartRow>(
            $"SELECT {PartColumns} FROM block b JOIN block_part p ON p.block = b.id WHERE b.service = @id AND {Touched} AND NOT ({Cut})",
            bounds)];
        return ToSelection(connection, uploads, parts);
    }, stop);

    private ProfileSelection ToSelection(DbConnection connection, List<UploadRow> uploads, List<PartRow> parts)
    {
        Func<long, IReadOnlyDictionary<string, string>> labels = LabelSets(
            connection, uploads.Select(static row => row.Labels).Concat(parts.Select(static row => row.Labels)));
        // In the order of their places; those that have objects of their own, whose keys are of their hashes, last.
        uploads.Sort(static (a, b) =>
            (a.Object is null).CompareTo(b.Object is null) is not 0 and int kind ? kind
            : string.CompareOrdinal(a.Object, b.Object) is not 0 and int order ? order
            : a.StartAt.CompareTo(b.StartAt) is not 0 and int at ? at
            : string.CompareOrdinal(a.Hash, b.Hash));
        parts.Sort(static (a, b) =>
            string.CompareOrdinal(a.Object, b.Object) is not 0 and int order ? order : a.Offset.CompareTo(b.Offset));
        return new ProfileSelection(
            [.. uploads.Select(row => new SelectedUpload(
                row.Hash, labels(row.Labels), UnixMicros.ToTime(row.Start), UnixMicros.ToTime(row.End), row.State == Damaged,
                PlaceOf(row.Hash, row.Object, row.StartAt, row.Bytes)))],
            [.. parts.Select(row => new SelectedPart(
                row.Object, row.Offset, (int)row.Length, labels(row.Labels), SetOf(row.SetHash, row.Uploads), UnixMicros.ToTime(row.Start),
                UnixMicros.ToTime(row.End)))]);
    }

    /// <summary>Label sets by their id, those of <paramref name="ids"/> at least.</summary>
    private Func<long, IReadOnlyDictionary<string, string>> LabelSets(DbConnection connection, IEnumerable<long> ids)
    {
        long[] wanted = [.. ids.Distinct()];
        if (labelSets.Count > MaxLabelSets)
            labelSets.Clear();
        Dictionary<long, IReadOnlyDictionary<string, string>> sets = [];
        List<long> missing = [];
        foreach (long id in wanted)
            if (labelSets.TryGetValue(id, out IReadOnlyDictionary<string, string>? labels))
                sets.Add(id, labels);
            else
                missing.Add(id);
        foreach (long[] some in missing.Chunk(Batch))
            foreach ((long id, string json) in connection.Query<(long, string)>(
                $"SELECT id, json FROM label_set WHERE id {database.In("@some")}", new { some }))
                labelSets[id] = sets[id] = JsonSerializer.Deserialize<SortedDictionary<string, string>>(json)!;
        return id => sets[id];
    }

    /// <summary>The one form in which a set of labels is kept.</summary>
    private static string Json(IReadOnlyDictionary<string, string> labels) =>
        JsonSerializer.Serialize(new SortedDictionary<string, string>(labels.ToDictionary(), StringComparer.Ordinal));

    private static string HashOf(string labels) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(labels)));

    private static UploadSetHash SetOf(byte[] bytes, long count)
    {
        UploadSetHash set = new();
        set.Add(bytes, count);
        return set;
    }

    private static int Day(long micros) => UnixMicros.ToDay(micros).DayNumber;

    private static long Integer(ulong value) => (long)Math.Min(value, long.MaxValue);

    /// <summary>
    /// A sum that saturates: counters of strangers may overflow, which is an error in one database and a fraction in the other.
    /// </summary>
    private static string Sum(string a, string b) => $"CASE WHEN {a} > {long.MaxValue} - {b} THEN {long.MaxValue} ELSE {a} + {b} END";

    private static string Least(string a, string b) => $"CASE WHEN {a} < {b} THEN {a} ELSE {b} END";

    private static string Greatest(string a, string b) => $"CASE WHEN {a} > {b} THEN {a} ELSE {b} END";
}
