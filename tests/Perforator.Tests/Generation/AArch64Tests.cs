using System.Text;
using Perforator.Benchmarks;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Generation;
using Perforator.PerfData;
using Perforator.SampleProfiles;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Generation;

/// <summary>
/// Profiles of AArch64 programs, cross-compiled; the stacks follow the program's own branches (no Arm machine is needed).
/// </summary>
public sealed class AArch64Tests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private const string Source = """
        int table[256];
        static inline int step(int s, int n) { return s > 1000 ? s - n % 10 : s + n % 10; }
        __attribute__((noinline)) int fold(int n) { int s = 0; while (n) { s = step(s, n); n /= 10; } return s; }
        __attribute__((noinline)) int odd(int n); __attribute__((noinline)) int even(int n) { return n == 0 ? 1 : odd(n - 1) - 1; }
        int odd(int n) { return n == 0 ? 0 : even(n - 1) + 1; }
        int (*ops[])(int) = {fold, odd, even};
        int main(int argc, char **argv) {
          int sum = 0;
          for (int r = 0; r < argc * 100; r++) {
            sum += ops[r % 3](r % 50);
            if (r & 4) sum += table[sum & 255];
            for (int i = 0; i < (r & 7); i++) sum = step(sum, i * r);
            if (sum < 0) sum = fold(-sum);
          }
          return sum & 1;
        }
        """;

    [Theory]
    [InlineData("plain", "-fdebug-info-for-profiling")]
    // Not -march=armv8.3-a: llvm-profgen-19 knows no RETAA and leaves its samples out.
    [InlineData("pauth", "-fdebug-info-for-profiling -mbranch-protection=standard")]
    [InlineData("probes", "-fpseudo-probe-for-profiling")]
    public void The_profile_is_llvm_profgens(string name, string flags)
    {
        string binary = folder[name], script = folder[name + ".txt"];
        Tool.Run("clang-19", ["--target=aarch64-linux-gnu", "-O2", "-g", "-fuse-ld=lld", "-nostdlib", "-static", "-Wl,-e,main",
            "-Wl,--build-id",
            .. flags.Split(' '), folder.Write("arm.c", Source), "-o", binary]).Succeeded();
        using ElfFile elf = ElfFile.Load(binary);
        using (StreamWriter text = new(script))
            new BranchWalker(elf, seed: 11) { StaysInside = true }.WritePerfScript(text, binary, branches: 48_000);
        PeerComparison.AssertEqual(binary, script);

        // The same stacks in a perf.data file.
        using MemoryStream data = new();
        using PerfDataWriter writer = new(data, System.Runtime.InteropServices.Architecture.Arm64);
        new BranchWalker(elf, seed: 11) { StaysInside = true }.Feed(writer, binary, samples: 1500, (7, 0));
        writer.Complete();
        data.Position = 0;
        using ProfiledBinary opened = ProfiledBinary.Load(binary, LocalDebugFiles.Found);
        BranchAggregator aggregator = new(new SingleModuleResolver(opened.ToModule()));
        new PerfDataReader(aggregator).Read(data);
        SampleProfile profile = ProfileGenerator.Generate(aggregator.Profiles[opened.BuildId], opened, new FlowChecks());
        Assert.Equal(
            PeerComparison.Ours(binary, script), Encoding.UTF8.GetString(SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Text)));
    }
}
