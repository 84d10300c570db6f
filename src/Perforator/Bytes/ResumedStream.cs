namespace Perforator.Bytes;

/// <summary>A stream whose beginning was read already, to tell what it is: gives that again, then the rest. Works for pipes.</summary>
public sealed class ResumedStream : Stream
{
    private readonly Stream rest;
    private ReadOnlyMemory<byte> start;

    /// <param name="start">What was read of it.</param>
    /// <param name="rest">The stream, behind that. Disposed with this one.</param>
    public ResumedStream(ReadOnlyMemory<byte> start, Stream rest)
    {
        this.start = start;
        this.rest = rest;
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        if (start.IsEmpty)
            return rest.Read(buffer);
        int length = Math.Min(start.Length, buffer.Length);
        start.Span[..length].CopyTo(buffer);
        start = start[length..];
        return length;
    }

    public override void Flush() { }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            rest.Dispose();
        base.Dispose(disposing);
    }
}
