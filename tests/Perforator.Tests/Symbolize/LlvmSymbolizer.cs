using System.Globalization;
using System.Text.Json;
using Perforator.Elf;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

/// <summary>The reference: what llvm-symbolizer-19 says of addresses, from DWARF alone.</summary>
internal static class LlvmSymbolizer
{
    /// <summary>
    /// Compares our frames with LLVM's at all addresses. llvm-symbolizer prefers the symbol table's name for the outermost frame,
    /// which llvm-profgen does not, so it gets a copy without symbols.
    /// </summary>
    /// <param name="debugFile">The separate debug file, when the binary has none of its own.</param>
    /// <param name="orMore">Whether we may find functions where LLVM knows none.</param>
    /// <returns>How many addresses had a function, so that the caller can tell that something was compared.</returns>
    public static int AssertSame(string binary, IReadOnlyCollection<ulong> addresses, string? debugFile = null, bool orMore = false)
    {
        string withoutSymbols = Path.Combine(Path.GetDirectoryName(binary)!, Path.GetFileName(binary) + ".nosym");
        Tool.Run("llvm-objcopy-19", ["--remove-section=.symtab", debugFile ?? binary, withoutSymbols]).Succeeded();
        string input = string.Join('\n', addresses.Select(a => "0x" + a.ToString("x", CultureInfo.InvariantCulture)));
        ToolResult result = Tool.Run(
            "llvm-symbolizer-19", ["--obj=" + withoutSymbols, "--output-style=JSON", "--inlines", "--no-demangle"], input).Succeeded();
        File.Delete(withoutSymbols);

        using ElfFile file = ElfFile.Load(binary);
        using Symbolizer symbolizer = Symbolizer.Open(file, new LocalDebugFiles(debugFile));
        int found = 0;
        using IEnumerator<string> lines = ((IEnumerable<string>)result.Output.Split('\n')).GetEnumerator();
        foreach (ulong address in addresses)
        {
            Assert.True(lines.MoveNext());
            string expected = Frames(lines.Current);
            SourceLocation location = symbolizer.Find(new(address));
            // LLVM does not find the file of what GCC has declared elsewhere than defined.
            string[] files = [.. expected.Split('\n').Select(static frame => frame[(frame.LastIndexOf(' ') + 1)..])];
            string actual = string.Join('\n', location.Frames().Zip(Contexts(location.Context)).Select((f, i) =>
                $"{f.First.Function} {f.First.StartLine} {f.First.Line} {f.First.Discriminator} {(files.ElementAtOrDefault(i) is "" ? "" : symbolizer.FindFile(f.Second))}"));
            if (expected != actual && !(orMore && expected.Length == 0))
                Assert.Fail($"{binary} 0x{address:x}\nllvm-symbolizer:\n{expected}\nours:\n{actual}");
            Assert.True(location.End.Value > address);
            found += actual.Length > 0 ? 1 : 0;
        }
        Assert.Equal(0UL, symbolizer.Losses.Total);
        return found;
    }

    private static IEnumerable<InlineContext> Contexts(InlineContext? innermost)
    {
        for (InlineContext? context = innermost; context is not null; context = context.Caller)
            yield return context;
    }

    /// <summary>The addresses of all instructions in the sections that hold code.</summary>
    public static List<ulong> Instructions(string binary)
    {
        List<ulong> addresses = [];
        foreach (string line in Tool.Run("llvm-objdump-19", ["-d", "--no-show-raw-insn", binary]).Succeeded().Output.Split('\n'))
        {
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon > 0 && ulong.TryParse(line.AsSpan(0, colon).Trim(), NumberStyles.HexNumber, null, out ulong address))
                addresses.Add(address);
        }
        return addresses;
    }

    /// <summary>Frames as text, innermost first; none where LLVM knows no function.</summary>
    private static string Frames(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        List<string> frames = [];
        foreach (JsonElement frame in document.RootElement.GetProperty("Symbol").EnumerateArray())
        {
            string function = frame.GetProperty("FunctionName").GetString()!;
            if (function.Length > 0)
                frames.Add($"{function} {Number(frame, "StartLine")} {Number(frame, "Line")} {Number(frame, "Discriminator")} {frame.GetProperty("StartFileName").GetString()}");
        }
        return string.Join('\n', frames);

        static uint Number(JsonElement frame, string name) => frame.GetProperty(name).GetUInt32();
    }
}
