using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Amazon;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Amazon.S3.Transfer;

namespace Perforator.Server.Storage.Fleet;

/// <summary>
/// Objects in a bucket of S3, or of a server that speaks it. What generation needs as a file is fetched into a folder of this machine,
/// which is bounded. Credentials are those that Amazon's SDK finds: AWS_ACCESS_KEY_ID and so on, a profile, the instance's role.
/// </summary>
public sealed class S3ObjectStore : IObjectStore, IDisposable
{
    private readonly AmazonS3Client client;
    private readonly ObjectsUrl at;
    private readonly LeaseCache cache;

    /// <param name="at">The bucket.</param>
    /// <param name="scratch">A folder for files on their way.</param>
    /// <param name="cacheFolder">The folder that fetched files are kept in; emptied first.</param>
    /// <param name="cacheBytes">How many bytes of them are kept beside those that are in use.</param>
    /// <exception cref="UserErrorException">There are no credentials.</exception>
    public S3ObjectStore(ObjectsUrl at, ScratchFolder scratch, string cacheFolder, long cacheBytes)
    {
        this.at = at;
        AmazonS3Config settings = new()
        {
            // One that says nothing is given up within a minute: agents keep what they have, and others want their turn.
            MaxErrorRetry = 2,
            RetryMode = RequestRetryMode.Standard,
            Timeout = TimeSpan.FromSeconds(20),
            ConnectTimeout = TimeSpan.FromSeconds(5),
            RequestChecksumCalculation = at.AlwaysChecksums
                ? RequestChecksumCalculation.WHEN_SUPPORTED : RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = at.AlwaysChecksums
                ? ResponseChecksumValidation.WHEN_SUPPORTED : ResponseChecksumValidation.WHEN_REQUIRED,
        };
        if (at.Endpoint is { } endpoint)
        {
            settings.ServiceURL = endpoint.ToString();
            settings.ForcePathStyle = true;
            settings.AuthenticationRegion = at.Region ?? "us-east-1";
        }
        else if (at.Region is { } region)
        {
            settings.RegionEndpoint = RegionEndpoint.GetBySystemName(region);
        }
        try
        {
            client = new AmazonS3Client(settings);
        }
        catch (AmazonClientException e)
        {
            throw new UserErrorException($"cannot use s3://{at.Bucket} (--objects): {e.Message}", e);
        }
        cache = new LeaseCache(cacheFolder, cacheBytes, scratch, FetchAsync);
    }

    /// <summary>Finds out whether the bucket can be used, and makes it when it is missing.</summary>
    /// <exception cref="UserErrorException">It cannot.</exception>
    public async Task RequireBucketAsync(CancellationToken stop)
    {
        try
        {
            await client.ListObjectsV2Async(new ListObjectsV2Request { BucketName = at.Bucket, Prefix = at.Prefix, MaxKeys = 1 }, stop);
        }
        catch (AmazonS3Exception e) when (e.ErrorCode == "NoSuchBucket")
        {
            await MakeBucketAsync(stop);
        }
        catch (Exception e) when (IsAway(e, stop) || e is AmazonClientException)
        {
            throw new UserErrorException($"cannot use s3://{at.Bucket} at {Place} (--objects): {e.Message}", e);
        }
    }

    private async Task MakeBucketAsync(CancellationToken stop)
    {
        try
        {
            await client.PutBucketAsync(new PutBucketRequest { BucketName = at.Bucket }, stop);
        }
        catch (AmazonClientException e)
        {
            throw new UserErrorException(
                $"there is no bucket {at.Bucket} at {Place}, and it cannot be made: {e.Message}; make it, or name another with --objects",
                e);
        }
    }

    /// <inheritdoc/>
    public Task PutAsync(string key, ReadOnlyMemory<byte> content, CancellationToken stop) => CallAsync(key, async name =>
    {
        using MemoryStream stream = MemoryMarshal.TryGetArray(content, out ArraySegment<byte> bytes)
            ? new(bytes.Array!, bytes.Offset, bytes.Count, writable: false)
            : new(content.ToArray(), writable: false);
        await client.PutObjectAsync(
            new PutObjectRequest { BucketName = at.Bucket, Key = name, InputStream = stream, DisablePayloadSigning = false, UseChunkEncoding = false }, stop);
        cache.Forget(key);
        return true;
    }, stop);

