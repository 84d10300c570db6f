using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Symbolize;

/// <summary>
/// Debug files on this machine: one that the user named, else where GDB looks (GDB manual, "Separate Debug Files") and where compilers
/// write split units.
/// </summary>
/// <param name="named">The binary's debug file, as the user named it; null to look for one.</param>
public sealed class LocalDebugFiles(string? named = null) : IDebugFiles
{
    /// <summary>Those that are found without being named.</summary>
    public static readonly LocalDebugFiles Found = new();

    private const string GlobalFolder = "/usr/lib/debug";

    /// <inheritdoc/>
    public ElfFile? FindDebugFile(ElfFile binary, LossCounts losses) =>
        named is not null
            ? Directory.Exists(named) ? FindIn(named, binary, losses) : Open(binary, named)
            : binary.HasSection(".debug_info") ? null : Find(binary, losses);

    /// <inheritdoc/>
    public ElfFile? FindPackage(ElfFile linked, LossCounts losses)
    {
        string path = linked.Path + ".dwp";
        try
        {
            return IsRegularFile(path) ? ElfFile.Load(path) : null;
        }
        catch (UserErrorException e)
        {
            losses.Add($"damaged package file {path}: {e.Message}");
            return null;
        }
    }

    /// <inheritdoc/>
    public IEnumerable<ElfFile> FindSplitUnits(ElfFile linked, string compilationFolder, string name, LossCounts losses)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(linked.Path))!;
        // In the order of likelihood: where the compiler wrote it, then beside the binary, where builds are often copied to.
        foreach (string path in new[] { Path.Combine(compilationFolder, name), Path.Combine(folder, name), Path.Combine(folder, Path.GetFileName(name)) }.Distinct())
            if (OpenSplit(path, losses) is { } file)
                yield return file;
    }

    private static ElfFile? OpenSplit(string path, LossCounts losses)
    {
        try
        {
            // Read whole: they are many and small, and open files are few.
            return IsRegularFile(path) ? ElfFile.Parse(File.ReadAllBytes(path), path) : null;
        }
        catch (Exception e) when (e is MalformedInputException or IOException or UnauthorizedAccessException)
        {
            losses.Add($"damaged or unreadable split debug info {path}: {e.Message}");
            return null;
        }
    }

    /// <summary>
    /// The binary's debug file in a folder that the user named: by build id, as distributions and symbol stores lay them out, or by name.
    /// </summary>
    private static ElfFile? FindIn(string folder, ElfFile binary, LossCounts losses)
    {
        if (binary.HasSection(".debug_info"))
            return null;
        string name = Path.GetFileName(binary.Path);
        List<string> paths =
            [Path.Combine(folder, name + ".debug"), Path.Combine(folder, name), Path.Join(
                folder, Path.GetFullPath(binary.Path) + ".debug")];
        if (binary.HasBuildIdNote(out BuildId id))
        {
            string text = id.ToString();
            string file = Path.Combine(text[..2], text[2..] + ".debug");
            paths.InsertRange(
                0, [Path.Combine(folder, ".build-id", file), Path.Combine(folder, file), Path.Combine(folder, text
                    + ".debug"), Path.Combine(folder, text, "debuginfo")]);
        }
        foreach (string path in paths)
            if (Try(path, f => f.HasSection(".debug_info") && (id.IsEmpty || !f.HasBuildIdNote(out BuildId own) || own == id)) is { } found)
                return found;
        losses.Add($"no debug file of {binary.Path} in {folder}, neither by build id ({(id.IsEmpty ? "it has none" : id)}) nor by name");
        return Find(binary, losses);
    }

    /// <summary>Opens the debug file that the user named.</summary>
    /// <exception cref="UserErrorException">It cannot be read, has no debug info, or belongs to another binary.</exception>
    private static ElfFile Open(ElfFile binary, string path)
    {
        ElfFile file = ElfFile.Load(path);
        string? problem = null;
        if (!file.HasSection(".debug_info"))
            problem = $"{path} has no debug info; give the file that was made of {binary.Path} by objcopy --only-keep-debug, or the unstripped binary";
        else if (file.HasBuildIdNote(out BuildId debug) && binary.HasBuildIdNote(out BuildId own) && debug != own)
            problem = $"{path} has build id {debug}, but {binary.Path} has {own}; give the debug file of this very build";
        if (problem is null)
            return file;
        file.Dispose();
        throw new UserErrorException(problem);
    }

    /// <summary>Looks for the debug file by build id, then by .gnu_debuglink; null when there is none that fits.</summary>
    private static ElfFile? Find(ElfFile binary, LossCounts losses)
    {
        if (binary.HasBuildIdNote(out BuildId id) && Try(BuildIdPath(id), f => IsBuild(f, id)) is { } byId)
            return byId;
        DebugLink? link = null;
        try
        {
            link = DebugLink.OfDebugFile(binary);
        }
        catch (MalformedInputException e)
        {
            losses.Add($"damaged debug info: {e.Message}");
        }
        if (link is null)
            return null;
        foreach (string path in LinkPaths(binary.Path, link.FileName))
            // Equal build ids make reading the whole file for its checksum unnecessary.
            if (Try(path, f => (!id.IsEmpty && IsBuild(f, id)) || f.ComputeCrc32() == link.Crc) is { } byLink)
                return byLink;
        losses.Add($"separate debug file {link.FileName} (.gnu_debuglink) was not found or has another checksum; name it with --debug-file");
        return null;
    }

    /// <inheritdoc/>
    public ElfFile? FindSupplement(ElfFile file, LossCounts losses)
    {
        if (DebugLink.FindSupplement(file, losses) is not { } link)
            return null;
        string folder = Path.GetDirectoryName(Path.GetFullPath(file.Path))!;
        string[] paths =
            [Path.Combine(folder, link.FileName), BuildIdPath(link.Id), Path.Combine(
                GlobalFolder, ".dwz", Path.GetFileName(link.FileName))];
        foreach (string path in paths)
            if (Try(path, f => IsBuild(f, link.Id)) is { } found)
                return found;
        losses.Add($"supplementary debug file {link.FileName} (dwz) was not found; functions whose names are in it have none");
        return null;
    }

    /// <summary>Whether a path that a binary names leads to a file with contents: not to a pipe or device, which might never end.</summary>
    private static bool IsRegularFile(string path)
    {
        try
        {
            FileInfo info = new(path);
            info = info.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? info;
            return info is { Exists: true, Length: > 0 };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return false;
        }
    }

    private static string BuildIdPath(BuildId id)
    {
        string text = id.ToString();
        return Path.Combine(GlobalFolder, ".build-id", text[..2], text[2..] + ".debug");
    }

    private static IEnumerable<string> LinkPaths(string binary, string name)
    {
        string path =
            Path.GetFullPath(File.Exists(binary) ? File.ResolveLinkTarget(binary, returnFinalTarget: true)?.FullName ?? binary : binary);
        string folder = Path.GetDirectoryName(path)!;
        // A name that is a path would lead out of the folders meant.
        name = Path.GetFileName(name);
        string[] paths = [Path.Combine(folder, name), Path.Combine(folder, ".debug", name), Path.Join(GlobalFolder, folder, name)];
        return paths.Where(p => name.Length > 0 && p != path);
    }

    private static bool IsBuild(ElfFile file, BuildId id) => file.HasBuildIdNote(out BuildId own) && own == id;

    private static ElfFile? Try(string path, Func<ElfFile, bool> fits)
    {
        ElfFile? file = null;
        try
        {
            if (IsRegularFile(path))
            {
                file = ElfFile.Load(path);
                if (fits(file))
                    return file;
            }
        }
        catch (Exception e) when (e is UserErrorException or MalformedInputException)
        {
            // A file that cannot be read is not the one; the caller says that none was found.
        }
        file?.Dispose();
        return null;
    }
}
