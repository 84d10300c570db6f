using System.Security.Cryptography;
using System.Text;
using Microsoft.Data.Sqlite;
using Perforator.Api;
using Perforator.Branches;

namespace Perforator.Server.Storage;

/// <summary>
/// Profiles as uploaded, in blobs, with an index of them in SQLite. The blob is on the disk before its row is, and the row (WAL,
/// synchronous=FULL) before the upload is acknowledged: a crash leaves at most a blob without a row, which the retried upload finds.
/// </summary>
public sealed class SqliteProfileStore : IProfileStore, IDisposable
{
    /// <summary>Stored in the database's user_version; a database of a newer schema is refused.</summary>
    private const int SchemaVersion = 1;

    private const string Schema = """
        CREATE TABLE profile(
            id INTEGER PRIMARY KEY,
            hash TEXT NOT NULL UNIQUE,
            service TEXT NOT NULL,
            start_us INTEGER NOT NULL,
            end_us INTEGER NOT NULL,
            received_us INTEGER NOT NULL,
            samples INTEGER NOT NULL,
            labels TEXT NOT NULL) STRICT;
        CREATE INDEX profile_service ON profile(service);
        CREATE TABLE build(
            service TEXT NOT NULL,
            build_id TEXT NOT NULL,
            profile INTEGER NOT NULL REFERENCES profile(id),
            path TEXT NOT NULL,
            samples INTEGER NOT NULL,
            branches INTEGER NOT NULL,
            start_us INTEGER NOT NULL,
            end_us INTEGER NOT NULL,
            PRIMARY KEY(service, build_id, profile)) STRICT, WITHOUT ROWID;
        """;

    private const string InSpan = "end_us >= $since AND start_us < $until";

    private readonly SqliteConnection connection;
    private readonly UploadSums sums;
    private readonly int chunkSize;
    private readonly Lock access = new();

