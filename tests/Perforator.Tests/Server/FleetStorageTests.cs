using Perforator.Server.Storage;
using Perforator.Server.Storage.Fleet;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Server;

/// <summary>A PostgreSQL database and a bucket of their own, for the contracts to be held by.</summary>
public sealed class FleetPlace : IAsyncLifetime, IDisposable
{
    private readonly TemporaryFolder folder = new();

    internal ServerStorage Storage { get; private set; } = null!;

    internal ScratchFolder Scratch => Storage.Scratch;

    public async Task InitializeAsync() =>
        Storage = await FleetStorage.OpenAsync(
            Engines.NewDatabase(), Engines.NewObjects(), folder["data"], TimeProvider.System, CancellationToken.None);

    public async Task DisposeAsync() => await Storage.DisposeAsync();

    public void Dispose() => folder.Dispose();
}

/// <summary>S3 keeps the contract.</summary>
public sealed class S3ObjectStoreTests(FleetPlace place) : ObjectStoreContract, IClassFixture<FleetPlace>
{
    private protected override IObjectStore Store => place.Storage.Objects;

    private protected override ScratchFolder Scratch => place.Scratch;

    [Fact]
    public async Task A_leased_file_stays_until_it_is_given_back_whatever_becomes_of_the_object()
    {
        CancellationToken stop = CancellationToken.None;
        await Store.PutAsync("binaries/lease", "content"u8.ToArray(), stop);
        LocalObject[] leases =
            [.. (await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Store.LeaseAsync("binaries/lease", stop)))).OfType<LocalObject>()];
        Assert.Single(leases.Select(static lease => lease.Path).Distinct());
        await Store.PutAsync("binaries/lease", "another"u8.ToArray(), stop);
        await Store.DeleteAsync("binaries/lease", stop);
        Assert.Equal("content", await File.ReadAllTextAsync(leases[0].Path, stop));
        Assert.Null(await Store.LeaseAsync("binaries/lease", stop));
        foreach (LocalObject lease in leases)
            lease.Dispose();
        Assert.False(File.Exists(leases[0].Path));
    }
}

/// <summary>PostgreSQL keeps the contract.</summary>
public sealed class PostgresProfileIndexTests(FleetPlace place) : ProfileIndexContract, IClassFixture<FleetPlace>
{
    private protected override IProfileIndex Index => place.Storage.Profiles;
}

/// <summary>PostgreSQL keeps the contract.</summary>
public sealed class PostgresBinaryCatalogTests(FleetPlace place) : BinaryCatalogContract, IClassFixture<FleetPlace>
{
    private protected override ServerStorage Storage => place.Storage;
}

/// <summary>PostgreSQL keeps the contract.</summary>
public sealed class PostgresResultIndexTests(FleetPlace place) : ResultIndexContract, IClassFixture<FleetPlace>
{
    private protected override IResultIndex Index => place.Storage.Results;
}

/// <summary>PostgreSQL keeps the contract.</summary>
public sealed class PostgresAgentStoreTests(FleetPlace place) : AgentStoreContract, IClassFixture<FleetPlace>
{
    private protected override IAgentStore Store => place.Storage.Agents;
}

/// <summary>PostgreSQL keeps the contract.</summary>
public sealed class PostgresTaskQueueTests(FleetPlace place) : TaskQueueContract, IClassFixture<FleetPlace>
{
    private protected override ITaskQueue Queue => place.Storage.Tasks;
}

/// <summary>PostgreSQL keeps the contract.</summary>
public sealed class PostgresDemandStoreTests(FleetPlace place) : DemandStoreContract, IClassFixture<FleetPlace>
{
    private protected override ServerStorage Storage => place.Storage;
}

/// <summary>What is particular to the fleet's backend: addresses, schemas, engines that go away.</summary>
public sealed class FleetStorageTests
{
    private static CancellationToken Stop => CancellationToken.None;

