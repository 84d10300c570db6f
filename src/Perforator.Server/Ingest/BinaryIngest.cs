using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Server.Http;
using Perforator.Server.Storage;

namespace Perforator.Server.Ingest;

/// <summary>
/// The files of builds that profiles refer to, each taken only if it is what its build id says, and kept once whoever sends it.
/// </summary>
internal sealed class BinaryIngest
{
    private readonly ServerStorage storage;
    private readonly ServerSettings settings;
    private readonly TimeProvider time;
    private readonly BinaryParts parts;

    public BinaryIngest(ServerStorage storage, ServerSettings settings, TimeProvider time)
    {
        this.storage = storage;
        this.settings = settings;
        this.time = time;
        parts = new BinaryParts(storage.Objects);
    }

    /// <summary>Whether the build's executable is there.</summary>
    public Task<bool> HasAsync(BuildId buildId, CancellationToken stop) =>
        HasAsync(buildId, static file => file.Kind == BinaryKind.Executable, stop);

    /// <summary>Whether nothing that could be sent of a build would be of use: its executable is there with debug info in it.</summary>
    public Task<bool> IsCompleteAsync(BuildId buildId, CancellationToken stop) =>
        HasAsync(buildId, static file => file is { Kind: BinaryKind.Executable, HasDebugInfo: true }, stop);

    /// <summary>Whether a file is listed and its object whole as far as its length tells.</summary>
    private async Task<bool> HasAsync(BuildId buildId, Func<BinaryFile, bool> wanted, CancellationToken stop) =>
        (await storage.Binaries.FindAsync(buildId, stop)).FirstOrDefault(wanted) is { } file
        && (await storage.Objects.StatAsync(file.Object, stop))?.Bytes == file.Bytes;

