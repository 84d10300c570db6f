using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Server.Storage;
using Perforator.Symbolize;

namespace Perforator.Server.Results;

/// <summary>
/// A build's debug files from the server's own store, and nothing else: an uploaded binary names paths of its choice, none of which is
/// opened.
/// </summary>
/// <param name="debugFile">The build's debug file; null when there is none.</param>
/// <param name="package">Its package of split DWARF; null when there is none.</param>
/// <param name="shared">What programs may name as their supplement.</param>
/// <param name="lease">Gives a file's path; null when it is damaged or gone.</param>
internal sealed class StoredDebugFiles(
    BinaryFile? debugFile, BinaryFile? package, IReadOnlyList<BinaryFile> shared, Func<BinaryFile, string?> lease) : IDebugFiles
{
    public ElfFile? FindDebugFile(ElfFile binary, LossCounts losses) => Open(debugFile, losses);

    public ElfFile? FindSupplement(ElfFile file, LossCounts losses)
    {
        if (DebugLink.FindSupplement(file, losses) is not { } link)
            return null;
        if (shared.FirstOrDefault(one => one.BuildId == link.Id) is { } found)
            return Open(found, losses);
        losses.Add("debug info that dwz moved to another file, which the server does not have; functions whose names are in it have none: "
            + "'perforator binaries put' uploads it");
        return null;
    }

    public ElfFile? FindPackage(ElfFile linked, LossCounts losses) => Open(package, losses);

    public IEnumerable<ElfFile> FindSplitUnits(ElfFile linked, string compilationFolder, string name, LossCounts losses) => [];

    private ElfFile? Open(BinaryFile? file, LossCounts losses)
    {
        if (file is null)
            return null;
        try
        {
            if (lease(file) is { } path)
                return ElfFile.Load(path);
        }
        catch (Exception e) when (e is UserErrorException or MalformedInputException)
        {
            // Told below.
        }
        losses.Add("damaged debug file in the server's store; upload it again");
        return null;
    }
}
