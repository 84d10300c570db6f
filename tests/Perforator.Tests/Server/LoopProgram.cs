using Perforator.Branches;
using Perforator.Disassembly;
using Perforator.Elf;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Server;

/// <summary>A program with one hot loop, compiled once, and branch profiles of it as a recorder would have made them.</summary>
public sealed class LoopProgram : IDisposable
{
    private const string Source = """
        #include <stdio.h>
        __attribute__((noinline)) unsigned work(unsigned n)
        {
            unsigned h = 1;
            for (unsigned i = 0; i < n; i++)
                h = (h ^ i) * 16777619u + (h >> 7);
            return h;
        }
        int main(int argc, char **argv) { (void)argv; printf("%u\n", work(argc * 1000)); return 0; }
        """;

    private readonly TemporaryFolder folder = new();

    public LoopProgram()
    {
        folder.Write("loop.c", Source);
        Binary = Compile("loop", "-g");
        using ElfFile elf = ElfFile.Load(Binary);
        BuildId = elf.BuildId;
        ExecutableBytes = elf.ExecutableBytes;
        ElfSymbol work = elf.Symbols.Symbols.ToArray().Single(symbol => elf.Symbols.Name(symbol) == "work");
        X64Decoder decoder = new();
        ReadOnlySpan<byte> code = elf.Code(work.Address).Span[..(int)work.Size];
        for (int at = 0; at < code.Length;)
        {
            BinaryAddress address = new(work.Address.Value + (ulong)at);
            Assert.True(decoder.TryDecode(code[at..], address, out Instruction instruction));
            if (instruction.Kind == InstructionKind.ConditionalBranch && instruction.Target >= work.Address.Value
                && instruction.Target < address.Value)
                (LoopStart, LoopEnd) = (new(instruction.Target), address);
            at += instruction.Length;
        }
        Assert.NotEqual(default, LoopEnd);
    }

    /// <summary>The folder that loop.c is in.</summary>
    public string SourceFolder => folder.Path;

    /// <summary>The binary, with debug info.</summary>
    public string Binary { get; }

    public BuildId BuildId { get; }

    public ulong ExecutableBytes { get; }

    private BinaryAddress LoopStart { get; }

    private BinaryAddress LoopEnd { get; }

    /// <summary>Compiles the program another way.</summary>
    public string Compile(string name, params string[] flags)
    {
        Tool.Run("clang-19", ["-O2", "-fno-unroll-loops", "-fno-vectorize", "-Wl,--build-id", .. flags, folder["loop.c"], "-o", folder[name]]).Succeeded();
        return folder[name];
    }

    /// <summary>Recompiles the program with a profile; fails on any warning.</summary>
    public void CompileWith(string profile) => Compile("optimised", "-g", "-Werror", $"-fprofile-sample-use={profile}");

    /// <summary>One minute in which the loop went round so many times.</summary>
    /// <param name="other">Another file of the service that is the same code under another build id; null for the program itself.</param>
    public BranchProfileSet Recorded(ulong rounds, int minute = 0, string service = "loop", (BuildId Id, string Path)? other = null)
    {
        BranchProfileSet set =
            new() { Start = Uploads.Start.AddMinutes(minute), End = Uploads.Start.AddMinutes(minute + 1), TotalSamples = rounds };
        set.Labels[ProfileLabels.Service] = service;
        BranchProfile profile = new(other?.Id ?? BuildId, other?.Path ?? "/opt/loop") { Samples = rounds, BranchEntries = rounds };
        profile.AddBranch(LoopEnd, LoopStart, rounds);
        profile.AddRange(LoopStart, LoopEnd, rounds);
        set.Add(profile);
        return set;
    }

    public void Dispose() => folder.Dispose();
}
