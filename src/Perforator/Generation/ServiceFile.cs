namespace Perforator.Generation;

/// <summary>What makes builds one file of a service: its name, whatever folder or version number a release puts it under.</summary>
public static class ServiceFile
{
    /// <summary>The last part of a path, without a shared library's version (libm.so.6 is libm.so) and the kernel's " (deleted)".</summary>
    public static string NameOf(string path)
    {
        string name = Path.GetFileName(path.EndsWith(" (deleted)", StringComparison.Ordinal) ? path[..^" (deleted)".Length] : path);
        int version = name.IndexOf(".so.", StringComparison.Ordinal);
        return version > 0 ? name[..(version + 3)] : name;
    }
}
