using Microsoft.Data.Sqlite;
using Perforator.Branches;
using Perforator.Server.Storage;
using Perforator.Server.Storage.Embedded;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Server;

/// <summary>An embedded data folder, for the contracts to be held by.</summary>
public sealed class EmbeddedFolder : IAsyncLifetime, IDisposable
{
    private readonly TemporaryFolder folder = new();

    internal ServerStorage Storage { get; private set; } = null!;

    public async Task InitializeAsync() =>
        Storage = await EmbeddedStorage.OpenAsync(folder["data"], TimeProvider.System, CancellationToken.None);

    public async Task DisposeAsync() => await Storage.DisposeAsync();

    public void Dispose() => folder.Dispose();
}

/// <summary>Files keep the contract.</summary>
public sealed class FileObjectStoreTests : ObjectStoreContract, IDisposable
{
    private readonly TemporaryFolder folder = new();

    public FileObjectStoreTests()
    {
        Scratch = new ScratchFolder(folder["blobs/tmp"]);
        Store = new FileObjectStore(folder["blobs"], Scratch);
    }

    private protected override IObjectStore Store { get; }

    private protected override ScratchFolder Scratch { get; }

    public void Dispose() => folder.Dispose();
}

/// <summary>SQLite keeps the contract.</summary>
public sealed class SqliteProfileIndexTests(EmbeddedFolder folder) : ProfileIndexContract, IClassFixture<EmbeddedFolder>
{
    private protected override IProfileIndex Index => folder.Storage.Profiles;
}

/// <summary>SQLite keeps the contract.</summary>
public sealed class SqliteBinaryCatalogTests(EmbeddedFolder folder) : BinaryCatalogContract, IClassFixture<EmbeddedFolder>
{
    private protected override ServerStorage Storage => folder.Storage;
}

/// <summary>SQLite keeps the contract.</summary>
public sealed class SqliteResultIndexTests(EmbeddedFolder folder) : ResultIndexContract, IClassFixture<EmbeddedFolder>
{
    private protected override IResultIndex Index => folder.Storage.Results;
}

/// <summary>SQLite keeps the contract.</summary>
public sealed class SqliteAgentStoreTests(EmbeddedFolder folder) : AgentStoreContract, IClassFixture<EmbeddedFolder>
{
    private protected override IAgentStore Store => folder.Storage.Agents;
}

/// <summary>SQLite keeps the contract.</summary>
public sealed class SqliteTaskQueueTests(EmbeddedFolder folder) : TaskQueueContract, IClassFixture<EmbeddedFolder>
{
    private protected override ITaskQueue Queue => folder.Storage.Tasks;
}

/// <summary>SQLite keeps the contract.</summary>
public sealed class SqliteDemandStoreTests(EmbeddedFolder folder) : DemandStoreContract, IClassFixture<EmbeddedFolder>
{
    private protected override ServerStorage Storage => folder.Storage;
}

/// <summary>The scripts of a backend's schema, as the server runs them.</summary>
internal static class SchemaScripts
{
    /// <summary>What a server of the schema of 0002 has of one upload, without its object.</summary>
    public const string OneUpload = """
        INSERT INTO service(id, name, uploads, samples, last_us) VALUES (1, 'search', 1, 10, 1772359260000000);
        INSERT INTO label_set(id, hash, json) VALUES (1, 'x', '{"host":"node-1","service":"search"}');
        INSERT INTO upload(id, hash, service, labels, start_us, end_us, received_us, samples, bytes) VALUES (1, 'aa', 1, 1, 1772359200000000, 1772359260000000, 1772359260000000, 10, 5);
        """;

    public static (string Name, string Sql)[] Of(string backend) =>
    [
        .. typeof(EmbeddedStorage).Assembly.GetManifestResourceNames().Where(name => name.Contains(backend, StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)
            .Select(static name => (name, new StreamReader(typeof(EmbeddedStorage).Assembly.GetManifestResourceStream(name)!).ReadToEnd())),
    ];

    /// <summary>All that came later works on it too.</summary>
    public static async Task CheckAsync(ServerStorage storage)
    {
        CancellationToken stop = CancellationToken.None;
        ServiceTotals service = Assert.Single(await storage.Profiles.ListServicesAsync(stop));
        Assert.Equal(("search", 1L, 10UL), (service.Service, service.Uploads, service.Samples));
        Assert.Equal(UploadState.Kept, (await storage.Profiles.FindAsync("aa", stop)).State);
        Assert.Equal(
            UploadOutcome.Added,
            await storage.Profiles.AddAsync(NewUpload.Of("bb", 1, Uploads.Set(minute: 1), Uploads.Start.AddDays(1)), stop));
        await storage.Agents.PutAsync([new KeptAgent("node-1", Uploads.Start, "{}")], Uploads.Start, stop);
        Assert.Single(await storage.Agents.ListAsync(Uploads.Start, stop));
        Assert.Empty(await storage.Demand.ListAsync(Uploads.Start, stop));
        Assert.Empty(await storage.Results.ListAsync("search", null, 10, stop));
        Assert.Equal(2, Assert.Single(await storage.Profiles.ListServicesAsync(stop)).Uploads);
    }
}

/// <summary>What is particular to the embedded backend: its folder, and folders of earlier versions.</summary>
public sealed class EmbeddedStorageTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    private static CancellationToken Stop => CancellationToken.None;

