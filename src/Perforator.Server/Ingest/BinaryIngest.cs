using System.Collections.Concurrent;
using Microsoft.AspNetCore.Http;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Server.Http;
using Perforator.Server.Storage;

namespace Perforator.Server.Ingest;

/// <summary>The binaries profiles refer to, each taken once and only if it is what its build id says.</summary>
internal sealed class BinaryIngest
{
    private readonly IBlobStore blobs;
    private readonly ServerSettings settings;
    private readonly ConcurrentDictionary<BuildId, ulong> executableBytes = [];

    public BinaryIngest(IBlobStore blobs, ServerSettings settings)
    {
        this.blobs = blobs;
        this.settings = settings;
    }

    public async Task<bool> HasAsync(BuildId buildId, CancellationToken stop) => await FindAsync(buildId, stop) is not null;

    /// <summary>A local path of the binary, or null.</summary>
    public Task<string?> FindAsync(BuildId buildId, CancellationToken stop) => blobs.FindAsync(Key(buildId), stop);

    /// <summary>The binary's executable bytes (<see cref="ElfFile.ExecutableBytes"/>); null when the server does not have it.</summary>
    public async Task<ulong?> ExecutableBytesAsync(BuildId buildId, CancellationToken stop)
    {
        if (executableBytes.TryGetValue(buildId, out ulong known))
            return known;
        if (await FindAsync(buildId, stop) is not { } path)
            return null;
        using ElfFile binary = ElfFile.Load(path);
        return executableBytes[buildId] = binary.ExecutableBytes;
    }

    /// <summary>Stores a binary. Whatever goes wrong on the way, nothing of it is kept.</summary>
    /// <exception cref="ApiException">Too large, not an ELF file, or of another build id.</exception>
    public async Task AcceptAsync(BuildId buildId, Stream content, CancellationToken stop)
    {
        string temporary = blobs.CreateTemporaryFile();
        try
        {
            await using (FileStream file = new(temporary, FileMode.Open, FileAccess.Write, FileShare.None, 1 << 16))
                await CopyAsync(content, file, stop);
            Verify(temporary, buildId);
            await blobs.PutFileAsync(Key(buildId), temporary, CancellationToken.None);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>Counts for itself: a request without a declared length may send any number of bytes.</summary>
    private async Task CopyAsync(Stream from, FileStream to, CancellationToken stop)
    {
        byte[] buffer = new byte[1 << 16];
        long total = 0;
        for (int n; (n = await from.ReadAsync(buffer, stop)) > 0;)
        {
            total += n;
            if (total > settings.MaxBinaryBytes)
                throw new ApiException(StatusCodes.Status413PayloadTooLarge, $"the binary is larger than the {settings.MaxBinaryBytes} bytes accepted");
            await to.WriteAsync(buffer.AsMemory(0, n), stop);
        }
    }

    private static void Verify(string path, BuildId expected)
    {
        BuildId actual;
        ulong executableBytes;
        try
        {
            using ElfFile binary = ElfFile.Load(path);
            actual = binary.BuildId;
            executableBytes = binary.ExecutableBytes;
        }
        catch (Exception e) when (e is MalformedInputException or UserErrorException)
        {
            string what = (e as MalformedInputException ?? e.InnerException as MalformedInputException)?.What ?? e.Message;
            throw ApiException.BadRequest($"the upload for build id {expected} is not a binary that can be profiled: {what}");
        }
        if (actual != expected)
            throw ApiException.BadRequest($"the upload for build id {expected} has build id {actual}; upload the very binary that was profiled");
        if (executableBytes == 0)
            throw ApiException.BadRequest($"the upload for build id {expected} holds no code, only debug info; upload the binary itself");
    }

    private static string Key(BuildId buildId) => $"binaries/{buildId}";
}
