using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Server.Http;
using Perforator.Server.Storage;

namespace Perforator.Server.Ingest;

/// <summary>The files of builds that profiles refer to, each taken only if it is what its build id says, and kept once whoever sends it.</summary>
internal sealed class BinaryIngest
{
    private readonly ServerStorage storage;
    private readonly ServerSettings settings;
    private readonly TimeProvider time;

    public BinaryIngest(ServerStorage storage, ServerSettings settings, TimeProvider time)
    {
        this.storage = storage;
        this.settings = settings;
        this.time = time;
    }

    /// <summary>Whether the build's executable is there.</summary>
    public Task<bool> HasAsync(BuildId buildId, CancellationToken stop) => HasAsync(buildId, static file => file.Kind == BinaryKind.Executable, stop);

    /// <summary>Whether nothing that could be sent of a build would be of use: its executable is there with debug info in it.</summary>
    public Task<bool> IsCompleteAsync(BuildId buildId, CancellationToken stop) =>
        HasAsync(buildId, static file => file is { Kind: BinaryKind.Executable, HasDebugInfo: true }, stop);

    /// <summary>Whether a file is listed and its object whole as far as its length tells.</summary>
    private async Task<bool> HasAsync(BuildId buildId, Func<BinaryFile, bool> wanted, CancellationToken stop) =>
        (await storage.Binaries.FindAsync(buildId, stop)).FirstOrDefault(wanted) is { } file
        && (await storage.Objects.StatAsync(file.Object, stop))?.Bytes == file.Bytes;

    /// <summary>Stores an executable, a debug file or a package of split DWARF. Whatever goes wrong on the way, nothing of it is kept.</summary>
    /// <returns>False when one as good was there already.</returns>
    /// <exception cref="ApiException">Too large, not an ELF file, of another build id, or of no use.</exception>
    public async Task<bool> AcceptAsync(BuildId buildId, Stream content, CancellationToken stop)
    {
        string temporary = storage.Scratch.CreateFile();
        try
        {
            string hash;
            await using (FileStream file = new(temporary, FileMode.Open, FileAccess.Write, FileShare.None, 1 << 16))
                hash = await CopyAsync(content, file, stop);
            BinaryFile known = Verify(temporary, buildId) with { Object = ObjectKeys.Binary(hash), Added = time.GetUtcNow() };
            BinaryFile? present = (await storage.Binaries.FindAsync(buildId, stop)).FirstOrDefault(file => file.Kind == known.Kind);
            if (present is not null && !known.IsFullerThan(present) && await storage.Objects.StatAsync(present.Object, stop) is { } stored && stored.Bytes == present.Bytes)
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
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>Counts for itself: a request without a declared length may send any number of bytes.</summary>
    private async Task<string> CopyAsync(Stream from, FileStream to, CancellationToken stop)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 16];
        long total = 0;
        for (int n; (n = await from.ReadAsync(buffer, stop)) > 0;)
        {
            total += n;
            if (total > settings.MaxBinaryBytes)
                throw new ApiException(StatusCodes.Status413PayloadTooLarge, $"the binary is larger than the {settings.MaxBinaryBytes} bytes accepted");
            hash.AppendData(buffer, 0, n);
            await to.WriteAsync(buffer.AsMemory(0, n), stop);
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
                throw ApiException.BadRequest($"the upload for build id {expected} has build id {binary.BuildId}; upload the very binary that was profiled");
            bool hasDebugInfo = binary.HasSection(".debug_info");
            if (binary.ExecutableBytes != 0)
                return new BinaryFile(expected, BinaryKind.Executable, "", bytes, binary.ExecutableBytes, hasDebugInfo, default);
            return hasDebugInfo
                ? new BinaryFile(expected, BinaryKind.Debug, "", bytes, 0, HasDebugInfo: true, default)
                : throw ApiException.BadRequest($"the upload for build id {expected} has neither code nor debug info; upload the binary itself");
        }
        catch (Exception e) when (e is MalformedInputException or UserErrorException)
        {
            string what = (e as MalformedInputException ?? e.InnerException as MalformedInputException)?.What ?? e.Message;
            throw ApiException.BadRequest($"the upload for build id {expected} is not a binary that can be profiled: {what}");
        }
    }
}