    private Task<ServerStorage> OpenAsync(string name = "data") => EmbeddedStorage.OpenAsync(folder[name], TimeProvider.System, Stop);

    private void Run(string sql, string name = "data")
    {
        using SqliteConnection connection = new($"Data Source={folder[name + "/perforator.db"]};Pooling=false");
        connection.Open();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    [Fact]
    public async Task What_was_stored_is_there_after_reopening_and_open_to_its_user_alone()
    {
        byte[] encoded = BranchProfileCodec.Encode(Uploads.Set());
        Directory.CreateDirectory(folder["data"]);
        File.WriteAllText(folder["data/lock"], "");
        Tool.Run("chmod", ["700", folder["data"]]).Succeeded();
        Tool.Run("chmod", ["644", folder["data/lock"]]).Succeeded();
        await using (ServerStorage storage = await OpenAsync())
        {
            await storage.Objects.PutAsync(ObjectKeys.Upload("aa"), encoded, Stop);
            Assert.Equal(UploadOutcome.Added, await storage.Profiles.AddAsync(NewUpload.Of("aa", 1, Uploads.Set(), Uploads.Start), Stop));
        }
        // A server that has ended leaves all in the one file.
        Assert.Equal(["perforator.db"], Directory.GetFiles(folder["data"], "perforator.db*").Select(Path.GetFileName));
        await using ServerStorage reopened = await OpenAsync();
        Assert.Equal(UploadState.Kept, (await reopened.Profiles.FindAsync("aa", Stop)).State);
        Assert.Equal(encoded, await reopened.Objects.ReadAsync(ObjectKeys.Upload("aa"), 0, int.MaxValue, Stop));
        Assert.Equal("700\n600\n600\n700\n600\n", Tool.Run("stat",
            ["-c%a", folder["data"], folder["data/perforator.db"], folder["data/lock"], folder["data/blobs"], folder[$"data/blobs/{ObjectKeys.Upload("aa")}"]]).Output);
        await Assert.ThrowsAsync<UserErrorException>(() => OpenAsync());
    }

    [Fact]
    public async Task A_database_that_is_newer_damaged_missing_or_no_database_is_refused()
    {
        await (await OpenAsync()).DisposeAsync();
        Run("PRAGMA user_version=99");
        Assert.Contains(
            "newer perforator", (await Assert.ThrowsAsync<UserErrorException>(() => OpenAsync())).Message, StringComparison.Ordinal);
        Run("PRAGMA user_version=2; INSERT INTO SchemaVersions(ScriptName, Applied) VALUES ('sqlite-0999-years-later', '2030-01-01')");
        Assert.Contains(
            "sqlite-0999-years-later", (await Assert.ThrowsAsync<UserErrorException>(() => OpenAsync())).Message, StringComparison.Ordinal);

        Directory.CreateDirectory(folder["other"]);
        Directory.CreateDirectory(folder["empty/blobs/packs"]);
        folder.Write("other/perforator.db", "this is not a database, only a text of some length");
        Assert.Contains(
            "cannot be used", (await Assert.ThrowsAsync<UserErrorException>(() => OpenAsync("other"))).Message, StringComparison.Ordinal);

        // A database of another folder, or one that was emptied, beside profiles.
        await using (ServerStorage first = await OpenAsync("first"))
        {
            await first.Objects.PutAsync(ObjectKeys.Upload("aa"), BranchProfileCodec.Encode(Uploads.Set()), Stop);
            await first.Profiles.AddAsync(NewUpload.Of("aa", 1, Uploads.Set(), Uploads.Start), Stop);
        }
        await (await OpenAsync("second")).DisposeAsync();
        File.Copy(folder["second/perforator.db"], folder["first/perforator.db"], overwrite: true);
        Assert.Contains(
            "is not the database of", (await Assert.ThrowsAsync<UserErrorException>(() => OpenAsync("first"))).Message,
            StringComparison.Ordinal);
        Run("DELETE FROM store", "first");
        Assert.Contains(
            "is empty, but", (await Assert.ThrowsAsync<UserErrorException>(() => OpenAsync("first"))).Message, StringComparison.Ordinal);

        folder.Write("empty/blobs/packs/aa", "a profile");
        Assert.Contains(
            "is missing or empty, but", (await Assert.ThrowsAsync<UserErrorException>(() => OpenAsync("empty"))).Message,
            StringComparison.Ordinal);
    }

    private sealed class SetTime : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = Uploads.Start;

        public override DateTimeOffset GetUtcNow() => Now;
    }

