using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Disassembly;
using Perforator.Elf;
using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Generation;

/// <summary>
/// A binary as profile generation needs it: instructions, functions and places in source, each read when first touched. Not
/// thread-safe.
/// </summary>
public sealed class ProfiledBinary : IDisposable
{
    private const string ProbeSection = ".pseudo_probe";
    private const string ProbeDescriptorSection = ".pseudo_probe_desc";

    /// <summary>The variable clang defines in programs with flow-sensitive discriminators.</summary>
    private const string FlowSensitiveMarker = "__llvm_fs_discriminator__";

    private readonly ElfFile elf;
    private readonly Symbolizer symbolizer;
    private readonly CodeSymbols symbols;
    private readonly Dictionary<string, HashSet<FunctionRange>> pieces = new(StringComparer.Ordinal);
    private readonly Dictionary<ulong, string?> callees = [];

    private DiscriminatorCoding? discriminators;

    private ProfiledBinary(ElfFile elf, Symbolizer symbolizer, TargetCompiler target)
    {
        Target = target;
        this.elf = elf;
        this.symbolizer = symbolizer;
        Path = elf.Path;
        BuildId = elf.BuildId;
        ElfSection[] code =
            [.. elf.Sections.Where(s => s is { IsExecutable: true, IsLoaded: true, HasBytes: true, Size: > 0 } && s.Name != ".plt")];
        // A stripped binary's own symbols are few; the file with its debug info has them all, under the same section numbers.
        ElfSymbolTable table =
            symbolizer.DebugFile is { } debug && debug.Symbols.Symbols.Length > elf.Symbols.Symbols.Length ? debug.Symbols : elf.Symbols;
        symbols = CodeSymbols.Of(table, code);
        Code = new CodeMap(
            DecoderOf(elf.Machine), code.Select(s => new CodeSection(s.Address, elf.ReadSection(s))), symbols.Addresses);
        IsFlowSensitive = target == TargetCompiler.Clang && HasSymbol(table, FlowSensitiveMarker);
        HasPseudoProbes = target == TargetCompiler.Clang && elf.HasSection(ProbeSection) && elf.HasSection(ProbeDescriptorSection);
    }

    /// <summary>The path it was loaded from.</summary>
    public string Path { get; }

    /// <summary>Identity of the binary.</summary>
    public BuildId BuildId { get; }

    /// <summary>Bytes of code, the divisor of TakenBranchesToExecutableBytesRatio.</summary>
    public ulong ExecutableBytes => elf.ExecutableBytes;

    /// <summary>Whether its discriminators are flow-sensitive (FS-AFDO).</summary>
    public bool IsFlowSensitive { get; }

    /// <summary>The compiler that profiles are made for.</summary>
    public TargetCompiler Target { get; }

    /// <summary>How its discriminators are to be read.</summary>
    internal DiscriminatorCoding Discriminators => discriminators ??=
        IsFlowSensitive ? DiscriminatorCoding.Whole
        : Target == TargetCompiler.Clang ? DiscriminatorCoding.Llvm
        : symbolizer.Producers().Any(static producer => Producer.GccVersion(producer) >= 16) ? DiscriminatorCoding.Gcc16
        : DiscriminatorCoding.Whole;

    /// <summary>Whether it was compiled with -fpseudo-probe-for-profiling, and the profile is for a compiler that has these.</summary>
    public bool HasPseudoProbes { get; }

    /// <summary>The binary's instructions.</summary>
    public CodeMap Code { get; }

    /// <summary>What of its debug info could not be read, by reason. Grows as it is touched.</summary>
    public LossCounts Losses => symbolizer.Losses;

    /// <summary>Opens a binary.</summary>
    /// <param name="path">The binary.</param>
    /// <param name="debugFiles">Where to look for the debug info that it does not have itself.</param>
    /// <param name="target">The compiler that profiles are made for.</param>
    /// <exception cref="UserErrorException">One of the files cannot be used, or there is no debug info; the message says what to
    /// do.</exception>
    public static ProfiledBinary Load(string path, IDebugFiles debugFiles, TargetCompiler target = TargetCompiler.Clang)
    {
        ElfFile elf = ElfFile.Load(path);
        Symbolizer? symbolizer = null;
        try
        {
            if (elf is { IsUnlinked: true, IsKernelModule: false })
                throw new UserErrorException(
                    $"{path} is an object file that is not linked yet: give the executable, shared library or kernel module (.ko) that it went into");
            if (elf.ExecutableBytes == 0)
                throw new UserErrorException(
                    $"{path} holds no code, only debug info: give the binary itself, and this file as its debug file (generate --binary BINARY --debug-file {path})");
            symbolizer = Symbolizer.Open(elf, debugFiles, namesFromSymbols: target == TargetCompiler.Gcc);
            if (!symbolizer.HasDebugInfo)
                throw new UserErrorException(
                    $"{symbolizer.DebugFile?.Path ?? path} has no debug info: rebuild with -g (or -gline-tables-only) and -fdebug-info-for-profiling, or name the file that has it with --debug-file");
            return new ProfiledBinary(elf, symbolizer, target);
        }
        catch (Exception e)
        {
            symbolizer?.Dispose();
            elf.Dispose();
            if (e is MalformedInputException malformed)
                throw new UserErrorException($"{path} is damaged: {malformed.Message}", malformed);
            throw;
        }
    }

