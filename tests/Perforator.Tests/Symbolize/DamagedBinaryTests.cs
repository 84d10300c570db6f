using Perforator.Elf;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

/// <summary>Damaged binaries: what cannot be read is counted, and the rest of the debug info is still good.</summary>
public class DamagedBinaryTests(SourcePrograms programs) : IClassFixture<SourcePrograms>
{
    private const string Source = """
        static inline int half(int n) { if (n < 0) return -(-n / 2); return n / 2; }
        static inline int clampTo(int n, int top) { return n > top ? half(n) : n; }
        __attribute__((noinline)) static int sum(const int *v, int n) { int s = 0; for (int i = 0; i < n; i++) s += clampTo(v[i], 9); return s; }
        int values[9];
        void _start(void) { for (int i = 0; i < 9; i++) values[i] = half(i); values[0] = sum(values, clampTo(values[3], 8)); __builtin_trap(); }
        """;

    [Theory]
    [InlineData("v5", "-O2 -g")]
    [InlineData("v4", "-O2 -g -gdwarf-4 -fdebug-types-section -gdwarf-aranges")]
    [InlineData("v2-sections", "-O1 -g -gdwarf-2 -ffunction-sections")]
    [InlineData("zstd", "-O2 -g -gz=zstd")]
    [InlineData("zlib", "-O2 -g -gz=zlib")]
    public void Only_malformed_input_comes_out(string name, string flags)
    {
        byte[] image = File.ReadAllBytes(CompileSmall("damaged-" + name, flags));
        ulong[] addresses = Addresses(image);
        DamageSweep.Run(image, data => Read(data, addresses), damages: 1500);
    }

    /// <summary>Header bytes are a small part of a file: damages the debug sections alone, one at a time.</summary>
    [Theory]
    [InlineData("v5", "-O2 -g", ".debug_info")]
    [InlineData("v5", "-O2 -g", ".debug_abbrev")]
    [InlineData("v5", "-O2 -g", ".debug_line")]
    [InlineData("v5", "-O2 -g", ".debug_str_offsets")]
    [InlineData("v5", "-O2 -g", ".debug_addr")]
    [InlineData("ranges-v5", "-O2 -g -ffunction-sections", ".debug_rnglists")]
    [InlineData("v4", "-O2 -g -gdwarf-4 -fdebug-types-section -gdwarf-aranges", ".debug_ranges")]
    [InlineData("v4", "-O2 -g -gdwarf-4 -fdebug-types-section -gdwarf-aranges", ".debug_aranges")]
    [InlineData("v2-sections", "-O1 -g -gdwarf-2 -ffunction-sections", ".debug_line")]
    public void Damage_to_a_section_never_escapes_the_symbolizer(string name, string flags, string section)
    {
        byte[] image = File.ReadAllBytes(CompileSmall("damaged-" + name, flags));
        ulong[] addresses = Addresses(image);
        using ElfFile whole = ElfFile.Parse(image, "whole");
        ElfSection header = whole.Section(section)!;
        int start = (int)header.Offset.Value, length = (int)header.Size;
        DamageSweep.Run(image[start..(start + length)], data =>
        {
            byte[] copy = [.. image];
            data.AsSpan(0, Math.Min(data.Length, length)).CopyTo(copy.AsSpan(start));
            copy.AsSpan(start + Math.Min(data.Length, length), Math.Max(0, length - data.Length)).Clear();
            Read(copy, addresses);
        }, damages: 400);
    }

    [Fact]
    public void A_damaged_unit_costs_that_unit_and_is_named()
    {
        byte[] image = File.ReadAllBytes(programs.Clang("two-units", "-O2", "-g", "-gdwarf-4"));
        using ElfFile whole = ElfFile.Parse(image.ToArray(), "whole");
        ElfSection info = whole.Section(".debug_info")!;
        // An abbreviation code that does not exist, in the middle of the first unit, which is main.cpp's.
        int unitLength = BitConverter.ToInt32(image, (int)info.Offset.Value);
        image.AsSpan((int)info.Offset.Value + unitLength / 2, 40).Fill(0xff);

        using Symbolizer sound = Symbolizer.Open(whole, LocalDebugFiles.Found);
        using ElfFile damaged = ElfFile.Parse(image, "damaged");
        using Symbolizer symbolizer = Symbolizer.Open(damaged, LocalDebugFiles.Found);
        HashSet<string> functions = [.. symbolizer.AllFunctions().Select(f => f.Name)];
        Assert.Contains("_Z5otheri", functions);
        Assert.True(functions.Count < sound.AllFunctions().Count());
        Assert.Contains("main.cpp", Assert.Single(symbolizer.Losses.ByReason).Key, StringComparison.Ordinal);
    }

