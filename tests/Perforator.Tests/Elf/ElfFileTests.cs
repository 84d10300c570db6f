using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Elf;

/// <summary>Programs of one source, linked in the ways that matter to the reader.</summary>
public sealed class ElfPrograms : IDisposable
{
    private const string Source = """
        #include <stdio.h>
        static int square(int x) { return x * x; }
        int main(int argc, char **argv) { printf("%d\n", square(argc)); return argv == 0; }
        """;

    private readonly TemporaryFolder folder = new();

    public ElfPrograms() => folder.Write("a.c", Source);

    public string Compile(string name, params string[] flags)
    {
        string path = folder[name];
        if (!File.Exists(path))
            Tool.Run("clang-19", ["-O1", "-fuse-ld=lld-19", folder["a.c"], "-o", path, .. flags]).Succeeded();
        return path;
    }

    public string Write(string name, string text) => folder.Write(name, text);

    public string this[string name] => folder[name];

    public void Dispose() => folder.Dispose();
}

public class ElfFileTests(ElfPrograms programs) : IClassFixture<ElfPrograms>
{
    [Theory]
    [InlineData("-pie", true)]
    [InlineData("-no-pie", false)]
    public void Segments_symbols_and_sections_are_those_that_readelf_shows(string flag, bool positionIndependent)
    {
        string path = programs.Compile("linked" + flag, flag, "-g", "-Wl,--build-id=sha1");
        using ElfFile file = ElfFile.Load(path);

        Assert.Equal(ElfMachine.X86_64, file.Machine);
        Assert.Equal(positionIndependent, file.IsPositionIndependent);
        string segments = Tool.Run("llvm-readelf-19", ["-lW", path]).Succeeded().Output;
        IEnumerable<string> expected = Regex.Matches(segments, @"LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) (...)").Select(m =>
            $"{Hex(m, 2):x} {Hex(m, 1):x} {Hex(m, 3):x} {Hex(m, 4):x} {m.Groups[5].Value.Contains('E')}");
        Assert.Equal(
            expected, file.LoadSegments.Select(
                s => $"{s.Address.Value:x} {s.Offset.Value:x} {s.FileSize:x} {s.MemorySize:x} {s.IsExecutable}"));

        string symbols = Tool.Run("llvm-readelf-19", ["-sW", path]).Succeeded().Output;
        ulong main = Convert.ToUInt64(Regex.Match(symbols, @"(\w+) +\d+ FUNC +GLOBAL \w+ +\d+ main\n").Groups[1].Value, 16);
        ElfSymbol symbol = file.Symbols.Symbols.ToArray().Single(s => file.Symbols.Name(s) == "main");
        Assert.Equal(main, symbol.Address.Value);
        Assert.True(symbol.IsFunction);
        Assert.True(file.IsCode(symbol.Address));
        Assert.True(file.Code(symbol.Address).Length >= (int)symbol.Size);
        Assert.False(file.IsCode(file.Section(".rodata")!.Address));
        string sections = Tool.Run("llvm-readelf-19", ["-SW", path]).Succeeded().Output;
        Assert.Equal(
            Regex.Matches(sections, @" PROGBITS +\w+ \w+ (\w+) \w+ +AX ").Sum(m => Convert.ToInt64(m.Groups[1].Value, 16)),
            (long)file.ExecutableBytes);

        static ulong Hex(Match m, int group) => Convert.ToUInt64(m.Groups[group].Value, 16);
    }

    [Theory]
    [InlineData("sha1", 20)]
    [InlineData("md5", 16)]
    [InlineData("fast", 8)]
    public void The_build_id_is_the_one_the_linker_wrote(string kind, int length)
    {
        string path = programs.Compile("id-" + kind, "-Wl,--build-id=" + kind);
        string notes = Tool.Run("llvm-readelf-19", ["-n", path]).Succeeded().Output;
        using ElfFile file = ElfFile.Load(path);
        Assert.Equal(Regex.Match(notes, "Build ID: (.*)").Groups[1].Value, file.BuildId.ToString());
        Assert.Equal(length, file.BuildId.ToBytes().Length);
        Assert.Equal(file.BuildId, ElfModule.Load(path).BuildId);
    }

    [Fact]
    public void The_build_id_is_found_without_section_headers()
    {
        string path = programs.Compile("id-sha1", "-Wl,--build-id=sha1");
        Tool.Run("llvm-strip-19", ["--strip-sections", path, "-o", programs["sectionless"]]).Succeeded();
        using ElfFile whole = ElfFile.Load(path);
        using ElfFile stripped = ElfFile.Load(programs["sectionless"]);
        Assert.Empty(stripped.Sections);
        Assert.Equal(whole.BuildId, stripped.BuildId);
    }

    [Fact]
    public void A_binary_without_build_id_has_one_of_its_contents()
    {
        string path = programs.Compile("no-id", "-Wl,--build-id=none");
        using ElfFile file = ElfFile.Load(path);
        Assert.False(file.HasBuildIdNote(out _));
        Assert.Equal(Tool.Run("sha256sum", [path]).Succeeded().Output[..48], file.BuildId.ToString());
    }