    /// <summary>What the aggregator needs to know of it.</summary>
    /// <param name="recordedAs">What the user says that recordings have it as: a path, a file name or a build id.</param>
    public Module ToModule(string? recordedAs = null) => ElfModule.Of(elf, recordedAs);

    /// <summary>The place in source that an instruction comes from; nowhere for an external address.</summary>
    public SourceLocation Locate(ulong address) => address == BinaryAddress.External.Value ? default : symbolizer.Find(new(address));

    /// <summary>The compiler of the code at an address, as debug info names it; empty when that is not told.</summary>
    public string ProducerAt(BinaryAddress address) => symbolizer.ProducerAt(address);

    /// <summary>The piece of a function that holds an address, as debug info has it.</summary>
    public FunctionRange? FunctionAt(BinaryAddress address) => symbolizer.FindFunction(address);

    /// <summary>Whether the file has a build id of its own; else its identity is a hash that no recording knows.</summary>
    public bool HasOwnBuildId => elf.HasBuildIdNote(out _);

    /// <summary>The canonical name of the function that is entered at an address; null for any other address.</summary>
    public string? CalleeAt(ulong address)
    {
        if (!callees.TryGetValue(address, out string? name))
        {
            if (FunctionAt(new(address)) is { } piece && piece.Start.Value == address && IsEntry(piece))
                name = CanonicalName.Of(piece.Function.Name);
            callees.Add(address, name);
        }
        return name;
    }

    /// <summary>The names of all functions that debug info knows code of. Reads all of it.</summary>
    public IEnumerable<string> FunctionNames() => symbolizer.AllFunctions().Select(function => function.Name);

    /// <summary>
    /// All code of the functions that ranges begin in: pieces split off, and functions of the same name in other units, since
    /// their samples share one entry of the profile.
    /// </summary>
    internal IEnumerable<FunctionRange> PiecesOfFunctionsAt(IReadOnlyList<RangeCount> ranges)
    {
        HashSet<FunctionRange> touched = [];
        foreach (RangeCount range in ranges)
            if (FunctionAt(new(range.Begin)) is { } piece)
                touched.Add(piece);
        return FindPieces(touched).SelectMany(name => pieces[name]);
    }

    /// <summary>The probes of the functions that the branches touch.</summary>
    /// <exception cref="UserErrorException">The sections are damaged.</exception>
    internal PseudoProbes ReadPseudoProbes(CodeFlow flow)
    {
        HashSet<FunctionRange> touched = [];
        foreach (ulong address in flow.Ranges.Select(r => r.Begin).Concat(flow.Branches.SelectMany(b => new[] { b.From, b.To })))
            if (address != BinaryAddress.External.Value && FunctionAt(new(address)) is { } piece)
                touched.Add(piece);
        return ReadPseudoProbes(FindPieces(touched));
    }

    private PseudoProbes ReadPseudoProbes(HashSet<string> names)
    {
        HashSet<ulong> wanted = [.. names.Select(FunctionNameHash.Of)];
        Dictionary<ulong, ulong> starts = [];
        foreach (FunctionRange piece in names.SelectMany(name => pieces[name]))
            foreach (string symbol in symbols.NamesBetween(piece.Start, new(piece.Start.Value + 1)))
                starts[FunctionNameHash.Of(symbol)] = piece.Start.Value;
        PseudoProbes probes = PseudoProbes.Parse(
            elf.SectionData(ProbeDescriptorSection).Span, elf.SectionData(ProbeSection).Span, wanted.Contains,
            guid => starts.TryGetValue(guid, out ulong start) ? start : null);
        if (probes.Damage is { } damage)
            Losses.Add($"damaged pseudo probes: {damage.Message}");
        return probes;
    }

