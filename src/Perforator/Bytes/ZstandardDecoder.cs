using System.Buffers;

namespace Perforator.Bytes;

/// <summary>
/// A Zstandard stream that arrives in pieces, as the PERF_RECORD_COMPRESSED records of <c>perf record -z</c> do: a piece may end
/// anywhere in a frame, and its output is available at once.
/// </summary>
public sealed class ZstandardDecoder : IDisposable
{
    private readonly string where;
    private nint stream;
    private ulong consumed;
    private bool insideFrame;

    /// <param name="where">The structure's name, for errors.</param>
    /// <exception cref="UserErrorException">libzstd is not installed.</exception>
    public ZstandardDecoder(string where)
    {
        this.where = where;
        Zstandard.RequireLibrary();
        stream = Zstandard.ZSTD_createDStream();
        if (stream == 0)
            throw new InsufficientMemoryException("libzstd: no memory for a decompression stream");
        Zstandard.ZSTD_initDStream(stream);
    }

    /// <summary>Decompresses one piece of the stream and appends what it yields to <paramref name="output"/>.</summary>
    /// <param name="maxSize">The most bytes this piece may yield; more is malformed.</param>
    /// <exception cref="MalformedInputException">Damaged, or more than <paramref name="maxSize"/> bytes.</exception>
    public unsafe void Decode(ReadOnlySpan<byte> piece, IBufferWriter<byte> output, int maxSize)
    {
        ObjectDisposedException.ThrowIf(stream == 0, this);
        int produced = 0;
        fixed (byte* source = piece)
        {
            Zstandard.ZSTD_inBuffer input = new() { Source = source, Size = (nuint)piece.Length };
            bool full = false;
            // A full output buffer may leave decoded bytes inside libzstd even when all input is consumed.
            while (input.Position < input.Size || full)
            {
                Span<byte> buffer = output.GetSpan(1 << 14);
                nuint status;
                Zstandard.ZSTD_outBuffer target;
                fixed (byte* to = buffer)
                {
                    target = new() { Target = to, Size = (nuint)buffer.Length };
                    status = Zstandard.ZSTD_decompressStream(stream, &target, &input);
                }
                if (Zstandard.ZSTD_isError(status) != 0)
                    throw new MalformedInputException(
                        $"damaged Zstandard data: {Zstandard.ErrorName(status)}", where, consumed + input.Position);
                produced += (int)target.Position;
                if (produced > maxSize)
                    throw new MalformedInputException($"decompresses to more than {maxSize} bytes", where, consumed + input.Position);
                output.Advance((int)target.Position);
                insideFrame = status != 0;
                full = target.Position == target.Size;
            }
        }
        consumed += (ulong)piece.Length;
    }

    /// <summary>Checks that the stream ended at the end of a frame.</summary>
    /// <exception cref="MalformedInputException">The last frame is incomplete.</exception>
    public void Complete()
    {
        if (insideFrame)
            throw new MalformedInputException("truncated Zstandard data", where, consumed);
    }

    public void Dispose()
    {
        if (stream != 0)
            Zstandard.ZSTD_freeDStream(stream);
        stream = 0;
        GC.SuppressFinalize(this);
    }

    ~ZstandardDecoder()
    {
        if (stream != 0)
            Zstandard.ZSTD_freeDStream(stream);
    }
}
