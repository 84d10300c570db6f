using Perforator.Elf;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

/// <summary>Every form of debug info that compilers write, against llvm-symbolizer-19 at every instruction.</summary>
public class SymbolizerTests(SourcePrograms programs) : IClassFixture<SourcePrograms>
{
    [Theory]
    [InlineData("v5", "-O2 -g -fdebug-info-for-profiling")]
    [InlineData("v4", "-O2 -g -gdwarf-4 -fdebug-info-for-profiling -no-pie")]
    [InlineData("v3", "-O2 -g -gdwarf-3")]
    [InlineData("v2", "-O2 -g -gdwarf-2")]
    [InlineData("v5-O0", "-O0 -g")]
    [InlineData("v5-64-bit", "-O3 -g -gdwarf64 -fdebug-info-for-profiling")]
    [InlineData("lines-only", "-O2 -gline-tables-only")]
    [InlineData("lines-for-profiling", "-O2 -gmlt -fdebug-info-for-profiling")]
    [InlineData("zlib", "-O2 -g -gz=zlib")]
    [InlineData("zstd", "-O2 -g -gz=zstd")]
    [InlineData("types-v4", "-O2 -g -gdwarf-4 -fdebug-types-section")]
    [InlineData("types-v5", "-O2 -g -fdebug-types-section")]
    [InlineData("sections", "-O2 -g -ffunction-sections -Wl,--gc-sections")]
    [InlineData("icf", "-O2 -g -ffunction-sections -Wl,--icf=all")]
    [InlineData("aranges", "-O2 -g -gdwarf-aranges")]
    [InlineData("bfd", "-O2 -g -fuse-ld=bfd -ffunction-sections -Wl,--gc-sections")]
    [InlineData("thin-lto", "-O2 -g -flto=thin")]
    [InlineData("full-lto", "-O2 -g -flto")]
    [InlineData("probes", "-O2 -g -fpseudo-probe-for-profiling")]
    public void Clang(string name, string flags)
    {
        string binary = programs.Clang(name, flags.Split(' '));
        int found = LlvmSymbolizer.AssertSame(binary, LlvmSymbolizer.Instructions(binary));
        Assert.True(found > 400, $"only {found} addresses have a function");
    }

    [Theory]
    [InlineData("gcc-v5", "-O2 -g")]
    [InlineData("gcc-v4", "-O3 -g -gdwarf-4 -no-pie")]
    [InlineData("gcc-v2", "-O2 -gdwarf-2 -ffunction-sections")]
    [InlineData("gcc-cold", "-O2 -g -ffunction-sections -freorder-blocks-and-partition")]
    public void Gcc(string name, string flags)
    {
        Tool.Require("g++");
        string binary = programs.Compile(name, "g++", flags.Split(' '));
        int found = LlvmSymbolizer.AssertSame(binary, LlvmSymbolizer.Instructions(binary));
        Assert.True(found > 400, $"only {found} addresses have a function");
    }

    [Fact]
    public void Functions_of_units_that_do_not_say_where_their_code_is_are_found_all_the_same()
    {
        // Strict DWARF 2 has no range lists: llvm-symbolizer knows no function in most of this program.
        string binary = programs.Clang("strict-v2", "-O2", "-gdwarf-2", "-gstrict-dwarf");
        int found = LlvmSymbolizer.AssertSame(binary, LlvmSymbolizer.Instructions(binary), orMore: true);
        Assert.True(found > 400, $"only {found} addresses have a function");
    }

    [Fact]
    public void One_unit_is_parsed_for_one_address()
    {
        using ElfFile file = ElfFile.Load(programs.Clang("v5", "-O2", "-g", "-fdebug-info-for-profiling"));
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        Assert.Equal(2, symbolizer.UnitCount);
        FunctionRange collatz = symbolizer.AllFunctions().Single(f => f.Name == "_Z7collatzi").Ranges.Single();

        using Symbolizer lazy = Symbolizer.Open(file, LocalDebugFiles.Found);
        Assert.Equal(0, lazy.ParsedUnitCount);
        SourceLocation location = lazy.Find(collatz.Start);
        Assert.Equal("_Z7collatzi", location.Frames().Last().Function);
        Assert.Same(location.Context, lazy.Find(collatz.Start).Context);
        Assert.Same(lazy.FindFunction(collatz.Start)!.Function, lazy.FindFunction(new(collatz.End.Value - 1))!.Function);
        Assert.Equal(1, lazy.ParsedUnitCount);
    }
}
