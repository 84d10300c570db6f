namespace Perforator.Symbolize;

/// <summary>One frame of a place in source: a function and where in it. All lines count from 1; 0 means unknown.</summary>
/// <param name="Function">Linkage name, or the plain name where the debug info has no other; empty when it has none. Interned.</param>
/// <param name="StartLine">The line of the function's declaration, which line offsets are relative to.</param>
/// <param name="Line">The line: of the instruction in the innermost frame, of the call in its callers.</param>
/// <param name="Discriminator">Tells apart blocks on one line, as the compiler encoded it.</param>
public readonly record struct SourceFrame(string Function, uint StartLine, uint Line, uint Discriminator);

/// <summary>
/// A function's machine code, or one inlined copy of it: what all addresses of one inline context share. Two addresses have the
/// same context exactly if they have the same object.
/// </summary>
public sealed class InlineContext
{
    internal InlineContext(
        string function, uint startLine, DeclarationFile? file, InlineContext? caller, uint callLine, uint callDiscriminator)
    {
        Function = function;
        StartLine = startLine;
        File = file;
        Caller = caller;
        CallLine = callLine;
        CallDiscriminator = callDiscriminator;
        Depth = caller is null ? 1 : caller.Depth + 1;
    }

    /// <summary>
    /// Linkage name, or the plain name where the debug info has no other; empty when it has none. Interned per symbolizer.
    /// </summary>
    public string Function { get; }

    /// <summary>The line of the function's declaration (DW_AT_decl_line).</summary>
    public uint StartLine { get; }

    /// <summary>The file of that; null when debug info does not tell.</summary>
    internal DeclarationFile? File { get; }

    /// <summary>What it is inlined into; null for the function that the machine code is of.</summary>
    public InlineContext? Caller { get; }

    /// <summary>The line of the inlined call, in the caller (DW_AT_call_line).</summary>
    public uint CallLine { get; }

    /// <summary>The discriminator of the inlined call (DW_AT_GNU_discriminator).</summary>
    public uint CallDiscriminator { get; }

    /// <summary>Number of frames: 1 for a function, 2 for what is inlined into it, and so on.</summary>
    public int Depth { get; }
}

/// <summary>The place in source that an address comes from.</summary>
/// <param name="Context">The innermost function with its inlined callers; null when no debug info covers the address.</param>
/// <param name="Line">Line in the innermost function; 0 when unknown.</param>
/// <param name="Discriminator">Discriminator of the line.</param>
/// <param name="End">Every address from the one looked up until here, exclusive, has the same place.</param>
public readonly record struct SourceLocation(InlineContext? Context, uint Line, uint Discriminator, BinaryAddress End)
{
    /// <summary>The frames, innermost first, as LLVM's symbolizer gives them.</summary>
    public IEnumerable<SourceFrame> Frames()
    {
        uint line = Line, discriminator = Discriminator;
        for (InlineContext? context = Context; context is not null; context = context.Caller)
        {
            yield return new SourceFrame(context.Function, context.StartLine, line, discriminator);
            line = context.CallLine;
            discriminator = context.CallDiscriminator;
        }
    }
}