    /// <summary>Opens the index, creating it when missing.</summary>
    /// <param name="databaseFile">The SQLite file.</param>
    /// <param name="blobs">Where the uploads themselves are kept.</param>
    /// <param name="chunkSize">How many consecutive uploads are added up once and for all.</param>
    /// <exception cref="UserErrorException">The file is not a database, or of a newer version.</exception>
    public SqliteProfileStore(string databaseFile, IBlobStore blobs, int chunkSize = 512)
    {
        sums = new UploadSums(blobs);
        this.chunkSize = chunkSize;
        connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = databaseFile, Pooling = false }.ToString());
        try
        {
            connection.Open();
            Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;");
            long version = (long)Command("PRAGMA user_version").ExecuteScalar()!;
            if (version > SchemaVersion)
                throw new UserErrorException($"{databaseFile} was written by a newer perforator (schema {version}); start that version or use another --data folder");
            if (version == 0)
                Execute($"BEGIN; {Schema} PRAGMA user_version={SchemaVersion}; COMMIT;");
        }
        catch (SqliteException e)
        {
            connection.Dispose();
            throw new UserErrorException($"{databaseFile} cannot be used as the server's database: {e.Message}", e);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task<bool> AddAsync(string contentHash, ReadOnlyMemory<byte> encoded, BranchProfileSet set, CancellationToken stop)
    {
        if (IsKnown(contentHash))
            return false;
        await sums.PutAsync(contentHash, encoded, stop);
        lock (access)
            return Insert(contentHash, set);
    }

    private bool IsKnown(string contentHash)
    {
        lock (access)
        {
            using SqliteCommand command = Command("SELECT 1 FROM profile WHERE hash = $hash", ("$hash", contentHash));
            return command.ExecuteScalar() is not null;
        }
    }

    private bool Insert(string contentHash, BranchProfileSet set)
    {
        string service = set.Service ?? throw new ArgumentException("a set without a service", nameof(set));
        using SqliteTransaction transaction = connection.BeginTransaction();
        using SqliteCommand profile = Command(
            """
            INSERT INTO profile(hash, service, start_us, end_us, received_us, samples, labels)
            VALUES ($hash, $service, $start, $end, $received, $samples, $labels) ON CONFLICT(hash) DO NOTHING RETURNING id
            """,
            ("$hash", contentHash), ("$service", service), ("$start", Micros(set.Start)), ("$end", Micros(set.End)),
            ("$received", Micros(DateTimeOffset.UtcNow)), ("$samples", Integer(set.TotalSamples)),
            ("$labels", string.Join('\n', set.Labels.Select(static label => $"{label.Key}={label.Value}"))));
        profile.Transaction = transaction;
        if (profile.ExecuteScalar() is not long id)
            return false;
        foreach (BranchProfile build in set.Profiles.Values.Where(static build => !build.IsEmpty))
        {
            using SqliteCommand insert = Command(
                "INSERT INTO build VALUES ($service, $build, $profile, $path, $samples, $branches, $start, $end)",
                ("$service", service), ("$build", build.BuildId.ToString()), ("$profile", id), ("$path", build.Path),
                ("$samples", Integer(build.Samples)), ("$branches", Integer(build.Branches.InternalTotal)), ("$start", Micros(set.Start)),
                ("$end", Micros(set.End)));
            insert.Transaction = transaction;
            insert.ExecuteNonQuery();
        }
        transaction.Commit();
        return true;
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<ServiceSummary>> ListServicesAsync(CancellationToken stop) => Task.FromResult<IReadOnlyList<ServiceSummary>>(Read(
        """
        SELECT service, count(*), total(samples), max(end_us),
            (SELECT count(DISTINCT build_id) FROM build WHERE build.service = profile.service)
        FROM profile GROUP BY service ORDER BY service
        """,
        static row => new ServiceSummary(row.GetString(0), row.GetInt64(4), row.GetInt64(1), Sum(row.GetDouble(2)), Time(row.GetInt64(3)))));

    /// <inheritdoc/>
    public Task<IReadOnlyList<BuildStatistics>> ListBuildsAsync(string service, TimeSpanFilter span, CancellationToken stop) =>
        Task.FromResult<IReadOnlyList<BuildStatistics>>(Read(
            // SQLite takes bare columns (path) from the row that has the maximum.
            $"""
            SELECT build_id, count(*), total(samples), total(branches), min(start_us), max(end_us), path
            FROM build WHERE service = $service AND {InSpan} GROUP BY build_id ORDER BY build_id
            """,
            static row => new BuildStatistics(
                BuildId.Parse(row.GetString(0)), row.GetString(6), row.GetInt64(1), Sum(row.GetDouble(2)), Sum(row.GetDouble(3)),
                Time(row.GetInt64(4)), Time(row.GetInt64(5))),
            [("$service", service), .. Bounds(span)]));

    /// <inheritdoc/>
    public Task<string> FingerprintAsync(string service, BuildId buildId, TimeSpanFilter span, CancellationToken stop)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (Upload upload in Select(service, buildId, span))
            hash.AppendData(Encoding.ASCII.GetBytes(upload.Hash));
        return Task.FromResult(Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    /// <inheritdoc/>
    public Task<MergedProfile?> MergeAsync(string service, BuildId buildId, TimeSpanFilter span, CancellationToken stop) =>
        Task.Run(async () =>
        {
            List<Upload> uploads = Select(service, buildId, span);
            if (uploads.Count == 0)
                return null;
            Dictionary<long, long> full = FullChunks(service, buildId);
            BranchProfile sum = new(buildId, uploads[^1].Path);
            LossCounts losses = new();
            foreach (IGrouping<long, Upload> chunk in uploads.GroupBy(upload => upload.Id / chunkSize))
            {
                IEnumerable<string> hashes = chunk.Select(static upload => upload.Hash);
                BranchProfileSet part = full.GetValueOrDefault(chunk.Key) == chunk.Count()
                    ? await sums.AddUpOnceAsync($"{service}/{buildId}/{chunk.Key}", buildId, hashes, stop)
                    : await sums.AddUpAsync(buildId, hashes, stop);
                losses.Merge(part.Losses);
                if (part.Profiles.TryGetValue(buildId, out BranchProfile? profile))
                    sum.Merge(profile);
            }
            return new MergedProfile(sum, uploads.Count, uploads.Min(static u => u.Start), uploads.Max(static u => u.End), losses);
        }, stop);

    /// <summary>
    /// Uploads are numbered as they come and never taken away, so a chunk of consecutive numbers that are all given is final: how many of
    /// the build's uploads each such chunk holds.
    /// </summary>
    private Dictionary<long, long> FullChunks(string service, BuildId buildId) => Read(
        """
        SELECT profile / $size, count(*) FROM build
        WHERE service = $service AND build_id = $build AND profile / $size < (SELECT (max(id) + 1) / $size FROM profile) GROUP BY 1
        """,
        static row => (Chunk: row.GetInt64(0), Uploads: row.GetInt64(1)),
        ("$size", chunkSize), ("$service", service), ("$build", buildId.ToString()))
        .ToDictionary(static row => row.Chunk, static row => row.Uploads);

    private readonly record struct Upload(long Id, string Hash, string Path, DateTimeOffset Start, DateTimeOffset End);

    /// <summary>In order of content hash, whatever order the uploads came in.</summary>
    private List<Upload> Select(string service, BuildId buildId, TimeSpanFilter span) => Read(
        $"""
        SELECT id, hash, path, b.start_us, b.end_us FROM build AS b JOIN profile ON profile.id = b.profile
        WHERE b.service = $service AND b.build_id = $build AND b.{InSpan.Replace("AND ", "AND b.", StringComparison.Ordinal)} ORDER BY hash
        """,
        static row => new Upload(row.GetInt64(0), row.GetString(1), row.GetString(2), Time(row.GetInt64(3)), Time(row.GetInt64(4))),
        [("$service", service), ("$build", buildId.ToString()), .. Bounds(span)]);

    private static (string, object)[] Bounds(TimeSpanFilter span) =>
        [("$since", span.Since is { } since ? Micros(since) : long.MinValue), ("$until", span.Until is { } until ? Micros(until) : long.MaxValue)];

    private List<T> Read<T>(string sql, Func<SqliteDataReader, T> convert, params (string, object)[] parameters)
    {
        lock (access)
        {
            using SqliteCommand command = Command(sql, parameters);
            using SqliteDataReader reader = command.ExecuteReader();
            List<T> rows = [];
            while (reader.Read())
                rows.Add(convert(reader));
            return rows;
        }
    }

    private void Execute(string sql)
    {
        using SqliteCommand command = Command(sql);
        command.ExecuteNonQuery();
    }

    private SqliteCommand Command(string sql, params (string Name, object Value)[] parameters)
    {
        SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        foreach ((string name, object value) in parameters)
            command.Parameters.AddWithValue(name, value);
        return command;
    }

    private static long Integer(ulong value) => (long)Math.Min(value, long.MaxValue);

    /// <summary>Sums are made in floating point (total()), since counters of strangers may overflow an integer sum, which SQLite refuses.</summary>
    private static ulong Sum(double total) => total >= ulong.MaxValue ? ulong.MaxValue : (ulong)total;

    private static long Micros(DateTimeOffset time) => (time - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;

    private static DateTimeOffset Time(long micros) => DateTimeOffset.UnixEpoch.AddTicks(micros * TimeSpan.TicksPerMicrosecond);

    /// <summary>Closes the database.</summary>
    public void Dispose() => connection.Dispose();
}
