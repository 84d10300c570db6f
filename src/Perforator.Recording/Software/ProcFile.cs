using Microsoft.Win32.SafeHandles;

namespace Perforator.Recording.Software;

/// <summary>
/// Reads a small /proc file again and again without allocating its text; it changes or vanishes at any moment. The file stays open, since opening it costs several times as much as
/// reading it.
/// </summary>
internal sealed class ProcFile : IDisposable
{
    private readonly SafeFileHandle? file;

    /// <param name="path">When it cannot be opened, every reading is empty.</param>
    public ProcFile(string path)
    {
        try
        {
            file = File.OpenHandle(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Of a thread that has ended already.
        }
    }

    /// <summary>The first bytes as they are now, as many as the buffer holds; empty when it cannot be read, as when its thread has ended.</summary>
    public ReadOnlySpan<byte> Read(Span<byte> buffer)
    {
        try
        {
            return file is null ? [] : buffer[..RandomAccess.Read(file, buffer, 0)];
        }
        catch (IOException)
        {
            return [];
        }
    }

    public void Dispose() => file?.Dispose();
}
