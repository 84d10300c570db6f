using System.Text;
using Perforator.Elf;

namespace Perforator.Layout.Propeller;

/// <summary>
/// A layout as Propeller's two files: basic-block sections for clang (<c>-fbasic-block-sections=list=FILE.cc_profile</c>, version 1) and
/// the order of symbols for lld (<c>--symbol-ordering-file=FILE.ld_profile</c>).
/// </summary>
/// <remarks>
/// LLVM, llvm/lib/CodeGen/BasicBlockSectionsProfileReader.cpp. For each function <c>m</c> with its module where its name alone is not
/// unique, <c>f</c> with all its names, <c>c</c> with the blocks of its one executed cluster; the compiler puts the other blocks into
/// another section, under the name with <c>.cold</c>.
/// </remarks>
public sealed class PropellerProfile
{
    private readonly record struct Placed(string? Module, string[] Names, uint[] Blocks, bool HasOthers);

    private readonly List<Placed> functions = [];

    private PropellerProfile()
    {
    }

    /// <summary>How many functions are placed.</summary>
    public int Functions => functions.Count;

    /// <summary>How many blocks are.</summary>
    public int Blocks => functions.Sum(static function => function.Blocks.Length);

    /// <summary>
    /// Executed functions that are left out because others have the same name and nothing tells their modules: local functions, in a binary
    /// without debug info.
    /// </summary>
    public int Ambiguous { get; private set; }

    /// <summary>Executed functions that are left out because no symbol names them.</summary>
    public int Nameless { get; private set; }

    /// <summary>Names the functions of a layout.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="elf">The binary it is of.</param>
    /// <param name="moduleOf">The source file that the unit of an address was compiled from, as it was given to the compiler; null where
    /// unknown.</param>
    public static PropellerProfile Of(CodeLayout layout, ElfFile elf, Func<BinaryAddress, string?> moduleOf)
    {
        Dictionary<ulong, List<string>> names = [];
        Dictionary<string, HashSet<ulong>> places = new(StringComparer.Ordinal);
        foreach (ref readonly ElfSymbol symbol in elf.Symbols.Symbols)
        {
            if (!symbol.IsFunction || elf.Symbols.Name(symbol) is not { Length: > 0 } name
                || name.Any(static c => char.IsWhiteSpace(c) || char.IsControl(c)))
                continue;
            if (!names.TryGetValue(symbol.Address.Value, out List<string>? here))
                names.Add(symbol.Address.Value, here = []);
            here.Add(name);
            if (!places.TryGetValue(name, out HashSet<ulong>? all))
                places.Add(name, all = []);
            all.Add(symbol.Address.Value);
        }
        PropellerProfile profile = new();
        HashSet<(string Module, string Name)> used = [];
        foreach (FunctionLayout function in layout.Functions)
        {
            FunctionBlocks blocks = function.Flow.Blocks;
            if (!names.TryGetValue(blocks.Entry.Value, out List<string>? own))
            {
                profile.Nameless++;
                continue;
            }
            string[] sorted = [.. own.Distinct().Order(StringComparer.Ordinal)];
            string? module = null;
            if (sorted.Any(name => places[name].Count > 1))
            {
                module = moduleOf(blocks.Entry);
                if (module is not { Length: > 0 } || module.Any(static c => char.IsWhiteSpace(c) || char.IsControl(c))
                    || sorted.Any(name => used.Contains((module, name))))
                {
                    profile.Ambiguous++;
                    continue;
                }
                used.UnionWith(sorted.Select(name => (module, name)));
            }
            // Of a block that was cloned before, the first one.
            uint[] ids = [.. function.Order.Select(i => blocks.Blocks[i].Id).Distinct()];
            profile.functions.Add(new(module, sorted, ids, ids.Length < blocks.Blocks.Count));
        }
        return profile;
    }

    /// <summary>Writes what clang takes.</summary>
    public void WriteClusters(Stream output)
    {
        using StreamWriter text = Text(output);
        text.WriteLine("v1");
        foreach (Placed function in functions)
        {
            if (function.Module is { } module)
                text.WriteLine($"m {module}");
            text.WriteLine($"f {string.Join(' ', function.Names)}");
            text.WriteLine($"c {string.Join(' ', function.Blocks)}");
        }
    }

    /// <summary>Writes what lld takes: first all executed clusters, then what the compiler splits off them.</summary>
    public void WriteSymbolOrder(Stream output)
    {
        using StreamWriter text = Text(output);
        HashSet<string> written = new(StringComparer.Ordinal);
        foreach (Placed function in functions)
            foreach (string name in function.Names)
                if (written.Add(name))
                    text.WriteLine(name);
        foreach (Placed function in functions)
            if (function.HasOthers)
                foreach (string name in function.Names)
                    if (written.Add(name + ".cold"))
                        text.WriteLine(name + ".cold");
    }

    private static StreamWriter Text(Stream output) =>
        new(output, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
}