    [Fact]
    public void Entries_that_refer_to_each_other_in_a_circle_end()
    {
        string source = programs.Write("circle.s", """
            .text
            .globl _start
            _start: nop
            nop
            .Lend:
            .section .debug_abbrev,"",@progbits
            .uleb128 1; .uleb128 0x11; .byte 1; .uleb128 0x11; .uleb128 0x01; .uleb128 0x12; .uleb128 0x07; .uleb128 0; .uleb128 0
            .uleb128 2; .uleb128 0x2e; .byte 0; .uleb128 0x11; .uleb128 0x01; .uleb128 0x12; .uleb128 0x07; .uleb128 0x31; .uleb128 0x13; .uleb128 0; .uleb128 0
            .uleb128 3; .uleb128 0x2e; .byte 0; .uleb128 0x47; .uleb128 0x13; .uleb128 0; .uleb128 0
            .byte 0
            .section .debug_info,"",@progbits
            .Lunit: .long .Lunit_end - .Lunit - 4
            .short 4
            .long 0
            .byte 8
            .uleb128 1; .quad _start; .quad .Lend - _start
            .uleb128 2; .quad _start; .quad .Lend - _start; .long .La - .Lunit
            .La: .uleb128 3; .long .Lb - .Lunit
            .Lb: .uleb128 3; .long .La - .Lunit
            .byte 0
            .Lunit_end:
            """.Replace("; ", "\n", StringComparison.Ordinal));
        Tool.Run("clang-19", ["-nostdlib", "-static", "-fuse-ld=lld-19", source, "-o", programs["circle"]]).Succeeded();
        using ElfFile file = ElfFile.Load(programs["circle"]);
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        BinaryAddress start = new(Addresses(File.ReadAllBytes(programs["circle"]))[0]);
        Assert.Equal("", symbolizer.Find(start).Context!.Function);
        Assert.Null(symbolizer.FindFunction(start));
        Assert.Equal(0UL, symbolizer.Losses.Total);
    }

    private static void Read(byte[] data, IReadOnlyList<ulong> addresses)
    {
        using ElfFile file = ElfFile.Parse(data, "damaged");
        Read(file, addresses);
    }

    /// <summary>Everything that profile generation does with a binary.</summary>
    internal static void Read(ElfFile file, IReadOnlyList<ulong> addresses)
    {
        _ = file.BuildId;
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        foreach (ulong address in addresses)
        {
            foreach (SourceFrame frame in symbolizer.Find(new(address)).Frames())
                Assert.NotNull(frame.Function);
            symbolizer.FindFunction(new(address));
        }
        Assert.True(symbolizer.AllFunctions().Count() < 1000);
        foreach (ref readonly ElfSymbol symbol in file.Symbols.Symbols)
            _ = file.Symbols.Name(symbol);
    }

    private string CompileSmall(string name, string flags)
    {
        string path = programs[name];
        if (!File.Exists(path))
            Tool.Run("clang-19", [.. flags.Split(' '), "-nostdlib", "-static", "-fuse-ld=lld-19", programs.Write("small.c", Source), "-o", path]).Succeeded();
        return path;
    }

    private static ulong[] Addresses(byte[] image)
    {
        using ElfFile file = ElfFile.Parse(image, "whole");
        LoadSegment code = file.LoadSegments.Single(s => s.IsExecutable);
        return [.. Enumerable.Range(0, (int)code.MemorySize).Select(i => code.Address.Value + (ulong)i)];
    }
}
