using Perforator.Benchmarks;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.PerfData;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.PerfData;

/// <summary>A program compiled once, with branch stacks of it in perf.data files that we write.</summary>
public sealed class WalkedProgram : IDisposable
{
    public const int Samples = 2000;

    private const string Source = """
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        static int table[256];
        __attribute__((noinline)) int fold(int n) { int s = 0; while (n) { s += n % 10; n /= 10; } return s; }
        __attribute__((noinline)) int even(int n); __attribute__((noinline)) int odd(int n) { return n == 0 ? 0 : even(n - 1) + 1; }
        int even(int n) { return n == 0 ? 1 : odd(n - 1) - 1; }
        __attribute__((noinline)) int classify(const char *s) {
          int kind = 0;
          for (; *s; s++) { if (*s >= '0' && *s <= '9') kind |= 1; else if (*s == ' ') kind |= 2; else if (*s == '-' || *s == '+') kind |= 4; else kind |= 8; }
          return kind;
        }
        __attribute__((noinline)) int compare(const void *a, const void *b) { return fold(*(const int *)a) - fold(*(const int *)b); }
        int (*ops[])(int) = {fold, odd, even};
        int main(int argc, char **argv) {
          int sum = 0, rounds = argc > 1 ? atoi(argv[1]) : 100;
          for (int i = 0; i < 256; i++) table[i] = i * 7919 % 1009;
          qsort(table, 256, sizeof *table, compare);
          for (int round = 0; round < rounds; round++) {
            sum += ops[round % 3](round % 50) + classify(argv[0]);
            switch (round % 7) { case 0: sum ^= table[round & 255]; break; case 1: sum += 3; break; case 2: sum = fold(sum); break; case 5: sum--; break; default: sum += round; }
          }
          printf("%d\n", sum);
          return 0;
        }
        """;

    public WalkedProgram()
    {
        Binary = Folder["program"];
        string source = Folder.Write("program.c", Source);
        Tool.Run("clang-19", ["-O2", "-g", "-fuse-ld=lld", "-Wl,--build-id=sha1", "-Wl,--emit-relocs", "-Wl,-z,separate-code", "-o", Binary, source]).Succeeded();
        Elf = ElfFile.Load(Binary);
        Module = ElfModule.Of(Elf);
        PerfData = Write("walk.perf.data", Processes);
        OneProcess = Write("one.perf.data", Processes[..1]);
    }

    internal TemporaryFolder Folder { get; } = new();

    public string Binary { get; }

    public ElfFile Elf { get; }

    public Module Module { get; }

    /// <summary>Three processes, each at another load address.</summary>
    public (int Process, ulong Bias)[] Processes { get; } = [(4001, 0x555555554000), (4002, 0x561234567000), (4003, 0x7f0000000000)];

    /// <summary>A file of all processes.</summary>
    public string PerfData { get; }

    /// <summary>A file of the first process alone.</summary>
    public string OneProcess { get; }

    /// <summary>Feeds the same mappings and samples that <see cref="PerfData"/> holds.</summary>
    public void Feed(IBranchSink sink) => new BranchWalker(Elf).Feed(sink, Binary, Samples, Processes);

    public void Dispose()
    {
        Elf.Dispose();
        Folder.Dispose();
    }

    private string Write(string name, (int Process, ulong Bias)[] processes)
    {
        using FileStream file = File.Create(Folder[name]);
        using PerfDataWriter writer = new(file) { HostName = "testhost", CpuModel = "Test CPU" };
        new BranchWalker(Elf).Feed(writer, Binary, Samples, processes);
        writer.Complete();
        return Folder[name];
    }

    /// <summary>Knows the one module, by its path or build id.</summary>
    internal sealed class Resolver(Module module) : IModuleResolver
    {
        public Module? Resolve(Mapping mapping) => mapping.Path == module.Path || mapping.BuildId == module.BuildId ? module : null;
    }
}
