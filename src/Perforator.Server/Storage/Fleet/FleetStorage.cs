using Perforator.Server.Storage.Sql;

namespace Perforator.Server.Storage.Fleet;

/// <summary>
/// The fleet's backend: PostgreSQL for what is known, S3 for bytes. Any number of servers work on the same; what each has on its own disk
/// is files on their way and copies.
/// </summary>
public static class FleetStorage
{
    /// <summary>Bytes of fetched objects that a server keeps beside those in use.</summary>
    private const long CacheBytes = 20L << 30;

    /// <summary>Opens the database and the bucket.</summary>
    /// <param name="database">Address of the database: <see cref="DatabaseUrl"/>.</param>
    /// <param name="objects">Address of the objects: <see cref="ObjectsUrl"/>.</param>
    /// <param name="folder">A folder of this server alone, for files on their way and copies.</param>
    /// <exception cref="UserErrorException">One of them cannot be used; the message says which and why.</exception>
    public static async Task<ServerStorage> OpenAsync(
        string database, string objects, string folder, TimeProvider time, CancellationToken stop)
    {
        ObjectsUrl at = ObjectsUrl.Parse(objects);
        FileStream held = FolderLock.Hold(folder);
        PostgresDatabase? opened = null;
        S3ObjectStore? store = null;
        try
        {
            ScratchFolder scratch = new(Path.Combine(folder, "tmp"));
            store = new S3ObjectStore(at, scratch, Path.Combine(folder, "cache"), CacheBytes);
            await store.RequireBucketAsync(stop);
            opened = await PostgresDatabase.OpenAsync(database, stop);
            await RequireIdentityAsync(opened, store, at, stop);
            (PostgresDatabase used, S3ObjectStore kept) = (opened, store);
            return new ServerStorage(
                store, new SqlProfileIndex(opened), new SqlBinaryCatalog(opened), new SqlResultIndex(opened), new SqlTaskQueue(opened, time), new Garbage(opened), scratch)
            {
                Parts =
                [
                    new StoragePart("database", used.CheckAsync),
                    new StoragePart("objects", stop => kept.PutAsync("probe/write", "probe"u8.ToArray(), stop)),
                    new StoragePart("data folder", scratch.CheckAsync),
                ],
                Demand = new SqlDemandStore(opened),
                Agents = new SqlAgentStore(opened),
                Fleet = new SqlFleetIndex(opened),
                Close = async () =>
                {
                    await used.DisposeAsync();
                    kept.Dispose();
                    await held.DisposeAsync();
                },
            };
        }
        catch (Exception e)
        {
            if (opened is not null)
                await opened.DisposeAsync();
            store?.Dispose();
            await held.DisposeAsync();
            if (e is IOException or UnauthorizedAccessException)
                throw new UserErrorException($"cannot keep files in {folder}: {e.Message}; choose another --data folder", e);
            throw;
        }
    }

    private static async Task RequireIdentityAsync(PostgresDatabase database, S3ObjectStore objects, ObjectsUrl at, CancellationToken stop)
    {
        try
        {
            await StoreIdentity.RequireAsync(
                database, objects, $"the database {database.Name}", $"the objects of s3://{at.Bucket}/{at.Prefix}", stop);
        }
        catch (IOException e)
        {
            throw new UserErrorException($"{e.Message}; see --database and --objects"
                + (at.AlwaysChecksums && at.Endpoint is not null
                    ? ", whose checksums=required leaves out what only Amazon's servers have to take" : ""), e);
        }
    }
}
