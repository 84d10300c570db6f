using System.Text;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Layout;

/// <summary>A binary as laying out its code anew needs it: symbols and block maps, no debug info. Not thread-safe.</summary>
public sealed class LayoutBinary : IDisposable
{
    /// <summary>Where BOLT notes that it wrote a binary, and where it keeps which address was which before (LLVM, bolt/lib/Rewrite).</summary>
    private const string BoltNote = ".note.bolt_info", BoltTranslation = ".note.bolt_bat";

    private CodeFunctions? functions;

    private LayoutBinary(ElfFile elf) => Elf = elf;

    /// <summary>The file.</summary>
    public ElfFile Elf { get; }

    /// <summary>The path it was loaded from.</summary>
    public string Path => Elf.Path;

    /// <summary>Its functions by its symbols.</summary>
    public CodeFunctions Functions => functions ??= CodeFunctions.Of(Elf);

    /// <summary>Whether BOLT wrote it.</summary>
    public bool IsWrittenByBolt => Elf.Section(BoltNote) is not null;

    /// <summary>Opens a binary.</summary>
    /// <exception cref="UserErrorException">It cannot be used; the message says why.</exception>
    public static LayoutBinary Load(string path)
    {
        ElfFile elf = ElfFile.Load(path);
        if (elf.ExecutableBytes != 0)
            return new(elf);
        elf.Dispose();
        throw new UserErrorException($"{path} holds no code, only debug info: give the binary itself");
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
                ?? Array.Find(comments, static c => !c.Contains("Linker", StringComparison.Ordinal) && !c.Contains("LLD", StringComparison.Ordinal));
        }
    }

    public void Dispose() => Elf.Dispose();
}