    [Theory]
    [InlineData("mysql://x/y", "is a postgres:// address")]
    [InlineData("postgres:///db", "names no host")]
    [InlineData("postgres://h/db?flavour=mild", "'flavour' in --database")]
    [InlineData("postgres://nobody@127.0.0.1:1/db", "cannot use the database 127.0.0.1:1/db")]
    public async Task What_is_no_database_is_told_in_one_sentence(string url, string reason)
    {
        UserErrorException error = await Assert.ThrowsAsync<UserErrorException>(() => PostgresDatabase.OpenAsync(url, Stop));
        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Theory]
    [InlineData("http://bucket", "is not an s3:// address")]
    [InlineData("s3://bucket?endpint=http://x", "'endpint=http://x' in --objects")]
    [InlineData("s3://bucket?checksums=never", "checksums=always|required")]
    public void What_is_no_place_for_objects_is_told_in_one_sentence(string url, string reason) =>
        Assert.Contains(reason, Assert.Throws<UserErrorException>(() => ObjectsUrl.Parse(url)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_password_with_odd_characters_arrives_and_hosts_keep_their_ports()
    {
        Npgsql.NpgsqlConnectionStringBuilder settings =
            DatabaseUrl.Parse("postgresql://us%40er:p%3Aw@db-1:6000,db-2/things?sslmode=verify-full&connect_timeout=3");
        Assert.Equal(("us@er", "p:w", "db-1:6000,db-2", "things", Npgsql.SslMode.VerifyFull, 3),
            (settings.Username, settings.Password, settings.Host, settings.Database, settings.SslMode, settings.Timeout));
    }

    [Fact]
    public async Task Servers_that_start_at_once_bring_the_schema_up_to_date_once_and_a_newer_one_is_refused()
    {
        string url = Engines.NewDatabase();
        PostgresDatabase[] servers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => PostgresDatabase.OpenAsync(url, Stop)));
        foreach (PostgresDatabase server in servers)
            await server.DisposeAsync();
        Tool.Run("psql", [url, "-q", "-c", "INSERT INTO schemaversions(scriptname, applied) VALUES ('postgres-0999-years-later', now())"])
            .Succeeded();
        UserErrorException error = await Assert.ThrowsAsync<UserErrorException>(() => PostgresDatabase.OpenAsync(url, Stop));
        Assert.Contains("newer perforator (postgres-0999-years-later)", error.Message, StringComparison.Ordinal);
    }

    /// <summary>Ceph takes the checksums of Amazon's SDK from version 19 on: either they work, or it is said what to do.</summary>
    [Fact]
    public async Task Checksums_that_the_object_store_does_not_take_are_told_with_the_option_that_leaves_them_out()
    {
        using TemporaryFolder folder = new();
        try
        {
            await using ServerStorage storage =
                await FleetStorage.OpenAsync(
                    Engines.NewDatabase(), Engines.NewObjects() + "&checksums=always", folder["data"], TimeProvider.System, Stop);
            await storage.Objects.PutAsync("binaries/one", "content"u8.ToArray(), Stop);
            Assert.Equal("content"u8.ToArray(), await storage.Objects.ReadAsync("binaries/one", 0, 100, Stop));
        }
        catch (UserErrorException e)
        {
            Assert.Contains("checksums=required", e.Message, StringComparison.Ordinal);
            Assert.Matches("cannot be used: [^;]", e.Message);
            Assert.DoesNotContain("--data folder", e.Message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', e.Message);
        }
    }

    [Fact]
    public async Task Databases_of_every_schema_since_the_first_are_brought_up_to_date()
    {
        using TemporaryFolder folder = new();
        (string Name, string Sql)[] scripts = SchemaScripts.Of("postgres-");
        Assert.True(scripts.Length > 3);
        for (int known = 1; known < scripts.Length; known++)
        {
            string url = Engines.NewDatabase(), file = folder.Write($"{known}.sql", string.Join("\n",
            [
                "CREATE TABLE schemaversions(schemaversionsid serial PRIMARY KEY, scriptname text NOT NULL, applied timestamp NOT NULL);",
                .. scripts[..known].Select(
                    static script => $"{script.Sql};\nINSERT INTO schemaversions(scriptname, applied) VALUES ('{script.Name}', now());"),
                SchemaScripts.OneUpload,
                "SELECT setval(pg_get_serial_sequence(t, 'id'), 1) FROM unnest(ARRAY['service', 'label_set', 'upload']) t;",
            ]));
            Tool.Run("psql", [url, "-q", "-v", "ON_ERROR_STOP=1", "-f", file]).Succeeded();
            await using ServerStorage storage =
                await FleetStorage.OpenAsync(url, Engines.NewObjects(), folder[$"{known}"], TimeProvider.System, Stop);
            await SchemaScripts.CheckAsync(storage);
        }
    }

    [Fact]
    public async Task A_write_that_others_were_in_the_way_of_is_tried_again()
    {
        await using PostgresDatabase database = await PostgresDatabase.OpenAsync(Engines.NewDatabase(), Stop);
        Perforator.Server.Storage.Sql.SqlProfileIndex profiles = new(database);
        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => profiles.AddAsync(
            [NewUpload.Of($"{i:x4}", 1, Uploads.Set(service: $"s{i % 3}", minute: i, host: $"h{i % 7}"), Uploads.Start.AddDays(1))],
            Stop)));
        IReadOnlyList<ServiceTotals> totals = await profiles.ListServicesAsync(Stop);
        Assert.Equal(200, totals.Sum(static service => service.Uploads));
        Assert.Equal(2000UL, totals.Aggregate(0UL, static (sum, service) => sum + service.Samples));
    }
}
