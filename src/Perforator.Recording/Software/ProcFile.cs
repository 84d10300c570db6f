namespace Perforator.Recording.Software;

/// <summary>Reads small /proc files without allocating their text; they change or vanish at any moment.</summary>
internal static class ProcFile
{
    /// <summary>The first bytes of a file, as many as the buffer holds; empty when it cannot be read.</summary>
    public static ReadOnlySpan<byte> Read(string path, Span<byte> buffer)
    {
        try
        {
            using Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(path);
            return buffer[..RandomAccess.Read(file, buffer, 0)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
