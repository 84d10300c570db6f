using Perforator.Elf;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

/// <summary>Debug info that is not in the binary: separate files, dwz's shared file, split DWARF.</summary>
public class SeparateDebugInfoTests(SourcePrograms programs) : IClassFixture<SourcePrograms>
{
    private string Plain => programs.Clang("whole", "-O2", "-g", "-fdebug-info-for-profiling", "-Wl,--build-id=sha1");

    [Fact]
    public void A_named_debug_file_is_used()
    {
        string stripped = Strip(Plain, "named", "named.debug");
        Assert.True(LlvmSymbolizer.AssertSame(stripped, LlvmSymbolizer.Instructions(stripped), programs["named.debug"]) > 400);
    }

    [Theory]
    [InlineData("beside", "")]
    [InlineData("hidden", ".debug")]
    public void A_debug_link_is_followed_to_a_file_with_the_right_checksum(string name, string subfolder)
    {
        string plain = programs.Clang("no-id", "-O2", "-g", "-Wl,--build-id=none");
        string folder = Directory.CreateDirectory(programs[name]).FullName;
        string debugFile = Path.Combine(folder, subfolder, "program.debug");
        Directory.CreateDirectory(Path.GetDirectoryName(debugFile)!);
        Tool.Run("llvm-objcopy-19", ["--only-keep-debug", plain, debugFile]).Succeeded();
        string stripped = Path.Combine(folder, "program");
        Tool.Run("llvm-objcopy-19", ["--strip-all", "--add-gnu-debuglink=" + debugFile, plain, stripped]).Succeeded();

        using ElfFile whole = ElfFile.Load(plain);
        using ElfFile file = ElfFile.Load(stripped);
        AssertSame(whole, file);

        File.AppendAllText(debugFile, "x");
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        Assert.False(symbolizer.HasDebugInfo);
        Assert.Contains("program.debug", Assert.Single(symbolizer.Losses.ByReason).Key, StringComparison.Ordinal);
    }

    [Fact]
    public void A_debug_file_of_another_build_or_without_debug_info_is_refused()
    {
        string stripped = Strip(Plain, "refusing", "refusing.debug");
        string other = programs.Clang("other-build", "-O1", "-g", "-Wl,--build-id=sha1");
        using ElfFile file = ElfFile.Load(stripped);
        Assert.Contains(
            "build id", Assert.Throws<UserErrorException>(() => Symbolizer.Open(file, new LocalDebugFiles(other))).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "no debug info", Assert.Throws<UserErrorException>(() => Symbolizer.Open(file, new LocalDebugFiles(stripped))).Message,
            StringComparison.Ordinal);
        using Symbolizer none = Symbolizer.Open(file, LocalDebugFiles.Found);
        Assert.False(none.HasDebugInfo);
        Assert.Null(none.Find(file.LoadSegments.First(s => s.IsExecutable).Address).Context);
    }

    [Theory]
    [InlineData("dwz-gcc", "g++", "-O2 -g")]
    [InlineData("dwz-clang-v4", "clang++-19", "-O2 -g -gdwarf-4 -fdebug-info-for-profiling")]
    public void Entries_that_dwz_moved_to_a_shared_file_are_found_there(string name, string compiler, string flags)
    {
        Tool.Require("dwz");
        Tool.Require(compiler);
        string plain = programs.Compile(name, compiler, flags.Split(' '));
        string packed = programs[name + ".packed"], second = programs[name + ".second"];
        File.Copy(plain, packed);
        File.Copy(plain, second);
        Tool.Run("dwz", ["-m", name + ".shared", "-M", name + ".shared", packed, second], folder: programs.Folder).Succeeded();

        using ElfFile whole = ElfFile.Load(plain);
        using ElfFile file = ElfFile.Load(packed);
        Assert.NotNull(DebugLink.OfSupplement(file));
        AssertSame(whole, file);

        File.Delete(programs[name + ".shared"]);
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        Assert.Contains(symbolizer.Losses.ByReason.Keys, r => r.Contains(name + ".shared", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("v5", "-gdwarf-5")]
    [InlineData("v4", "-gdwarf-4")]
    [InlineData("single", "-gsplit-dwarf=single")]
    [InlineData("no-inlining", "-fno-split-dwarf-inlining")]
    [InlineData("types5", "-gdwarf-5 -fdebug-types-section")]
    [InlineData("types4", "-gdwarf-4 -fdebug-types-section")]
    public void Split_units_are_found_in_dwo_files_and_in_packages(string name, string flags)
    {
        string folder = Directory.CreateDirectory(programs["split-" + name]).FullName;
        string binary = Path.Combine(folder, "program");
        foreach (string source in (string[])["main", "other"])
            Tool.Run("clang++-19", ["-c", "-O2", "-g", "-gsplit-dwarf", .. flags.Split(' '), "-fdebug-info-for-profiling", $"../{source}.cpp"], folder: folder).Succeeded();
        Tool.Run("clang++-19", ["-fuse-ld=lld-19", "main.o", "other.o", "-o", binary], folder: folder).Succeeded();
        List<ulong> instructions = LlvmSymbolizer.Instructions(binary);
        Assert.True(LlvmSymbolizer.AssertSame(binary, instructions) > 400);

        // Without .dwo files a package must do; without that, what the linked file itself says.
        Tool.Run("llvm-dwp-19", ["-e", binary, "-o", binary + ".dwp"], folder: folder).Succeeded();
        SourceFrame[][] fromFiles = Frames(binary, instructions, out _);
        foreach (string file in Directory.GetFiles(folder, "*.dwo").Concat(Directory.GetFiles(folder, "*.o")))
            File.Delete(file);
        SourceFrame[][] fromPackage = Frames(binary, instructions, out LossCounts losses);
        Assert.Contains(fromFiles, f => f.Length > 1);
        Assert.Equal(fromFiles, fromPackage);
        Assert.Equal(0UL, losses.Total);

        File.Delete(binary + ".dwp");
        Frames(binary, instructions, out losses);
        Assert.Equal(2UL, losses[SplitUnits.Missing]);
    }

    private string Strip(string plain, string name, string debugName)
    {
        Tool.Run("llvm-objcopy-19", ["--only-keep-debug", plain, programs[debugName]]).Succeeded();
        Tool.Run("llvm-objcopy-19", ["--strip-debug", plain, programs[name]]).Succeeded();
        return programs[name];
    }

    private static void AssertSame(ElfFile whole, ElfFile file)
    {
        List<ulong> instructions = LlvmSymbolizer.Instructions(whole.Path);
        SourceFrame[][] expected = Frames(whole.Path, instructions, out _);
        Assert.Contains(expected, f => f.Length > 1);
        Assert.Equal(expected, Frames(file.Path, instructions, out LossCounts losses));
        Assert.Equal(0UL, losses.Total);
    }

    private static SourceFrame[][] Frames(string binary, List<ulong> addresses, out LossCounts losses)
    {
        using ElfFile file = ElfFile.Load(binary);
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        SourceFrame[][] frames = [.. addresses.Select(a => symbolizer.Find(new(a)).Frames().ToArray())];
        losses = symbolizer.Losses;
        return frames;
    }
}
