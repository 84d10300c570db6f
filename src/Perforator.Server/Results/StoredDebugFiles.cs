using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Symbolize;

namespace Perforator.Server.Results;

/// <summary>
/// A build's debug files from the server's own store, and nothing else: an uploaded binary names paths of its choice, none of which is
/// opened.
/// </summary>
/// <param name="debugFile">The build's debug file; null when there is none.</param>
/// <param name="package">Its package of split DWARF; null when there is none.</param>
internal sealed class StoredDebugFiles(string? debugFile, string? package) : IDebugFiles
{
    public ElfFile? FindDebugFile(ElfFile binary, LossCounts losses) => Open(debugFile, losses);

    public ElfFile? FindSupplement(ElfFile file, LossCounts losses)
    {
        if (file.HasSection(".gnu_debugaltlink") || file.HasSection(".debug_sup"))
            losses.Add("debug info that dwz moved to another file, which the server does not keep; functions whose names are in it have none");
        return null;
    }

    public ElfFile? FindPackage(ElfFile linked, LossCounts losses) => Open(package, losses);

    public IEnumerable<ElfFile> FindSplitUnits(ElfFile linked, string compilationFolder, string name, LossCounts losses) => [];

    private static ElfFile? Open(string? path, LossCounts losses)
    {
        try
        {
            return path is null ? null : ElfFile.Load(path);
        }
        catch (Exception e) when (e is UserErrorException or MalformedInputException)
        {
            losses.Add("damaged debug file in the server's store; upload it again");
            return null;
        }
    }
}
