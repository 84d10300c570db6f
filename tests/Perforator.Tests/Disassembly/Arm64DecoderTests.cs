using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Disassembly;
using Perforator.Elf;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Disassembly;

public sealed partial class Arm64DecoderTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    /// <summary>Every form of branch there is, and neighbours in the encoding that are none.</summary>
    private const string Assembly = """
        .text
        first:
          b 1f
          bl first
        1: b.eq 2f
          bc.ne first
          cbz x0, 2f
          cbnz w3, first
          tbz x5, #33, 2f
          tbnz w5, #3, first
        2: br x1
          blr x2
          ret
          ret x5
          braa x1, x2
          brabz x3
          blraa x1, sp
          blrabz x4
          retaa
          retab
          eret
          svc #0
          brk #1
          hint #34
          nop
          add x0, x0, #1
          ldr x0, 2b
          adr x0, first
          adrp x1, first
          csel x0, x1, x2, eq
          ccmp x0, x1, #0, ne
          br x30
          drps
        """;

    [Fact]
    public void Every_branch_is_told_as_objdump_tells_it()
    {
        string source = folder.Write("branches.s", Assembly), file = folder["branches.o"];
        Tool.Run("clang-19", ["--target=aarch64-linux-gnu", "-march=armv9.4-a+pauth+hbc", "-c", source, "-o", file]).Succeeded();
        Assert.Equal(31, CompareWithObjdump(file));
    }

    [Fact]
    public void Compiled_code_is_told_as_objdump_tells_it()
    {
        string source = folder.Write("code.c", """
            #include <stdint.h>
            int f(int n), (*table[8])(int);
            uint64_t hash(const char *s, int n) { uint64_t h = 7; for (int i = 0; i < n; i++) { if (s[i] & 8) h = h * 31 + s[i]; else h ^= s[i]; } return h; }
            int pick(int k, int n) { switch (k) { case 0: return f(n); case 1: return n * 2; case 2: return table[n & 7](n); case 3: return n / 3; case 4: return f(n) + 1; case 5: return -n; default: return 0; } }
            double mean(double *v, int n) { double s = 0; for (int i = 0; i < n; i++) s += v[i] > 0 ? v[i] : -v[i]; return s / n; }
            """), file = folder["code.o"];
        Tool.Run("clang-19", ["--target=aarch64-linux-gnu", "-ffreestanding", "-O3", "-c", source, "-o", file]).Succeeded();
        Assert.True(CompareWithObjdump(file) > 80);
    }

    /// <summary>Newer than clang-19: CBGT (register), CBLT (immediate, backwards) of FEAT_CMPBR and RETAASPPC of FEAT_PAuth_LR.</summary>
    [Theory]
    [InlineData(0x7401004aU, InstructionKind.ConditionalBranch, 0x1008UL)]
    [InlineData(0xf5213fe0U, InstructionKind.ConditionalBranch, 0x0ffcUL)]
    [InlineData(0x5500001fU, InstructionKind.Return, 0UL)]
    public void Branches_of_newer_extensions_are_known(uint word, InstructionKind kind, ulong target)
    {
        Assert.True(new Arm64Decoder().TryDecode(BitConverter.GetBytes(word), new(0x1000), out Instruction instruction));
        Assert.Equal(new Instruction(4, kind, target), instruction);
    }

    [Theory]
    [InlineData(0x1002UL, 8, 2)]
    [InlineData(0x1000UL, 3, 3)]
    [InlineData(0x1003UL, 1, 1)]
    [InlineData(0x1000UL, 8, 4)]
    public void Padding_cut_words_and_odd_addresses_are_no_instructions(ulong address, int length, int step)
    {
        Assert.False(new Arm64Decoder().TryDecode(new byte[length], new(address), out Instruction instruction));
        Assert.Equal(step, instruction.Length);
    }

    /// <summary>Compares kind and target of each instruction of .text; returns how many there were.</summary>
    private static int CompareWithObjdump(string path)
    {
        string listing = Tool.Run("llvm-objdump-19", ["-d", "--mattr=+all", "--no-show-raw-insn", path]).Succeeded().Output;
        byte[] file = File.ReadAllBytes(path);
        byte[] text = Text(file);
        int count = 0;
        foreach (string line in listing.Split('\n'))
        {
            if (Line().Match(line) is not { Success: true } match)
                continue;
            ulong address = ulong.Parse(match.Groups[1].Value, NumberStyles.HexNumber);
            Assert.True(new Arm64Decoder().TryDecode(text.AsSpan((int)address), new(address), out Instruction instruction), line);
            InstructionKind kind = KindOf(match.Groups[2].Value);
            ulong target = kind is InstructionKind.ConditionalBranch or InstructionKind.UnconditionalBranch or InstructionKind.Call
                ? ulong.Parse(Target().Match(match.Groups[3].Value).Groups[1].Value, NumberStyles.HexNumber) : 0;
            Assert.True(instruction == new Instruction(4, kind, target), $"{line}: {instruction}");
            count++;
        }
        return count;
    }

    private static InstructionKind KindOf(string mnemonic) => mnemonic switch
    {
        "b" => InstructionKind.UnconditionalBranch,
        "bl" => InstructionKind.Call,
        "cbz" or "cbnz" or "tbz" or "tbnz" => InstructionKind.ConditionalBranch,
        "br" or "braa" or "brabz" => InstructionKind.IndirectBranch,
        "blr" or "blraa" or "blrabz" => InstructionKind.IndirectCall,
        "ret" or "retaa" or "retab" or "eret" => InstructionKind.Return,
        _ when mnemonic.StartsWith("b.", StringComparison.Ordinal) || mnemonic.StartsWith("bc.", StringComparison.Ordinal) =>
            InstructionKind.ConditionalBranch,
        _ => InstructionKind.Sequential,
    };

    /// <summary>.text of a relocatable file, which <see cref="ElfFile"/> does not open: it has no segments.</summary>
    private static byte[] Text(byte[] file)
    {
        int headers = (int)BitConverter.ToUInt64(file, 40), names = headers + 64 * BitConverter.ToUInt16(file, 62);
        int strings = (int)BitConverter.ToUInt64(file, names + 24);
        for (int at = headers; ; at += 64)
            if (file.AsSpan(strings + BitConverter.ToInt32(file, at)).StartsWith(".text\0"u8))
                return file.AsSpan((int)BitConverter.ToUInt64(file, at + 24), (int)BitConverter.ToUInt64(file, at + 32)).ToArray();
    }

    [GeneratedRegex(@"^\s*([0-9a-f]+):\s+([a-z][a-z0-9.]*)\s*(.*)$")]
    private static partial Regex Line();

    [GeneratedRegex(@"0x([0-9a-f]+)(?: <|$)")]
    private static partial Regex Target();
}
