using DbUp;
using DbUp.Engine;
using Microsoft.Data.Sqlite;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Server.Storage.Sql;

namespace Perforator.Server.Storage.Embedded;

/// <summary>
/// The embedded backend: one folder with <c>perforator.db</c> (SQLite), <c>blobs/</c> and <c>lock</c>, held by one server at a time and
/// open to its user alone.
/// </summary>
public static class EmbeddedStorage
{
    /// <summary>The folder of <see cref="ScratchFolder"/>, beside the objects so that a file moves between them.</summary>
    internal const string ScratchName = "tmp";

    private const string Schema = "sqlite-";

    /// <summary>Opens a data folder, making it when missing and bringing one of an earlier version up to date.</summary>
    /// <exception cref="UserErrorException">The folder cannot be used, another server has it, or it is of a newer version.</exception>
    public static async Task<ServerStorage> OpenAsync(string folder, TimeProvider time, CancellationToken stop)
    {
        FileStream? held = null;
        SqliteDatabase? database = null;
        try
        {
            held = FolderLock.Hold(folder);
            string blobs = Path.Combine(folder, "blobs"), file = Path.Combine(folder, "perforator.db");
            RequireDatabase(file, blobs);
            PrivateFolder.Make(blobs);
            // Earlier versions made them readable by all; what a server that was killed left is kept as it was.
            foreach (string part in (string[])["", "-wal", "-shm"])
                PrivateFolder.Close(file + part);
            ScratchFolder scratch = new(Path.Combine(blobs, ScratchName));
            FileObjectStore objects = new(blobs, scratch);
            bool upgraded = Upgrade(file);
            database = new SqliteDatabase(file);
            SqlBinaryCatalog binaries = new(database);
            if (upgraded)
                await TakeOverFilesAsync(blobs, binaries, time, stop);
            await StoreIdentity.RequireAsync(database, objects, file, $"the files in {blobs}", stop);
            FileStream lockFile = held;
            SqliteDatabase opened = database;
            return new ServerStorage(
                objects, new SqlProfileIndex(database), binaries, new SqlResultIndex(database), new SqlTaskQueue(database, time), new Garbage(database), scratch)
            {
                Parts = [new StoragePart("database", opened.CheckAsync), new StoragePart("objects", scratch.CheckAsync)],
                Demand = new SqlDemandStore(database),
                Agents = new SqlAgentStore(database),
                Fleet = new SqlFleetIndex(database),
                Close = async () =>
                {
                    await opened.DisposeAsync();
                    await lockFile.DisposeAsync();
                },
            };
        }
        catch (Exception e)
        {
            if (database is not null)
                await database.DisposeAsync();
            held?.Dispose();
            if (e is IOException or UnauthorizedAccessException)
                throw new UserErrorException($"cannot keep data in {folder}: {e.Message}; choose another --data folder", e);
            throw;
        }
    }

    /// <summary>A folder of profiles whose database has gone would otherwise seem empty, and be filled anew.</summary>
    private static void RequireDatabase(string file, string blobs)
    {
        if (File.Exists(file) && new FileInfo(file).Length != 0)
            return;
        foreach (string prefix in (string[])[ObjectKeys.Packs, ObjectKeys.Profiles])
            if (Path.Combine(blobs, prefix.TrimEnd('/')) is var profiles && Directory.Exists(profiles)
                && Directory.EnumerateFiles(profiles).Any())
                throw new UserErrorException(
                    $"{file} is missing or empty, but {profiles} holds profiles: restore the database from a backup, or move {blobs} away to begin anew");
    }

    /// <summary>
    /// Runs what of the schema's scripts the database has not seen. True when it was of the first schema, which had other tables.
    /// </summary>
    private static bool Upgrade(string file)
    {
        string connection = new SqliteConnectionStringBuilder { DataSource = file, Pooling = false }.ToString();
        try
        {
            long version;
            using (SqliteConnection opened = new(connection))
            {
                opened.Open();
                File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
                using SqliteCommand command = opened.CreateCommand();
                command.CommandText = "PRAGMA journal_mode=WAL; PRAGMA quick_check(1);";
                using (SqliteDataReader reader = command.ExecuteReader())
                    if (reader.NextResult() && reader.Read() && reader.GetString(0) is not "ok" and string what)
                        throw new UserErrorException($"{file} is damaged ({what}); restore it from a backup");
                command.CommandText = "PRAGMA user_version";
                version = (long)command.ExecuteScalar()!;
            }
            DbUp.Builder.UpgradeEngineBuilder builder = DeployChanges.To.SqliteDatabase(connection)
                .WithScriptsEmbeddedInAssembly(
                    typeof(EmbeddedStorage).Assembly, static name => name.Contains(Schema, StringComparison.Ordinal))
                .WithScript("sqlite-0003-from-schema-1", new SchemaOne())
                .WithTransactionPerScript()
                .LogToNowhere();
            UpgradeEngine engine = builder.Build();
            string[] unknown = [.. engine.GetExecutedScripts().Except(engine.GetDiscoveredScripts().Select(static script => script.Name))];
            if (version > SchemaOne.Version + 1 || unknown.Length != 0)
                throw new UserErrorException(
                    $"{file} was written by a newer perforator ({(unknown.Length == 0 ? $"schema {version}" : unknown[0])}); start that version or use another --data folder");
            DatabaseUpgradeResult result = engine.PerformUpgrade();
            return result.Successful
                ? version == SchemaOne.Version
                : throw new UserErrorException($"{file} cannot be used as the server's database: {result.Error.Message}", result.Error);
        }
        catch (SqliteException e)
        {
            throw e.SqliteErrorCode switch
            {
                13 => new UserErrorException($"the disk of {file} is full; make room and start again", e),
                8 or 14 => new UserErrorException(
                    $"{file} cannot be written to ({e.Message}); is its disk or folder read-only, or another user's?", e),
                11 => new UserErrorException($"{file} is damaged ({e.Message}); restore it from a backup", e),
                _ => new UserErrorException($"{file} cannot be used as the server's database: {e.Message}", e),
            };
        }
    }

    /// <summary>Lists the binaries that the first schema only had as files, and removes what is made again.</summary>
    private static async Task TakeOverFilesAsync(string blobs, SqlBinaryCatalog binaries, TimeProvider time, CancellationToken stop)
    {
        foreach (string made in (string[])["sums", "results"])
            if (Directory.Exists(Path.Combine(blobs, made)))
                Directory.Delete(Path.Combine(blobs, made), recursive: true);
        string folder = Path.Combine(blobs, "binaries");
        if (!Directory.Exists(folder))
            return;
        foreach (string path in Directory.EnumerateFiles(folder))
        {
            if (!BuildId.TryParse(Path.GetFileName(path), out BuildId buildId))
                continue;
            try
            {
                using ElfFile elf = ElfFile.Load(path);
                await binaries.AddAsync(new BinaryFile(
                    buildId, BinaryKind.Executable, $"binaries/{Path.GetFileName(path)}", new FileInfo(path).Length, elf.ExecutableBytes,
                    elf.HasSection(".debug_info"), time.GetUtcNow()), replace: false, stop);
            }
            catch (Exception e) when (e is UserErrorException or MalformedInputException)
            {
                // A damaged one is not listed, so that agents send it again.
            }
        }
    }
}