    /// <summary>Where in source the counts of a function are of; null when the binary has no code of it.</summary>
    /// <param name="function">Its name, as profiles have it.</param>
    public FunctionPlaces? PlacesOf(string function)
    {
        HashSet<FunctionRange> found = [];
        foreach ((ulong address, _) in symbols.WithNameIn([function]))
            if (FunctionAt(new(address)) is { } piece && CanonicalName.Of(piece.Function.Name) == function)
                found.UnionWith(piece.Function.Ranges);
        if (found.Count == 0)
            return null;
        FunctionPlaces places = new(symbolizer);
        foreach (FunctionRange piece in found)
            for (BinaryAddress at = piece.Start; at < piece.End;)
            {
                SourceLocation location = symbolizer.Find(at);
                places.Add(location);
                at = new(Math.Max(location.End.Value, at.Value + 1));
            }
        if (HasPseudoProbes)
            foreach ((ulong address, PseudoProbe probe) in ReadPseudoProbes(FindPieces(found)).All)
                places.Add(symbolizer.Find(new(address)), probe);
        return places;
    }

    /// <summary>
    /// Which functions it has, with checksums or with the lines they have code for. Reads all of the debug info, or all descriptors.
    /// </summary>
    /// <param name="byProbes">Whether checksums are wanted.</param>
    /// <exception cref="UserErrorException">Checksums are wanted and there are none.</exception>
    internal SourceShape Shape(bool byProbes)
    {
        SourceShape shape = new();
        if (byProbes)
        {
            if (!HasPseudoProbes)
                throw new UserErrorException(
                    $"{Path} has no pseudo probes, but the profile is of a build that has; compile it with -fpseudo-probe-for-profiling");
            PseudoProbes probes =
                PseudoProbes.Parse(elf.SectionData(ProbeDescriptorSection).Span, default, static _ => false, static _ => null);
            foreach (ProbeDescriptor descriptor in probes.Descriptors)
                shape.AddFunction(CanonicalName.Of(descriptor.Name), descriptor.Checksum);
            return shape;
        }
        foreach (FunctionRange piece in symbolizer.AllFunctions().SelectMany(static function => function.Ranges))
            for (BinaryAddress at = piece.Start; at < piece.End;)
            {
                SourceLocation location = symbolizer.Find(at);
                foreach (SourceFrame frame in location.Frames())
                    if (frame.Function.Length > 0 && frame.Line != 0)
                        shape.AddLine(CanonicalName.Of(frame.Function), LineProfile.Offset(frame.Line, frame.StartLine));
                at = new(Math.Max(location.End.Value, at.Value + 1));
            }
        return shape;
    }

    public void Dispose()
    {
        symbolizer.Dispose();
        elf.Dispose();
    }

    /// <summary>
    /// Whether calls enter the function at the start of this piece: it is the only one and a symbol lies in it, or one of the symbols
    /// in it has the function's name.
    /// </summary>
    private bool IsEntry(FunctionRange piece)
    {
        string function = piece.Function.Name;
        FindPieces([piece]);
        bool single = pieces[function].Count == 1;
        foreach (string symbol in symbols.NamesBetween(piece.Start, piece.End))
            if (single || CanonicalName.Of(symbol) == function)
                return true;
        return false;
    }

    /// <summary>
    /// Finds all pieces of the functions that have one of these, and returns the functions' names. Debug info has no index by name,
    /// so the symbol table serves as one: a function has a symbol of its name, perhaps with suffixes. Where it has not (C++ with
    /// -gline-tables-only, stripped symbols), all of the debug info is read.
    /// </summary>
    private HashSet<string> FindPieces(IReadOnlyCollection<FunctionRange> touched)
    {
        HashSet<string> names = touched.Select(piece => piece.Function.Name).ToHashSet(StringComparer.Ordinal);
        HashSet<string> missing = names.Where(name => !pieces.ContainsKey(name)).ToHashSet(StringComparer.Ordinal);
        if (missing.Count == 0)
            return names;
        foreach (string name in missing)
            pieces.Add(name, []);
        foreach ((ulong address, string name) in symbols.WithNameIn(missing))
            if (FunctionAt(new(address)) is { } piece && piece.Function.Name == name)
                pieces[name].UnionWith(piece.Function.Ranges);
        if (touched.Any(piece => !pieces[piece.Function.Name].Contains(piece)))
            foreach (BinaryFunction function in symbolizer.AllFunctions())
                if (pieces.TryGetValue(function.Name, out HashSet<FunctionRange>? known))
                    known.UnionWith(function.Ranges);
                else
                    pieces.Add(function.Name, [.. function.Ranges]);
        return names;
    }

    private static IInstructionDecoder DecoderOf(ElfMachine machine) =>
        machine == ElfMachine.AArch64 ? new Arm64Decoder() : new X64Decoder();

    private static bool HasSymbol(ElfSymbolTable table, string name)
    {
        byte[] wanted = System.Text.Encoding.UTF8.GetBytes(name);
        foreach (ref readonly ElfSymbol symbol in table.Symbols)
            if (symbol.IsDefined && symbol.Size > 0 && !symbol.IsFunction && table.NameBytes(symbol).SequenceEqual(wanted))
                return true;
        return false;
    }
}
