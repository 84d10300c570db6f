using System.Globalization;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Http;
using Perforator.Api;
using Perforator.Server.Http;
using Perforator.Server.Storage;

namespace Perforator.Server.Ingest;

/// <summary>What a request says of the part of a binary that it brings.</summary>
/// <param name="Digest">SHA-256 of the whole binary, in hexadecimal.</param>
/// <param name="First">Where in the binary the part begins.</param>
/// <param name="Size">Bytes of the whole binary.</param>
internal readonly record struct BinaryPart(string Digest, long First, long Size)
{
    private const string Algorithm = "sha-256=:";

    /// <summary>Bytes of the part.</summary>
    public long Length => Math.Min(ApiRoutes.BinaryPartBytes, Size - First);

    /// <summary>Reads Content-Range and Repr-Digest; null where a request brings a whole binary.</summary>
    /// <exception cref="ApiException">They make no sense, or the binary is too large.</exception>
    public static BinaryPart? Of(HttpRequest request, long maxBytes)
    {
        if (request.Headers.ContentRange.ToString() is not { Length: > 0 } text)
            return null;
        if (!ContentRangeHeaderValue.TryParse(text, out ContentRangeHeaderValue? range)
            || range is not { From: { } first, To: { } last, Length: { } size })
            throw ApiException.BadRequest("a part of a binary is sent with Content-Range: bytes FIRST-LAST/SIZE");
        if (size > maxBytes)
            throw new ApiException(StatusCodes.Status413PayloadTooLarge, $"the binary has {size} bytes; at most {maxBytes} are accepted");
        if (DigestOf(request) is not { } digest)
            throw ApiException.BadRequest(
                $"a part of a binary is sent with {ApiHeaders.ReprDigest}: sha-256=:BASE64:, the hash of the whole");
        BinaryPart part = new(digest, first, size);
        if (first % ApiRoutes.BinaryPartBytes != 0 || last - first + 1 != part.Length)
            throw ApiException.BadRequest(
                $"parts of a binary have {ApiRoutes.BinaryPartBytes} bytes, all but the last one; {text} is none");
        return part;
    }

    /// <summary>Reads Repr-Digest; null where there is none.</summary>
    /// <returns>The SHA-256 in hexadecimal.</returns>
    public static string? DigestOf(HttpRequest request)
    {
        string text = request.Headers[ApiHeaders.ReprDigest].ToString();
        byte[] hash = new byte[32];
        return text.StartsWith(Algorithm, StringComparison.Ordinal) && text.EndsWith(':') && text.Length > Algorithm.Length
            && Convert.TryFromBase64String(text[Algorithm.Length..^1], hash, out int length) && length == hash.Length
            ? Convert.ToHexStringLower(hash) : null;
    }
}

/// <summary>
/// Binaries that have come in part. Each part is an object until all are there, so that any server takes any of them, from anybody, and
/// none has to come twice. What is never made whole is collected as whatever nothing names.
/// </summary>
internal sealed class BinaryParts
{
    private readonly IObjectStore objects;

    public BinaryParts(IObjectStore objects) => this.objects = objects;

    /// <summary>Stores a part.</summary>
    /// <param name="file">Its bytes, which are moved.</param>
    public Task PutAsync(BinaryPart part, string file, CancellationToken stop) =>
        objects.PutFileAsync(Key(part.Digest, part.First), file, stop);

    /// <summary>How many bytes of a binary are there without a gap from its beginning.</summary>
    public async Task<long> ReceivedAsync(string digest, CancellationToken stop)
    {
        Dictionary<string, long> found = [];
        await foreach (StoredObject one in objects.ListAsync($"{ObjectKeys.Parts}{digest}-", stop))
            found[one.Key] = one.Bytes;
        long received = 0;
        while (received % ApiRoutes.BinaryPartBytes == 0 && found.TryGetValue(Key(digest, received), out long bytes))
            received += bytes;
        return received;
    }

    /// <summary>Whether a part is there.</summary>
    public async Task<bool> HasAsync(BinaryPart part, CancellationToken stop) =>
        (await objects.StatAsync(Key(part.Digest, part.First), stop))?.Bytes == part.Length;

    /// <summary>The parts' bytes, one after the other.</summary>
    /// <exception cref="ApiException">One of them has gone: another server made the whole of them, or they were collected.</exception>
    public async IAsyncEnumerable<Stream> OpenAsync(BinaryPart part, [EnumeratorCancellation] CancellationToken stop)
    {
        for (long at = 0; at < part.Size; at += ApiRoutes.BinaryPartBytes)
            yield return await objects.OpenAsync(Key(part.Digest, at), stop)
                ?? throw new ApiException(
                    StatusCodes.Status503ServiceUnavailable,
                    "the parts of the binary are just being put together, or were removed; send the last one again");
    }

    /// <summary>Deletes what came of a binary.</summary>
    public async Task DeleteAsync(BinaryPart part)
    {
        for (long at = 0; at < part.Size; at += ApiRoutes.BinaryPartBytes)
            await objects.DeleteAsync(Key(part.Digest, at), CancellationToken.None);
    }

    private static string Key(string digest, long first) =>
        string.Create(CultureInfo.InvariantCulture, $"{ObjectKeys.Parts}{digest}-{first}");
}
