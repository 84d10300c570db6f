using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// Kernel modules, which are object files. A program linked of the same object (testdata/kernel-module) is recorded, and its addresses are
/// made those of a module that was loaded: its profile is the module's.
/// </summary>
public sealed partial class KernelModuleTests(KernelModuleTests.Module module) : IClassFixture<KernelModuleTests.Module>
{
    private const ulong Loaded = 0xffff_ffff_c012_3000, Linked = 0x401000;

    /// <summary>The module, and what was recorded of it.</summary>
    public sealed class Module : IDisposable
    {
        private readonly TemporaryFolder folder = new();

        public Module()
        {
            string sources = Path.Combine(
                Tool.RepositoryRoot(), "testdata", "kernel-module"), program = folder["program"], data = folder["program.perf.data"];
            Tool.Run("clang-19", ["-O2", "-g", "-fdebug-info-for-profiling", "-fno-pic", "-mcmodel=kernel", "-c", Path.Combine(sources, "module.c"), "-o", folder["module.o"]]).Succeeded();
            Tool.Run("clang-19", ["-O2", "-fno-pic", "-c", Path.Combine(sources, "user.c"), "-o", folder["user.o"]]).Succeeded();
            Tool.Run("ld.lld-19", ["-r", "--build-id=sha1", folder["module.o"], "-o", File]).Succeeded();
            Tool.Run("ld.lld-19", ["--build-id=sha1", "-T", Path.Combine(sources, "user.lds"), folder["module.o"], folder["user.o"], "-o", program]).Succeeded();
            Tool.Cli("record", "--source", "software", "--max-overhead", "100%", "-o", data, "--", program).Succeeded();
            string script =
                folder.Write(
                    "program.script",
                    Tool.Run("perf", ["script", "-i", data, "-F", "ip,brstack", "--show-mmap-events"]).Succeeded().Output);
            Tool.Run("llvm-profgen-19", ["--binary", program, "--perfscript", script, "--format", "text", "-o", folder["expected.txt"]])
                .Succeeded();
            Expected = System.IO.File.ReadAllText(folder["expected.txt"]);
            Samples = Addresses().Replace(Mappings().Replace(System.IO.File.ReadAllText(script), ""), static found =>
            {
                ulong address = ulong.Parse(found.ValueSpan, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
                return address - Linked < 0x1000 ? $"{address - Linked + Loaded:x}" : found.Value;
            });
        }

        public string File => folder["toy-mod.ko"];

        public string Expected { get; }

        public string Samples { get; }

        /// <summary>A file of the recording with the module mapped under a name.</summary>
        public string Recording(string name) =>
            folder.Write($"{Guid.NewGuid():N}.script", $"PERF_RECORD_MMAP -1/0: [0x{Loaded:x}(0x5000) @ 0]: x {name}\n{Samples}");

        public string this[string name] => folder[name];

        public void Dispose() => folder.Dispose();
    }

    [GeneratedRegex(@"^.*PERF_RECORD_.*\n", RegexOptions.Multiline)]
    private static partial Regex Mappings();

    [GeneratedRegex(@"(?<=0x|^\s+)[0-9a-f]{6,16}\b", RegexOptions.Multiline)]
    private static partial Regex Addresses();

    [Theory]
    [InlineData("[toy_mod]")]
    [InlineData("/lib/modules/6.12.9/kernel/toy-mod.ko")]
    [InlineData("/lib/modules/6.12.9/kernel/toy-mod.ko.xz")]
    public void The_profile_is_that_of_the_same_code_in_a_linked_file(string name)
    {
        Assert.Contains("step:", module.Expected);
        Assert.Equal(module.Expected, Generate(module.File, module.Recording(name)).Succeeded().Output);
    }

    [Theory]
    [InlineData("zlib")]
    [InlineData("zstd")]
    public void Compressed_debug_info_is_relocated_too(string compression)
    {
        string compressed = module[$"{compression}.ko"];
        Tool.Run("llvm-objcopy-19", [$"--compress-debug-sections={compression}", module.File, compressed]).Succeeded();
        Assert.Equal(module.Expected, Generate(compressed, module.Recording("[toy_mod]")).Succeeded().Output);
    }

    [Fact]
    public void A_stripped_module_takes_its_debug_file()
    {
        string stripped = module["stripped.ko"], debug = module["stripped.ko.debug"];
        Tool.Run("llvm-objcopy-19", ["--only-keep-debug", module.File, debug]).Succeeded();
        Tool.Run("llvm-objcopy-19", ["--strip-debug", module.File, stripped]).Succeeded();
        Assert.Contains("has no debug info", Generate(stripped, module.Recording("[toy_mod]")).Error);
        Assert.Equal(module.Expected, Generate(stripped, module.Recording("[toy_mod]"), "--debug-file", debug).Succeeded().Output);
    }

    [Fact]
    public void What_is_no_module_that_was_recorded_is_refused_with_what_to_do()
    {
        Assert.Contains("what it recorded is [other] (no build id, 100 %)", Generate(module.File, module.Recording("[other]")).Error);
        string packed = module["toy-mod.ko.zst"], linked = module["user.o"];
        File.WriteAllBytes(packed, [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]);
        Assert.Contains("it is compressed; unpack it first (zstd -d)", Generate(packed, module.Recording("[toy_mod]")).Error);
        Assert.Contains(
            "is an object file that is not linked yet: give the executable, shared library or kernel module (.ko)",
            Generate(linked, module.Recording("[toy_mod]")).Error);
    }

    /// <summary>Whatever is in its headers and relocations: read, or refused as malformed.</summary>
    [Fact]
    public void A_damaged_module_is_read_or_refused()
    {
        byte[] whole = File.ReadAllBytes(module.File);
        Random random = new(19);
        int read = 0;
        for (int i = 0; i < 3000; i++)
        {
            byte[] damaged = [.. whole];
            for (int flips = random.Next(1, 20); flips > 0; flips--)
                damaged[random.Next(2) == 0
                    ? random.Next(damaged.Length) : damaged.Length - 1 - random.Next(damaged.Length / 3)] = (byte)random.Next(256);
            try
            {
                using ElfFile elf = ElfFile.Parse(damaged, "damaged.ko");
                _ = elf.ExecutableBytes;
                foreach (ElfSection section in elf.Sections)
                    read += elf.ReadSection(section).Length > 0 ? 1 : 0;
            }
            catch (MalformedInputException)
            {
                // As it should be.
            }
        }
        Assert.True(read > 1000);
    }

    private static ToolResult Generate(string binary, string script, params string[] more) =>
        Tool.Cli(["generate", "--binary", binary, "--perf-script", script, "--format", "text", .. more]);
}
