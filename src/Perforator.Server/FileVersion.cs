using Microsoft.Win32.SafeHandles;

namespace Perforator.Server;

/// <summary>
/// Tells a file's content from an earlier one cheaply. It is that of the file behind symbolic links: Kubernetes changes what a mounted
/// ConfigMap or Secret holds by another link to a folder, and leaves the file's own link as it was.
/// </summary>
/// <param name="Written">When it was written last; the default where it is not there or may not be read.</param>
/// <param name="Length">Bytes.</param>
internal readonly record struct FileVersion(DateTime Written, long Length)
{
    public static FileVersion Of(string path)
    {
        try
        {
            using SafeFileHandle file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            return new(File.GetLastWriteTimeUtc(file), RandomAccess.GetLength(file));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return default;
        }
    }
}