    /// <summary>
    /// A task that was taken under a clock far ahead, by a worker that has died since, is taken over when the clock is right again.
    /// </summary>
    [Fact]
    public async Task A_clock_that_was_set_back_leaves_no_task_behind()
    {
        SetTime time = new() { Now = Uploads.Start.AddDays(30) };
        await using ServerStorage storage = await EmbeddedStorage.OpenAsync(folder["data"], time, Stop);
        ServerTask task = await storage.Tasks.EnqueueAsync("kind", "key", "{}", Stop);
        TimeSpan lease = TimeSpan.FromSeconds(30);
        Assert.Equal(task.Id, (await storage.Tasks.LeaseAsync("dead", lease, Stop))?.Id);
        Assert.Null(await storage.Tasks.LeaseAsync("other", lease, Stop));
        time.Now = Uploads.Start;
        Assert.Equal(task.Id, (await storage.Tasks.LeaseAsync("other", lease, Stop))?.Id);
        Assert.Null(await storage.Tasks.LeaseAsync("third", lease, Stop));
    }

    /// <summary>What a disk may do to a page in the middle.</summary>
    [Fact]
    public async Task A_database_with_destroyed_pages_is_refused_at_the_start()
    {
        await using (ServerStorage storage = await OpenAsync())
            for (int i = 0; i < 200; i++)
                await storage.Profiles.AddAsync(NewUpload.Of($"{i:x4}", 1, Uploads.Set(minute: i, host: $"node-{i}"), Uploads.Start), Stop);
        long length = new FileInfo(folder["data/perforator.db"]).Length;
        Assert.True(length > 20 * 4096, $"{length} bytes");
        using (FileStream file = File.OpenWrite(folder["data/perforator.db"]))
            for (long page = 4; page < length / 4096; page += 5)
            {
                file.Position = page * 4096;
                file.Write(new byte[4096]);
            }
        UserErrorException error = await Assert.ThrowsAsync<UserErrorException>(() => OpenAsync());
        Assert.Contains("perforator.db is damaged", error.Message, StringComparison.Ordinal);
        Assert.Contains("restore it from a backup", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    /// <summary>What the versions between left, each with the scripts there were by then.</summary>
    [Fact]
    public async Task Folders_of_every_schema_since_are_brought_up_to_date()
    {
        (string Name, string Sql)[] scripts = SchemaScripts.Of("sqlite-");
        Assert.True(scripts.Length > 3);
        for (int known = 1; known < scripts.Length; known++)
        {
            string name = $"of-{known}";
            Directory.CreateDirectory(folder[name]);
            Run("CREATE TABLE SchemaVersions(SchemaVersionID INTEGER CONSTRAINT 'pk' PRIMARY KEY AUTOINCREMENT NOT NULL, ScriptName TEXT NOT NULL, Applied DATETIME NOT NULL)", name);
            foreach ((string script, string sql) in scripts[..known])
                Run($"{sql}; INSERT INTO SchemaVersions(ScriptName, Applied) VALUES ('{script}', '2026-01-01')", name);
            Run($"INSERT INTO SchemaVersions(ScriptName, Applied) VALUES ('sqlite-0003-from-schema-1', '2026-01-01'); PRAGMA user_version=2; {SchemaScripts.OneUpload}", name);
            await using ServerStorage storage = await OpenAsync(name);
            await SchemaScripts.CheckAsync(storage);
        }
    }

    /// <summary>The same to a server that runs: reads and writes say what is damaged, and which file.</summary>
    [Fact]
    public async Task Pages_that_are_destroyed_under_a_server_are_named_by_reads_and_writes()
    {
        await using (ServerStorage storage = await OpenAsync())
            for (int i = 0; i < 200; i++)
                await storage.Profiles.AddAsync(NewUpload.Of($"{i:x4}", 1, Uploads.Set(minute: i, host: $"node-{i}"), Uploads.Start), Stop);
        await using ServerStorage running = await OpenAsync();
        using (FileStream file = new(folder["data/perforator.db"], FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            for (long page = 1; page < file.Length / 4096; page++)
            {
                file.Position = page * 4096;
                file.Write(new byte[4096]);
            }
        foreach (Func<Task> use in (Func<Task>[])
        [
            () => running.Profiles.AddAsync(NewUpload.Of("new", 1, Uploads.Set(minute: 500), Uploads.Start), Stop),
            () => running.Profiles.SelectAsync("search", default, Stop),
        ])
        {
            string message = (await Assert.ThrowsAnyAsync<IOException>(use)).Message;
            Assert.Contains("perforator.db is damaged", message, StringComparison.Ordinal);
            Assert.Contains("restore it from a backup", message, StringComparison.Ordinal);
        }
    }

    /// <summary>A folder as the first schema left it: tables, labels in a text, binaries as files, sums by row number.</summary>
    [Fact]
    public async Task A_folder_of_the_first_schema_is_brought_up_to_date()
    {
        Directory.CreateDirectory(folder["data"]);
        BranchProfileSet set = Uploads.Set(), second = Uploads.Set(minute: 1, host: "node=2");
        string first = BranchProfileCodec.ContentHash(BranchProfileCodec.Encode(set)), other = BranchProfileCodec.ContentHash(BranchProfileCodec.Encode(second));
        Directory.CreateDirectory(folder["data/blobs/profiles"]);
        Directory.CreateDirectory(folder["data/blobs/sums/search/aa01"]);
        File.WriteAllBytes(folder[$"data/blobs/profiles/{first}.branches"], BranchProfileCodec.Encode(set));
        File.WriteAllBytes(folder[$"data/blobs/profiles/{other}.branches"], BranchProfileCodec.Encode(second));
        folder.Write("data/blobs/sums/search/aa01/0.branches", "a sum by row number");
        string binary = Environment.ProcessPath!;
        using Perforator.Elf.ElfFile elf = Perforator.Elf.ElfFile.Load(binary);
        Directory.CreateDirectory(folder["data/blobs/binaries"]);
        File.Copy(binary, folder[$"data/blobs/binaries/{elf.BuildId}"]);
        long start = (set.Start - DateTimeOffset.UnixEpoch).Ticks / 10, minute = 60_000_000;
        Run($"""
            CREATE TABLE profile(id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, service TEXT NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
                received_us INTEGER NOT NULL, samples INTEGER NOT NULL, labels TEXT NOT NULL) STRICT;
            CREATE INDEX profile_service ON profile(service);
            CREATE TABLE build(service TEXT NOT NULL, build_id TEXT NOT NULL, profile INTEGER NOT NULL REFERENCES profile(id), path TEXT NOT NULL,
                samples INTEGER NOT NULL, branches INTEGER NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
                PRIMARY KEY(service, build_id, profile)) STRICT, WITHOUT ROWID;
            INSERT INTO profile VALUES (1, '{first}', 'search', {start}, {start + minute}, {start + minute}, 10, 'host=node-1{'\n'}service=search');
            INSERT INTO profile VALUES (2, '{other}', 'search', {start + minute}, {start + (2 * minute)}, {start + (2 * minute)}, 10, 'host=node=2{'\n'}service=search');
            INSERT INTO build VALUES ('search', 'aa01', 1, '/opt/search', 10, 10, {start}, {start + minute});
            INSERT INTO build VALUES ('search', 'aa01', 2, '/opt/search', 10, 10, {start + minute}, {start + (2 * minute)});
            PRAGMA user_version=1;
            """);

        for (int opening = 0; opening < 2; opening++)
        {
            await using ServerStorage storage = await OpenAsync();
            Assert.Equal(
                [new ServiceTotals("search", 1, 2, 20, Uploads.Start.AddMinutes(2))], await storage.Profiles.ListServicesAsync(Stop));
            ProfileSelection selection = await storage.Profiles.SelectAsync("search", default, Stop);
            Assert.Equal(["node-1", "node=2"], selection.Uploads.OrderBy(static u => u.Start).Select(static u => u.Labels["host"]));
            Assert.Equal(
                2, (await storage.Profiles.ListBuildDaysAsync("search", Stop)).Count(
                    static d => d is { Uploads: 1, Branches: 10, Path: "/opt/search", Day.Month: 3 }));
            // The same content, sent again by a newer agent, has the same labels and counts once; another adds up with what was there.
            Assert.Equal(
                UploadOutcome.Duplicate, await storage.Profiles.AddAsync(NewUpload.Of(first, 1, set, DateTimeOffset.UtcNow), Stop));
            BinaryFile file = Assert.Single(await storage.Binaries.FindAsync(elf.BuildId, Stop));
            Assert.NotNull(await storage.Objects.StatAsync(file.Object, Stop));
            Assert.False(Directory.Exists(folder["data/blobs/sums"]));
        }
        await using ServerStorage again = await OpenAsync();
        await again.Profiles.AddAsync(NewUpload.Of("new", 1, Uploads.Set(count: 5), Uploads.Start.AddMinutes(1)), Stop);
        Assert.Equal(2, (await again.Profiles.ListBuildDaysAsync("search", Stop)).Count);
    }

    public void Dispose() => folder.Dispose();
}
