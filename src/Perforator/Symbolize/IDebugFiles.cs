using Perforator.Elf;

namespace Perforator.Symbolize;

/// <summary>
/// Finds the files that hold a binary's debug info where the binary itself does not. A binary names such files, and may name any: what a
/// caller lets be opened is for it to say. Damaged and missing files are counted, not thrown.
/// </summary>
public interface IDebugFiles
{
    /// <summary>
    /// The separate debug file of a binary without debug info (objcopy --only-keep-debug); null when there is none that fits.
    /// </summary>
    /// <exception cref="UserErrorException">The file that the user named for it cannot be used.</exception>
    ElfFile? FindDebugFile(ElfFile binary, LossCounts losses);

    /// <summary>The file that dwz moved shared entries to (.gnu_debugaltlink, .debug_sup); null when none is named or none fits.</summary>
    ElfFile? FindSupplement(ElfFile file, LossCounts losses);

    /// <summary>The package of split units (.dwp) of a linked file; null when there is none.</summary>
    ElfFile? FindPackage(ElfFile linked, LossCounts losses);

    /// <summary>
    /// Files that may hold a split unit (.dwo), likeliest first; the caller closes them and takes the one with the unit's id.
    /// </summary>
    /// <param name="linked">The linked file whose unit it is.</param>
    /// <param name="compilationFolder">DW_AT_comp_dir.</param>
    /// <param name="name">DW_AT_dwo_name.</param>
    IEnumerable<ElfFile> FindSplitUnits(ElfFile linked, string compilationFolder, string name, LossCounts losses);
}

/// <summary>Opens nothing: debug info is in the binary or not to be had.</summary>
public sealed class NoDebugFiles : IDebugFiles
{
    /// <summary>The one there is.</summary>
    public static readonly NoDebugFiles Instance = new();

    private NoDebugFiles() { }

    /// <inheritdoc/>
    public ElfFile? FindDebugFile(ElfFile binary, LossCounts losses) => null;

    /// <inheritdoc/>
    public ElfFile? FindSupplement(ElfFile file, LossCounts losses) => null;

    /// <inheritdoc/>
    public ElfFile? FindPackage(ElfFile linked, LossCounts losses) => null;

    /// <inheritdoc/>
    public IEnumerable<ElfFile> FindSplitUnits(ElfFile linked, string compilationFolder, string name, LossCounts losses) => [];
}
