using Perforator.Elf;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

/// <summary>Damage to the files beside a sound binary: split units (.dwo), packages of them (.dwp), and what dwz moved out.</summary>
public class DamagedDebugFileTests(SourcePrograms programs) : IClassFixture<SourcePrograms>
{
    private const string Source = """
        static inline int half(int n) { if (n < 0) return -(-n / 2); return n / 2; }
        static inline int clampTo(int n, int top) { return n > top ? half(n) : n; }
        __attribute__((noinline)) int NAME(const int *v, int n) { int s = 0; for (int i = 0; i < n; i++) s += clampTo(v[i], 9); return s; }
        """;

    [Theory]
    [InlineData("dwo-v5", "-gdwarf-5", false)]
    [InlineData("dwo-v4", "-gdwarf-4", false)]
    [InlineData("dwp-v5", "-gdwarf-5", true)]
    [InlineData("dwp-v4", "-gdwarf-4 -fdebug-types-section", true)]
    public void Damaged_split_units_never_escape_the_symbolizer(string name, string flags, bool package)
    {
        string binary = CompileSplit(name, flags.Split(' '));
        string file = package ? Package(binary) : Path.Combine(Path.GetDirectoryName(binary)!, "one.dwo");
        ulong[] addresses = Code(binary);
        DamageSweep.Run(File.ReadAllBytes(file), damaged =>
        {
            File.WriteAllBytes(file, damaged);
            Read(binary, addresses);
        }, damages: 1200);
    }

    [Theory]
    [InlineData("dwz-gcc", "g++", "-O2 -g")]
    [InlineData("dwz-clang", "clang++-19", "-O2 -g -gdwarf-4")]
    public void A_damaged_supplement_never_escapes_the_symbolizer(string name, string compiler, string flags)
    {
        string plain = programs.Compile(name, compiler, flags.Split(' '));
        string first = programs[name + ".first"], second = programs[name + ".second"], shared = programs[name + ".shared"];
        File.Copy(plain, first);
        File.Copy(plain, second);
        Tool.Run("dwz", ["-m", name + ".shared", "-M", name + ".shared", first, second], folder: programs.Folder).Succeeded();
        ulong[] addresses = [.. Code(first).Where((_, i) => i % 16 == 0)];
        DamageSweep.Run(File.ReadAllBytes(shared), damaged =>
        {
            File.WriteAllBytes(shared, damaged);
            Read(first, addresses);
        }, damages: 500);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_damaged_split_unit_costs_that_unit_and_is_named(bool package)
    {
        string binary = CompileSplit($"one-broken-{package}", ["-gdwarf-5"]);
        Assert.Equal(["one", "two"], InlinedCallers(binary, out LossCounts losses));
        Assert.Equal(0UL, losses.Total);
        string file = package ? Package(binary) : Path.Combine(Path.GetDirectoryName(binary)!, "one.dwo");
        byte[] image = File.ReadAllBytes(file);
        using (ElfFile parsed = ElfFile.Parse(image.ToArray(), file))
        {
            ElfSection info = parsed.Section(".debug_info.dwo")!;
            // Abbreviation codes that do not exist, behind the first unit's first entry.
            image.AsSpan((int)info.Offset.Value + 40, 20).Fill(0x7f);
        }
        File.WriteAllBytes(file, image);
        string left = Assert.Single(InlinedCallers(binary, out losses));
        string broken = left == "one" ? "two" : "one";
        Assert.Contains($"{broken}.c", Assert.Single(losses.ByReason).Key, StringComparison.Ordinal);
    }

    private string CompileSplit(string name, string[] flags)
    {
        string folder = Directory.CreateDirectory(programs[name]).FullName;
        foreach (string part in (string[])["one", "two"])
        {
            File.WriteAllText(Path.Combine(folder, $"{part}.c"), Source.Replace("NAME", part, StringComparison.Ordinal));
            Tool.Run("clang-19", ["-c", "-O2", "-g", "-gsplit-dwarf", "-fno-split-dwarf-inlining", .. flags, $"{part}.c"], folder: folder)
                .Succeeded();
        }
        Tool.Run("clang-19", ["-nostdlib", "-static", "-fuse-ld=lld-19", "-Wl,-e,one", "one.o", "two.o", "-o", "program"], folder: folder)
            .Succeeded();
        return Path.Combine(folder, "program");
    }

    private static string Package(string binary)
    {
        string folder = Path.GetDirectoryName(binary)!;
        Tool.Run("llvm-dwp-19", ["-e", binary, "-o", binary + ".dwp"], folder: folder).Succeeded();
        foreach (string file in Directory.GetFiles(folder, "*.dwo"))
            File.Delete(file);
        return binary + ".dwp";
    }

    private static ulong[] Code(string binary)
    {
        using ElfFile file = ElfFile.Load(binary);
        LoadSegment code = file.LoadSegments.Single(s => s.IsExecutable);
        return [.. Enumerable.Range(0, (int)code.MemorySize).Select(i => code.Address.Value + (ulong)i)];
    }

    private static List<string> InlinedCallers(string binary, out LossCounts losses)
    {
        using ElfFile file = ElfFile.Load(binary);
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        List<string> callers = [.. Code(binary).Select(address => symbolizer.Find(new(address)).Frames().ToArray())
            .Where(frames => frames.Length > 1).Select(frames => frames[^1].Function).Distinct().Order(StringComparer.Ordinal)];
        losses = symbolizer.Losses;
        return callers;
    }

    private static void Read(string binary, ulong[] addresses)
    {
        using ElfFile file = ElfFile.Load(binary);
        DamagedBinaryTests.Read(file, addresses);
    }
}