    /// <inheritdoc/>
    public async Task PutFileAsync(string key, string file, CancellationToken stop)
    {
        try
        {
            await CallAsync(key, async name =>
            {
                // Large files go in parts, each of which is tried again by itself.
                using TransferUtility transfer = new(client);
                await transfer.UploadAsync(new TransferUtilityUploadRequest { BucketName = at.Bucket, Key = name, FilePath = file }, stop);
                cache.Forget(key);
                return true;
            }, stop);
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <inheritdoc/>
    public Task<Stream?> OpenAsync(string key, CancellationToken stop) => CallAsync<Stream>(key, async name =>
        (await client.GetObjectAsync(new GetObjectRequest { BucketName = at.Bucket, Key = name }, stop)).ResponseStream, stop);

    /// <inheritdoc/>
    public Task<byte[]?> ReadAsync(string key, long offset, int length, CancellationToken stop) => CallAsync<byte[]>(key, async name =>
    {
        if (length == 0)
            return [];
        try
        {
            using GetObjectResponse response = await client.GetObjectAsync(
                new GetObjectRequest { BucketName = at.Bucket, Key = name, ByteRange = new ByteRange(offset, offset + length - 1) }, stop);
            using MemoryStream bytes = new((int)Math.Min(response.ContentLength, length));
            await response.ResponseStream.CopyToAsync(bytes, stop);
            return bytes.ToArray();
        }
        catch (AmazonS3Exception e) when (e.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
        {
            return [];
        }
    }, stop);

    /// <inheritdoc/>
    public Task<LocalObject?> LeaseAsync(string key, CancellationToken stop)
    {
        ObjectKeys.Check(key);
        return cache.LeaseAsync(key, stop);
    }

    /// <inheritdoc/>
    public Task<StoredObject?> StatAsync(string key, CancellationToken stop) => CallAsync<StoredObject>(key, async name =>
    {
        GetObjectMetadataResponse found =
            await client.GetObjectMetadataAsync(new GetObjectMetadataRequest { BucketName = at.Bucket, Key = name }, stop);
        return new StoredObject(key, found.ContentLength, Utc(found.LastModified));
    }, stop);

    /// <inheritdoc/>
    public async IAsyncEnumerable<StoredObject> ListAsync(string prefix, [EnumeratorCancellation] CancellationToken stop)
    {
        string? continuation = null;
        do
        {
            string? from = continuation;
            ListObjectsV2Response page = await CallAsync(null, _ => client.ListObjectsV2Async(
                new ListObjectsV2Request { BucketName = at.Bucket, Prefix = at.Prefix + prefix, ContinuationToken = from }, stop), stop)
                ?? throw new IOException($"there is no bucket {at.Bucket} at {Place}");
            foreach (S3Object found in page.S3Objects ?? [])
                yield return new StoredObject(found.Key[at.Prefix.Length..], found.Size ?? 0, Utc(found.LastModified));
            continuation = page.IsTruncated == true ? page.NextContinuationToken : null;
        }
        while (continuation is not null);
    }

    /// <inheritdoc/>
    public Task QuarantineAsync(string key, CancellationToken stop) => CallAsync(key, async name =>
    {
        // A copy that was damaged on this machine's disk only is fetched anew by the next who asks.
        cache.Forget(key);
        await client.CopyObjectAsync(
            new CopyObjectRequest
            {
                SourceBucket = at.Bucket,
                SourceKey = name,
                DestinationBucket = at.Bucket,
                DestinationKey = at.Prefix + ObjectKeys.Quarantined(key)
            }, stop);
        await client.DeleteObjectAsync(new DeleteObjectRequest { BucketName = at.Bucket, Key = name }, stop);
        return true;
    }, stop);

    /// <inheritdoc/>
    public Task DeleteAsync(string key, CancellationToken stop) => CallAsync(key, async name =>
    {
        await client.DeleteObjectAsync(new DeleteObjectRequest { BucketName = at.Bucket, Key = name }, stop);
        cache.Forget(key);
        return true;
    }, stop);

    private string Place => at.Endpoint?.GetLeftPart(UriPartial.Authority) ?? at.Region ?? "Amazon S3";

    private async Task<bool> FetchAsync(string key, string file, CancellationToken stop)
    {
        await using Stream? content = await OpenAsync(key, stop);
        if (content is null)
            return false;
        try
        {
            await using FileStream to = new(file, FileMode.Create, FileAccess.Write);
            await content.CopyToAsync(to, stop);
            return true;
        }
        catch (Exception e) when (IsAway(e, stop))
        {
            StorageMetrics.Failed(StorageMetrics.Objects);
            throw new StorageAwayException($"s3://{at.Bucket}/{at.Prefix}{key} at {Place} broke off: {e.Message}", e);
        }
    }

    /// <summary>Whether a failure is of the connection, whatever layer tells of it; the SDK tells a time limit by a cancellation.</summary>
    private static bool IsAway(Exception e, CancellationToken stop) =>
        e is AmazonClientException or HttpRequestException or HttpIOException or SocketException or TimeoutException
        or IOException { InnerException: SocketException } || (e is OperationCanceledException && !stop.IsCancellationRequested);

    /// <summary>Asks the store; null when there is no such object.</summary>
    private async Task<T?> CallAsync<T>(string? key, Func<string, Task<T>> call, CancellationToken stop)
    {
        if (key is not null)
            ObjectKeys.Check(key);
        try
        {
            return await call(at.Prefix + key);
        }
        catch (AmazonS3Exception e) when (e.StatusCode == HttpStatusCode.NotFound)
        {
            return default;
        }
        catch (AmazonServiceException e)
        {
            StorageMetrics.Failed(StorageMetrics.Objects);
            // Some servers say no more than a status.
            string reason =
                e.Message.Length > 0 ? e.Message : $"it answered {(int)e.StatusCode} {e.ErrorCode ?? e.StatusCode.ToString()}".TrimEnd();
            string message = $"s3://{at.Bucket}/{at.Prefix}{key} at {Place} cannot be used: {reason}";
            throw e.StatusCode is HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized or HttpStatusCode.BadRequest
                ? new IOException(message, e) : new StorageAwayException(message, e);
        }
        catch (Exception e) when (IsAway(e, stop))
        {
            StorageMetrics.Failed(StorageMetrics.Objects);
            throw new StorageAwayException($"s3://{at.Bucket} at {Place} does not answer: {e.Message}", e);
        }
    }

    private static DateTimeOffset Utc(DateTime? time) =>
        time is { } known ? new DateTimeOffset(known.ToUniversalTime()) : DateTimeOffset.UnixEpoch;

    public void Dispose() => client.Dispose();
}
