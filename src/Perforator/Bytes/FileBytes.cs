using System.Buffers;
using System.IO.MemoryMappedFiles;

namespace Perforator.Bytes;

/// <summary>
/// Random access to the bytes of a file of any size, or of a buffer. Small pieces are read; large ones are mapped, so that only
/// the pages touched cost anything.
/// </summary>
public sealed class FileBytes : IDisposable
{
    /// <summary>Pieces of at least this many bytes are mapped rather than read.</summary>
    private const int MapThreshold = 1 << 20;

    private readonly ReadOnlyMemory<byte> buffer;
    private readonly FileStream? file;
    private MemoryMappedFile? mapping;
    private readonly List<MappedView> views = [];

    private FileBytes(FileStream file)
    {
        this.file = file;
        Length = (ulong)file.Length;
    }

    /// <summary>Bytes that are in memory already.</summary>
    public FileBytes(ReadOnlyMemory<byte> buffer)
    {
        this.buffer = buffer;
        Length = (ulong)buffer.Length;
    }

    /// <summary>Opens a file for reading.</summary>
    /// <exception cref="UserErrorException">Missing, unreadable or not a regular file.</exception>
    public static FileBytes Open(string path)
    {
        FileStream file = InputFile.Open(path, FileOptions.RandomAccess);
        if (file.CanSeek)
            return new FileBytes(file);
        file.Dispose();
        throw new UserErrorException($"{path} is not a regular file");
    }

    /// <summary>Size in bytes when it was opened.</summary>
    public ulong Length { get; }

    /// <summary>A piece of the file; valid until this object is disposed.</summary>
    /// <param name="where">The structure that is wanted, for errors.</param>
    /// <exception cref="MalformedInputException">Not inside the file, or larger than 2 GiB.</exception>
    public ReadOnlyMemory<byte> Read(ulong offset, ulong length, string where)
    {
        if (offset > Length || length > Length - offset)
            throw new MalformedInputException(
                $"{length} bytes at file offset 0x{offset:x} are beyond the end of the file ({Length} bytes)", where, offset);
        if (length > int.MaxValue)
            throw new MalformedInputException($"{length} bytes: more than 2 GiB is not supported", where, offset);
        if (file is null)
            return buffer.Slice((int)offset, (int)length);
        return length >= MapThreshold ? Map(offset, (int)length) : ReadArray(offset, (int)length, where);
    }

    public void Dispose()
    {
        foreach (MappedView view in views)
            ((IDisposable)view).Dispose();
        views.Clear();
        mapping?.Dispose();
        file?.Dispose();
    }

    private byte[] ReadArray(ulong offset, int length, string where)
    {
        byte[] bytes = new byte[length];
        for (int done = 0; done < length;)
        {
            int read = RandomAccess.Read(file!.SafeFileHandle, bytes.AsSpan(done), (long)offset + done);
            if (read == 0)
                throw new MalformedInputException("the file was shortened while it was read", where, offset + (ulong)done);
            done += read;
        }
        return bytes;
    }

    private ReadOnlyMemory<byte> Map(ulong offset, int length)
    {
        mapping ??= MemoryMappedFile.CreateFromFile(
            file!, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        MappedView view = new(mapping.CreateViewAccessor((long)offset, length, MemoryMappedFileAccess.Read), length);
        views.Add(view);
        return view.Memory;
    }

    private sealed unsafe class MappedView : MemoryManager<byte>
    {
        private readonly MemoryMappedViewAccessor accessor;
        private readonly byte* start;
        private readonly int length;

        public MappedView(MemoryMappedViewAccessor accessor, int length)
        {
            this.accessor = accessor;
            this.length = length;
            accessor.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
            start += accessor.PointerOffset;
        }

        public override Span<byte> GetSpan() => new(start, length);

        public override MemoryHandle Pin(int elementIndex = 0) => new(start + elementIndex);

        public override void Unpin() { }

        protected override void Dispose(bool disposing)
        {
            if (!disposing || accessor.SafeMemoryMappedViewHandle.IsClosed)
                return;
            accessor.SafeMemoryMappedViewHandle.ReleasePointer();
            accessor.Dispose();
        }
    }
}
