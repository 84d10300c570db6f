using Microsoft.AspNetCore.Http;
using Perforator.Branches;
using Perforator.Server.Storage;

namespace Perforator.Server.Http;

/// <summary>
/// Reads the bodies of uploads. What begins wrongly or claims too much is refused by its first bytes. A body takes memory once it is there
/// in full, so that slow clients keep none from others: while it comes it lies in a file, or in memory as far as that is small for all
/// together.
/// </summary>
internal sealed class UploadBodies
{
    /// <summary>Memory for bodies that are not complete; what is more goes to files.</summary>
    private const long MaxBuffered = 64 << 20;

    /// <summary>How long a body may take beside what <see cref="MinBytesPerSecond"/> allows it.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(30);

    /// <summary>A slow line of an office; who sends more slowly only holds a connection.</summary>
    private const int MinBytesPerSecond = 50_000;

    /// <summary>What a row takes: slots of some 40 bytes in a table that is a quarter to half full, and what it grew from.</summary>
    private const ulong BytesPerRow = 160;

    /// <summary>A row has two columns at least, of a byte each.</summary>
    private const ulong MinMessageBytesPerRow = 2;

    private readonly ServerStorage storage;
    private readonly ServerSettings settings;
    private readonly InFlightBytes memory;
    private long buffered;

    /// <param name="memory">What complete bodies take.</param>
    public UploadBodies(ServerStorage storage, ServerSettings settings, InFlightBytes memory)
    {
        this.storage = storage;
        this.settings = settings;
        this.memory = memory;
    }

    /// <summary>A body and its share of the memory, which is given back when this is disposed.</summary>
    public readonly record struct Body(byte[] Bytes, InFlightBytes.Share Share) : IDisposable
    {
        public void Dispose() => Share.Dispose();
    }

    /// <summary>Reads one encoded branch profile set.</summary>
    /// <exception cref="Bytes.MalformedInputException">It begins like none.</exception>
    /// <exception cref="ApiException">It is too large, comes too slowly, or too much came at once.</exception>
    public async Task<Body> ReadAsync(Stream from, CancellationToken stop)
    {
        using CancellationTokenSource late = CancellationTokenSource.CreateLinkedTokenSource(stop);
        late.CancelAfter(Grace);
        try
        {
            byte[] start = new byte[BranchProfileEnvelope.Length];
            int n = await from.ReadAtLeastAsync(start, start.Length, throwOnEndOfStream: false, late.Token);
            BranchProfileEnvelope envelope = BranchProfileEnvelope.Parse(start.AsSpan(0, n));
            envelope.RequireAtMost(settings.MaxProfileMessageBytes);
            if (envelope.CompressedLength > (ulong)settings.MaxProfileBytes)
                throw new ApiException(
                    StatusCodes.Status413PayloadTooLarge,
                    $"the upload has {envelope.CompressedLength} bytes; at most {settings.MaxProfileBytes} are accepted");
            int length = start.Length + (int)envelope.CompressedLength;
            late.CancelAfter(Grace + TimeSpan.FromSeconds(length / MinBytesPerSecond));
            bool isSmall = Interlocked.Add(ref buffered, length) <= MaxBuffered;
            try
            {
                return isSmall
                    ? await ThroughMemoryAsync(from, start, length, envelope, late.Token, stop)
                    : await ThroughFileAsync(from, start, length, envelope, late.Token, stop);
            }
            finally
            {
                Interlocked.Add(ref buffered, -length);
            }
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new ApiException(
                StatusCodes.Status408RequestTimeout, $"the upload came more slowly than {MinBytesPerSecond} bytes a second");
        }
    }

    private async Task<Body> ThroughMemoryAsync(
        Stream from, byte[] start, int length, BranchProfileEnvelope envelope, CancellationToken late, CancellationToken stop)
    {
        byte[] body = new byte[length];
        start.CopyTo(body, 0);
        int n = start.Length
            + await from.ReadAtLeastAsync(body.AsMemory(start.Length), length - start.Length, throwOnEndOfStream: false, late);
        await RequireEndAsync(from, n, length, late);
        return new Body(body, await memory.TakeAsync(MemoryOf(envelope), stop));
    }

    private async Task<Body> ThroughFileAsync(
        Stream from, byte[] start, int length, BranchProfileEnvelope envelope, CancellationToken late, CancellationToken stop)
    {
        string file = storage.Scratch.CreateFile();
        try
        {
            await using FileStream body = new(file, FileMode.Open, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
            await body.WriteAsync(start, late);
            byte[] buffer = new byte[1 << 14];
            for (int n; body.Position < length
                && (n = await from.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, length - body.Position)), late)) > 0;)
                await body.WriteAsync(buffer.AsMemory(0, n), late);
            await RequireEndAsync(from, (int)body.Position, length, late);
            InFlightBytes.Share share = await memory.TakeAsync(MemoryOf(envelope), stop);
            try
            {
                byte[] bytes = new byte[length];
                body.Position = 0;
                await body.ReadExactlyAsync(bytes, stop);
                return new Body(bytes, share);
            }
            catch
            {
                share.Dispose();
                throw;
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static async Task RequireEndAsync(Stream from, int n, int length, CancellationToken stop)
    {
        if (n < length)
            throw ApiException.BadRequest($"the upload is truncated: it has {n} bytes of the {length} that it says it has");
        if (await from.ReadAsync(new byte[1], stop) != 0)
            throw ApiException.BadRequest("the upload is longer than it says itself");
    }

    /// <summary>
    /// What an upload needs until it is stored: its bytes, the message, its columns, and a counter for each row there may be.
    /// </summary>
    private long MemoryOf(BranchProfileEnvelope envelope) => (long)(envelope.CompressedLength + (2 * envelope.MessageLength)
        + (Math.Min(envelope.MessageLength / MinMessageBytesPerRow, (ulong)settings.MaxProfileRows) * BytesPerRow));
}
