using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>A program that moves its code onto huge pages as Chromium and Node do, recorded by the real perf.</summary>
public sealed class HugePageTests : IDisposable
{
    /// <summary>Copies the huge page in the middle of its code away and back over it; what runs then is the copy.</summary>
    private const string Source = """
        #define _GNU_SOURCE
        #include <stdint.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <unistd.h>
        #define HOT __attribute__((noinline, section(".text.hot"), aligned(0x200000)))
        HOT unsigned fold(unsigned n) { unsigned s = 0; while (n) { s += n % 10; n /= 10; } return s; }
        HOT unsigned behind(unsigned n) { return n * 3; }
        __attribute__((noinline)) static void move(void) {
          size_t size = 0x200000;
          char *code = (char *)((uintptr_t)fold & ~(uintptr_t)(size - 1));
          void *copy = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          memcpy(copy, code, size);
          if (mmap(code, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != code) exit(2);
          madvise(code, size, MADV_HUGEPAGE);
          memcpy(code, copy, size);
          if (mprotect(code, size, PROT_READ | PROT_EXEC) != 0) exit(3);
          munmap(copy, size);
        }
        int main(int argc, char **argv) {
          unsigned sum = 0;
          move();
          puts("moved");
          fflush(stdout);
          for (unsigned i = 0, n = strtoul(argv[1], 0, 10); i < n; i++) sum += fold(i);
          sum += behind(sum);
          printf("%u\n", sum);
          return 0;
        }
        """;

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void It_is_profiled_from_its_start_and_when_perf_comes_later(bool comesLater)
    {
        Tool.Require("perf");
        string binary = folder["moves"], data = folder["moves.perf.data"], script = folder["moves.txt"];
        Tool.Run("clang-19", ["-O2", "-g", "-fuse-ld=lld", "-Wl,--build-id=sha1", "-o", binary, folder.Write("moves.c", Source)])
            .Succeeded();
        if (comesLater)
        {
            using BackgroundProgram program = BackgroundProgram.Start(binary, "2000000000");
            Assert.True(SpinWait.SpinUntil(() => program.Output.Contains("moved", StringComparison.Ordinal), TimeSpan.FromSeconds(60)));
            PerfRecord.Run(folder, "-e", "cpu-clock:u", "-F", "2000", "-o", data, "-p", $"{program.Id}", "--", "sleep", "0.5");
        }
        else
        {
            // With the mappings of data too, as for perf mem: the memory is writable first.
            PerfRecord.Run(folder, "-e", "cpu-clock:u", "-d", "-F", "2000", "-o", data, "--", binary, "20000000");
        }
        ToolResult result = Tool.Cli("generate", "--binary", binary, "--perf-data", data, "--format", "text").Succeeded();
        Assert.Contains("//anon", Tool.Run("perf", ["script", "-i", data, "--show-mmap-events"]).Succeeded().Output);
        Assert.Matches(@"(?m)^fold:\d{3,}:", result.Output);
    }
}
