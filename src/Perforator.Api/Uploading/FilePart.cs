using System.Net;
using System.Net.Http.Headers;

namespace Perforator.Api.Uploading;

/// <summary>Some bytes of a file as a request's body. May be sent again; the file stays open.</summary>
internal sealed class FilePart : HttpContent
{
    private readonly FileStream file;
    private readonly long offset;
    private readonly long length;

    public FilePart(FileStream file, long offset, long length)
    {
        (this.file, this.offset, this.length) = (file, offset, length);
        Headers.ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Bytes);
    }

    protected override bool TryComputeLength(out long length)
    {
        length = this.length;
        return true;
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken stop)
    {
        byte[] buffer = new byte[1 << 16];
        for (long sent = 0; sent < length;)
        {
            int n = await RandomAccess.ReadAsync(
                file.SafeFileHandle, buffer.AsMemory(0, (int)Math.Min(buffer.Length, length - sent)), offset + sent, stop);
            if (n == 0)
                throw new UserErrorException($"{file.Name} became shorter while it was sent; send it again once it is whole");
            await stream.WriteAsync(buffer.AsMemory(0, n), stop);
            sent += n;
        }
    }
}
