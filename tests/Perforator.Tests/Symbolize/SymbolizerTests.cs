using Perforator.Elf;
using Perforator.Symbolize;

namespace Perforator.Tests.Symbolize;

public class SymbolizerTests(SourcePrograms programs) : IClassFixture<SourcePrograms>
{
    [Theory]
    [InlineData("v5", "-O2 -g -fdebug-info-for-profiling")]
    [InlineData("v4", "-O2 -g -gdwarf-4 -fdebug-info-for-profiling -no-pie")]
    [InlineData("v5-O0", "-O0 -g")]
    [InlineData("v5-O3", "-O3 -g -gdwarf64 -fdebug-info-for-profiling")]
    public void Frames_are_those_of_llvm_symbolizer(string name, string flags)
    {
        string binary = programs.Clang(name, flags.Split(' '));
        int found = LlvmSymbolizer.AssertSame(binary, LlvmSymbolizer.Instructions(binary));
        Assert.True(found > 1000, $"only {found} addresses have a function");
    }

    [Fact]
    public void One_unit_is_parsed_for_one_address()
    {
        using ElfFile file = ElfFile.Load(programs.Clang("v5", "-O2", "-g", "-fdebug-info-for-profiling"));
        using Symbolizer symbolizer = Symbolizer.Open(file);
        Assert.Equal(2, symbolizer.UnitCount);
        FunctionRange collatz = symbolizer.AllFunctions().Single(f => f.Name == "_Z7collatzi").Ranges.Single();

        using Symbolizer lazy = Symbolizer.Open(file);
        Assert.Equal(0, lazy.ParsedUnitCount);
        SourceLocation location = lazy.Find(collatz.Start);
        Assert.Equal("_Z7collatzi", location.Frames().Last().Function);
        Assert.Same(location.Context, lazy.Find(collatz.Start).Context);
        Assert.Same(lazy.FindFunction(collatz.Start)!.Function, lazy.FindFunction(new(collatz.End.Value - 1))!.Function);
        Assert.True(lazy.FindFunction(collatz.Start)!.IsEntry);
        Assert.Equal(1, lazy.ParsedUnitCount);
    }
}
