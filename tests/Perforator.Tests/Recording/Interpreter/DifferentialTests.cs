using System.Globalization;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording.Software;
using Xunit.Abstractions;

namespace Perforator.Tests.Recording.Interpreter;

/// <summary>
/// The interpreter against the real CPU. PERFORATOR_COMPARE_INSTRUCTIONS sets how many instructions each program is stepped.
/// </summary>
[Collection(AloneCollection.Name)]
public sealed class DifferentialTests(ITestOutputHelper output)
{
    [SkippableTheory]
    [InlineData("x86-64", "-O2", 1)]
    [InlineData("x86-64", "-O0", 1)]
    [InlineData("x86-64-v3", "-O3", 1)]
    [InlineData("x86-64-v4", "-O3", 1)]
    [InlineData("x86-64", "-O2", 64)]
    [InlineData("x86-64", "-O0", 64)]
    [InlineData("x86-64-v3", "-O3", 64)]
    [InlineData("x86-64-v4", "-O3", 64)]
    public void Every_instruction_of_a_real_program_leaves_the_state_the_real_CPU_leaves(
        string level, string optimisation, int longestBlock)
    {
        Skip.If(level == "x86-64-v4" && !System.Runtime.Intrinsics.X86.Avx512BW.IsSupported, "this CPU has no AVX-512");
        using TemporaryFolder folder = new();
        string source = Path.Combine(Tool.RepositoryRoot(), "testdata", "recording", "workload.c");
        string[] wide = level == "x86-64-v4" ? ["-mprefer-vector-width=512"] : [];
        Tool.Run("clang-19", [$"-march={level}", optimisation, .. wide, "-w", "-o", folder["workload"], source, "-lm"]).Succeeded();
        using Target target = new(folder["workload"]);

        Compare(target, longestBlock, 1000);

        target.Finish();
    }

    /// <summary>
    /// An interpreter, as Debian ships it. PERFORATOR_COMPARE_COMMAND names another program and its arguments, separated by spaces, which
    /// runs long enough and needs no input.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(64)]
    public void A_released_program_is_interpreted_as_the_real_CPU_executes_it(int longestBlock)
    {
        string command = Environment.GetEnvironmentVariable("PERFORATOR_COMPARE_COMMAND")
            ?? "/usr/bin/perl -e while(1){$i++;$s=sprintf('%x,%f',$i*7919,sqrt$i);$s=~tr/0-4/a-e/;$h{$i%97}.=$s;$h{$i%97}=''if(length$h{$i%97}>999)}";
        string[] words = command.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        using Target target = new(words[0], words[1..]);

        Compare(target, longestBlock, 100);
    }

    /// <summary>What compilers seldom make, and operands that lie across pages.</summary>
    [SkippableTheory]
    [InlineData("x86-64", 1, 1)]
    [InlineData("x86-64", 64, 1)]
    [InlineData("x86-64", 64, 250)]
    [InlineData("x86-64-v4", 1, 1)]
    [InlineData("x86-64-v4", 64, 1)]
    [InlineData("x86-64-v4", 64, 250)]
    public void Awkward_instructions_leave_the_state_the_real_CPU_leaves(string level, int longestBlock, int path)
    {
        Skip.If(level == "x86-64-v4" && !System.Runtime.Intrinsics.X86.Avx512BW.IsSupported, "this CPU has no AVX-512");
        using TemporaryFolder folder = new();
        string source = Path.Combine(Tool.RepositoryRoot(), "testdata", "recording", "awkward.c");
        Tool.Run("clang-19", [$"-march={level}", "-O1", "-fno-pie", "-no-pie", "-mno-red-zone", "-o", folder["awkward"], source])
            .Succeeded();
        using Target target = new(folder["awkward"]);

        Compare(target, longestBlock, 30, path);

        target.Finish();
    }

    /// <param name="oneIn">More than one in so many instructions that is not interpreted is too much.</param>
    private void Compare(Target target, int longestBlock, int oneIn, int path = 1)
    {
        string wanted = Environment.GetEnvironmentVariable("PERFORATOR_COMPARE_INSTRUCTIONS") ?? "60000";
        // The kernel writes the CPU's number into a thread's memory (rseq(2)) when it comes to another one.
        string cpus = File.ReadLines("/proc/self/status").First(static line => line.StartsWith("Cpus_allowed_list:", StringComparison.Ordinal));
        string cpu = cpus.Split('\t')[1].Split(',', '-')[0];
        Tool.Run("taskset", ["--all-tasks", "--cpu-list", "--pid", cpu, $"{target.Id}"]).Succeeded();
        using SideBySide pair = new(target.Id, longestBlock, path);
        pair.Run(int.Parse(wanted, CultureInfo.InvariantCulture));

        output.WriteLine(
            $"{pair.Compared} compared; not interpreted: {string.Join(", ", pair.NotInterpreted.Select(n => $"{n.Key} {n.Value}"))}");
        output.WriteLine($"{pair.Interpreted.Count} mnemonics: {string.Join(' ', pair.Interpreted.Keys)}");
        Assert.True(pair.Differences.Count == 0, string.Join('\n', pair.Differences));
        Assert.True(pair.Compared > pair.NotInterpreted.Values.Sum() * oneIn, $"more than one in {oneIn} is not interpreted");
    }
}