    /// <summary>
    /// Stores an executable, a debug file or a package of split DWARF. Whatever goes wrong on the way, nothing of it is kept.
    /// </summary>
    /// <returns>False when one as good was there already.</returns>
    /// <exception cref="ApiException">Too large, not an ELF file, of another build id, or of no use.</exception>
    public async Task<bool> AcceptAsync(BuildId buildId, Stream content, CancellationToken stop)
    {
        string temporary = storage.Scratch.CreateFile();
        try
        {
            return await StoreAsync(buildId, temporary, await CopyAsync(content, temporary, settings.MaxBinaryBytes, stop), stop);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>Whether a file of a build is there, or how many bytes of it from its beginning.</summary>
    /// <param name="digest">SHA-256 of its bytes, in hexadecimal.</param>
    public async Task<(bool IsThere, long Received)> FindAsync(BuildId buildId, string digest, CancellationToken stop) =>
        await HasAsync(buildId, file => file.Object == ObjectKeys.Binary(digest), stop)
            ? (true, 0) : (false, await parts.ReceivedAsync(digest, stop));

    /// <summary>Stores a part of a binary, and the binary once all of it is there.</summary>
    /// <returns>Whether the binary was stored, as <see cref="AcceptAsync"/> has it; or null, and how many bytes of it are there from its
    /// beginning.</returns>
    /// <exception cref="ApiException">Too short or too long; or, once all of it is there, what <see cref="AcceptAsync"/> says.</exception>
    public async Task<(bool? Stored, long Received)> AcceptPartAsync(
        BuildId buildId, BinaryPart part, Stream content, CancellationToken stop)
    {
        if (!await parts.HasAsync(part, stop))
        {
            if ((await FindAsync(buildId, part.Digest, stop)).IsThere)
                return (false, part.Size);
            string temporary = storage.Scratch.CreateFile();
            try
            {
                await CopyAsync(content, temporary, part.Length, stop);
                if (new FileInfo(temporary).Length != part.Length)
                    throw ApiException.BadRequest($"the part of {part.Length} bytes is truncated");
                await parts.PutAsync(part, temporary, stop);
            }
            finally
            {
                File.Delete(temporary);
            }
        }
        long received = await parts.ReceivedAsync(part.Digest, stop);
        return received < part.Size ? (null, received) : (await MakeWholeAsync(buildId, part, stop), received);
    }

    private async Task<bool> MakeWholeAsync(BuildId buildId, BinaryPart part, CancellationToken stop)
    {
        string temporary = storage.Scratch.CreateFile();
        try
        {
            string hash = await CopyAsync(parts.OpenAsync(part, stop), temporary, part.Size, stop);
            bool isStored;
            try
            {
                isStored = hash == part.Digest
                    ? await StoreAsync(buildId, temporary, hash, stop)
                    : throw ApiException.BadRequest(
                        "the parts of the binary do not add up to its digest: the file changed meanwhile, or was damaged on its way; send it again");
            }
            catch (ApiException e) when (e.Status == StatusCodes.Status400BadRequest)
            {
                await parts.DeleteAsync(part);
                throw;
            }
            await parts.DeleteAsync(part);
            return isStored;
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>Stores a file if it is what its build id says and fuller than what is there.</summary>
    private async Task<bool> StoreAsync(BuildId buildId, string temporary, string hash, CancellationToken stop)
    {
        BinaryFile known = Verify(temporary, buildId) with { Object = ObjectKeys.Binary(hash), Added = time.GetUtcNow() };
        BinaryFile? present = (await storage.Binaries.FindAsync(buildId, stop)).FirstOrDefault(file => file.Kind == known.Kind);
        if (present is not null && !known.IsFullerThan(present) && await storage.Objects.StatAsync(present.Object, stop) is { } stored
            && stored.Bytes == present.Bytes)
            return false;
        await storage.Objects.PutFileAsync(known.Object, temporary, CancellationToken.None);
        if (await storage.Binaries.AddAsync(known, replace: present is not null, CancellationToken.None))
        {
            Telemetry.ServerMetrics.BinaryTaken(known.Bytes);
            return true;
        }
        // Another has sent it meanwhile; or the very bytes were just being collected, which whoever sends it again finds over.
        return await IsCompleteAsync(buildId, stop) || await HasAsync(buildId, stop)
            ? false
            : throw new ApiException(StatusCodes.Status503ServiceUnavailable, "the binary was just being removed as unused; send it again");
    }

    private static Task<string> CopyAsync(Stream from, string to, long maxBytes, CancellationToken stop) =>
        CopyAsync(new[] { from }.ToAsyncEnumerable(), to, maxBytes, stop);

    /// <summary>
    /// Writes all of some streams into a file, and gives its hash. Counts for itself: a request without a declared length may send any
    /// number of bytes.
    /// </summary>
    private static async Task<string> CopyAsync(IAsyncEnumerable<Stream> from, string to, long maxBytes, CancellationToken stop)
    {
        await using FileStream file = new(to, FileMode.Open, FileAccess.Write, FileShare.None, 1 << 16);
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 16];
        long total = 0;
        await foreach (Stream one in from)
            await using (one)
                for (int n; (n = await one.ReadAsync(buffer, stop)) > 0;)
                {
                    total += n;
                    if (total > maxBytes)
                        throw new ApiException(
                            StatusCodes.Status413PayloadTooLarge, $"the binary is larger than the {maxBytes} bytes accepted");
                    hash.AppendData(buffer, 0, n);
                    await file.WriteAsync(buffer.AsMemory(0, n), stop);
                }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static BinaryFile Verify(string path, BuildId expected)
    {
        try
        {
            using ElfFile binary = ElfFile.Load(path);
            long bytes = new FileInfo(path).Length;
            // A package of split DWARF has no build id of its own: it belongs to the build it is sent for.
            if (binary.ExecutableBytes == 0 && binary.HasSection(".debug_info.dwo"))
                return new BinaryFile(expected, BinaryKind.SplitDebug, "", bytes, 0, HasDebugInfo: true, default);
            if (binary.BuildId != expected)
                throw ApiException.BadRequest(
                    $"the upload for build id {expected} has build id {binary.BuildId}; upload the very binary that was profiled");
            bool hasDebugInfo = binary.HasSection(".debug_info");
            if (binary.ExecutableBytes != 0)
                return new BinaryFile(expected, BinaryKind.Executable, "", bytes, binary.ExecutableBytes, hasDebugInfo, default);
            return hasDebugInfo
                ? new BinaryFile(expected, BinaryKind.Debug, "", bytes, 0, HasDebugInfo: true, default)
                : throw ApiException.BadRequest(
                    $"the upload for build id {expected} has neither code nor debug info; upload the binary itself");
        }
        catch (Exception e) when (e is MalformedInputException or UserErrorException)
        {
            string what = (e as MalformedInputException ?? e.InnerException as MalformedInputException)?.What ?? e.Message;
            throw ApiException.BadRequest($"the upload for build id {expected} is not a binary that can be profiled: {what}");
        }
    }
}
