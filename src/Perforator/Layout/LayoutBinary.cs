using System.Text;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Symbolize;

namespace Perforator.Layout;

/// <summary>
/// A binary as laying out its code anew needs it: symbols, block maps, and of debug info only names of units. Not thread-safe.
/// </summary>
public sealed class LayoutBinary : IDisposable
{
    /// <summary>
    /// Where BOLT notes that it wrote a binary, and where it keeps which address was which before (LLVM, bolt/lib/Rewrite).
    /// </summary>
    private const string BoltNote = ".note.bolt_info", BoltTranslation = ".note.bolt_bat";

    private CodeFunctions? functions;
    private IReadOnlyList<FunctionBlocks>? blocks;

    private readonly IDebugFiles debugFiles;
    private Symbolizer? symbolizer;

    private LayoutBinary(ElfFile elf, IDebugFiles debugFiles)
    {
        Elf = elf;
        this.debugFiles = debugFiles;
    }

    /// <summary>The file.</summary>
    public ElfFile Elf { get; }

    /// <summary>The path it was loaded from.</summary>
    public string Path => Elf.Path;

    /// <summary>Its functions by its symbols.</summary>
    public CodeFunctions Functions => functions ??= CodeFunctions.Of(Elf);

    /// <summary>Its basic blocks as the compiler noted them; none if it did not.</summary>
    /// <exception cref="UserErrorException">What it noted is damaged or of a newer version.</exception>
    public IReadOnlyList<FunctionBlocks> Blocks
    {
        get
        {
            try
            {
                return blocks ??= BlockAddressMap.Of(Elf);
            }
            catch (MalformedInputException e)
            {
                throw new UserErrorException($"the basic-block map of {Path} cannot be used: {e.Message}", e);
            }
        }
    }

    /// <summary>Whether BOLT wrote it.</summary>
    public bool IsWrittenByBolt => Elf.Section(BoltNote) is not null;

    /// <summary>Opens a binary.</summary>
    /// <param name="path">The binary.</param>
    /// <param name="debugFiles">Where to look for the debug info that it does not have itself, once that is asked for.</param>
    /// <exception cref="UserErrorException">It cannot be used; the message says why.</exception>
    public static LayoutBinary Load(string path, IDebugFiles debugFiles)
    {
        ElfFile elf = ElfFile.Load(path);
        try
        {
            if (elf.ExecutableBytes == 0)
                throw new UserErrorException($"{path} holds no code, only debug info: give the binary itself");
            // What these hold is used later; damage shows now.
            _ = elf.BuildId;
            _ = elf.Symbols;
            return new(elf, debugFiles);
        }
        catch (Exception e)
        {
            elf.Dispose();
            if (e is MalformedInputException malformed)
                throw new UserErrorException($"{path} is damaged: {malformed.Message}", malformed);
            throw;
        }
    }

    /// <summary>Refuses a binary that BOLT can do nothing with.</summary>
    /// <exception cref="UserErrorException">It is one; the message says what to build with.</exception>
    public void RequireForBolt()
    {
        if (Elf.HasSection(".gopclntab"))
            throw new UserErrorException($"{Path} was built by Go's compiler, which BOLT cannot rewrite: take generate --for go");
        if (IsWrittenByBolt)
        {
            if (!Elf.HasSection(BoltTranslation))
                throw new UserErrorException(
                    $"{Path} was written by BOLT without a table of its addresses: run llvm-bolt with --enable-bat when the result is to be profiled again");
        }
        else if (Elf.Section(".rela.text") is null)
        {
            throw new UserErrorException(
                $"{Path} has no relocations, without which BOLT cannot move functions: link with -Wl,--emit-relocs, and name the file from before strip");
        }
        if (Functions.Count == 0)
            throw new UserErrorException($"{Path} has no symbols, by which BOLT finds functions: name the file from before strip");
    }

    /// <summary>Refuses a binary that does not tell its basic blocks.</summary>
    /// <exception cref="UserErrorException">It does not; the message says what to build with.</exception>
    public void RequireForPropeller()
    {
        if (Blocks.Count != 0)
            return;
        throw new UserErrorException(
            IsWrittenByBolt ? $"{Path} was written by BOLT, which drops the basic-block map: name the binary that BOLT was given"
            : Compiler is { } compiler && !compiler.Contains("clang", StringComparison.Ordinal)
            ? $"{Path} has no basic-block map, which Propeller needs and only clang writes (it was built by {compiler}): build with clang 19 or later and -fbasic-block-address-map"
            : $"{Path} has no basic-block map: build what is recorded with clang's -fbasic-block-address-map (with LTO also -Wl,--lto-basic-block-address-map)");
    }

    /// <summary>The compilers that say so in the file, for people; null when none does.</summary>
    public string? Compiler
    {
        get
        {
            string[] comments;
            try
            {
                comments = Encoding.UTF8.GetString(Elf.SectionData(".comment").Span).Split('\0', StringSplitOptions.RemoveEmptyEntries);
            }
            catch (MalformedInputException)
            {
                return null;
            }
            return Array.Find(comments, static c => c.Contains("clang", StringComparison.Ordinal))
                ?? Array.Find(comments, static c => c.Contains("rustc", StringComparison.Ordinal))
                ?? Array.Find(
                    comments, static c => !c.Contains("Linker", StringComparison.Ordinal) && !c.Contains("LLD", StringComparison.Ordinal));
        }
    }

    /// <summary>
    /// The source file that the unit of an address was compiled from, as it was given to the compiler; null without debug info.
    /// </summary>
    /// <exception cref="UserErrorException">The debug file cannot be used; the message says why.</exception>
    public string? UnitNameAt(BinaryAddress address) => (symbolizer ??= Symbolizer.Open(Elf, debugFiles)).FindUnitName(address);

    public void Dispose()
    {
        symbolizer?.Dispose();
        Elf.Dispose();
    }
}