    [Theory]
    [InlineData("-gz=zlib")]
    [InlineData("-gz=zstd")]
    [InlineData("zlib-gnu")]
    public void Compressed_sections_read_as_if_they_were_not(string form)
    {
        string plain = programs.Compile("plain", "-g", "-gdwarf-4", "-gz=none");
        string packed = programs["packed" + form];
        if (form == "zlib-gnu")
            File.WriteAllBytes(packed, WithGnuCompression(File.ReadAllBytes(plain), ".debug_info"));
        else
            programs.Compile("packed" + form, "-g", "-gdwarf-4", form);
        using ElfFile file = ElfFile.Load(packed);
        using ElfFile reference = ElfFile.Load(plain);
        Assert.True(file.HasSection(".debug_info"));
        Assert.Equal(reference.SectionData(".debug_info").ToArray(), file.SectionData(".debug_info").ToArray());
        Assert.True(file.SectionData(".debug_nothing").IsEmpty);
    }

    /// <summary>No tool here writes .zdebug_ sections any more: appends one and redirects the section header.</summary>
    private static byte[] WithGnuCompression(byte[] file, string name)
    {
        using ElfFile parsed = ElfFile.Parse(file, "plain");
        ElfSection section = parsed.Section(name)!;
        ReadOnlySpan<byte> data = file.AsSpan((int)section.Offset.Value, (int)section.Size);
        using MemoryStream packed = new();
        packed.Write("ZLIB"u8);
        for (int shift = 56; shift >= 0; shift -= 8)
            packed.WriteByte((byte)(section.Size >> shift));
        using (System.IO.Compression.ZLibStream deflate = new(packed, System.IO.Compression.CompressionLevel.Fastest, leaveOpen: true))
            deflate.Write(data);
        byte[] result = [.. file, .. packed.ToArray(), .. System.Text.Encoding.ASCII.GetBytes(".z" + name[1..] + "\0")];
        // The name goes behind the whole file: the section name table is stretched to reach it.
        int headers = (int)BitConverter.ToUInt64(file, 40);
        int names = headers + 64 * BitConverter.ToUInt16(file, 62);
        ulong namesOffset = BitConverter.ToUInt64(file, names + 24);
        BitConverter.TryWriteBytes(result.AsSpan(names + 32), (ulong)result.Length - namesOffset);
        int header = headers + 64 * section.Index;
        BitConverter.TryWriteBytes(result.AsSpan(header), (uint)(file.Length + (int)packed.Length - (int)namesOffset));
        BitConverter.TryWriteBytes(result.AsSpan(header + 24), (ulong)file.Length);
        BitConverter.TryWriteBytes(result.AsSpan(header + 32), (ulong)packed.Length);
        return result;
    }

    [Fact]
    public void A_relocatable_file_with_more_than_65280_sections_is_read_in_full()
    {
        string assembly =
            string.Concat(
                Enumerable.Range(0, 65400)
                    .Select(i => string.Create(CultureInfo.InvariantCulture, $".section s{i},\"\",@progbits\n.byte 1\n")));
        string source = programs.Write("many.s", assembly);
        Tool.Run("clang-19", ["-c", source, "-o", programs["many.o"]]).Succeeded();
        using ElfFile file = ElfFile.Load(programs["many.o"]);
        Assert.NotNull(file.Section("s65399"));
        Assert.Equal([1], file.SectionData("s65399").ToArray());
    }

    [Fact]
    public void What_cannot_be_used_is_named_in_one_line()
    {
        string text = programs.Write("text", "hello");
        byte[] image = File.ReadAllBytes(programs.Compile("plain", "-g", "-gdwarf-4", "-gz=none"));
        Assert.Contains("does not exist", Failure(programs["missing"]), StringComparison.Ordinal);
        Assert.Contains("folder", Failure(Path.GetDirectoryName(text)!), StringComparison.Ordinal);
        Assert.Contains("not an ELF file", Failure(text), StringComparison.Ordinal);
        Assert.Contains("32-bit", Failure(Patched(4, 1)), StringComparison.Ordinal);
        Assert.Contains("big-endian", Failure(Patched(5, 2)), StringComparison.Ordinal);
        Assert.Contains("machine 243", Failure(Patched(18, 243)), StringComparison.Ordinal);
        Assert.Contains("beyond the end of the file", Failure(Cut(image.Length - 100)), StringComparison.Ordinal);
        Assert.Contains("truncated", Failure(Cut(30)), StringComparison.Ordinal);

        string Patched(int offset, byte value)
        {
            byte[] copy = [.. image];
            copy[offset] = value;
            File.WriteAllBytes(programs["patched"], copy);
            return programs["patched"];
        }

        string Cut(int length)
        {
            File.WriteAllBytes(programs["cut"], image[..length]);
            return programs["cut"];
        }

        static string Failure(string path)
        {
            string message = Assert.Throws<UserErrorException>(() => ElfFile.Load(path)).Message;
            Assert.StartsWith(path, message, StringComparison.Ordinal);
            Assert.DoesNotContain('\n', message);
            return message;
        }
    }

    [Fact]
    public void A_compressed_section_that_claims_an_implausible_size_is_malformed()
    {
        byte[] image = File.ReadAllBytes(programs.Compile("packed-gz=zlib", "-g", "-gdwarf-4", "-gz=zlib"));
        using ElfFile whole = ElfFile.Parse(image, "whole");
        int header = (int)whole.Section(".debug_info")!.Offset.Value;
        BitConverter.TryWriteBytes(image.AsSpan(header + 8), 1UL << 40);
        using ElfFile file = ElfFile.Parse(image, "lying");
        MalformedInputException e = Assert.Throws<MalformedInputException>(() => file.SectionData(".debug_info"));
        Assert.Equal(".debug_info", e.Where);
    }
}
