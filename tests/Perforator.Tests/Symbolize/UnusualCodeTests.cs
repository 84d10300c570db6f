using Perforator.Elf;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

/// <summary>Code that is not simply one function after the other, or not C++ by clang.</summary>
public class UnusualCodeTests(SourcePrograms programs) : IClassFixture<SourcePrograms>
{
    [Fact]
    public void A_function_split_by_clang_into_hot_and_cold_is_one_function()
    {
        // A profile of one run makes the error paths cold.
        string instrumented = programs.Clang("instrumented", "-O2", "-fprofile-generate=" + programs["raw"]);
        Tool.Run(instrumented, []).Succeeded();
        Tool.Run("llvm-profdata-19", ["merge", "-o", programs["profile"], programs["raw"]]).Succeeded();
        string binary = programs.Clang(
            "split", "-O2", "-g", "-ffunction-sections", "-fprofile-use=" + programs["profile"], "-fsplit-machine-functions");

        Assert.True(LlvmSymbolizer.AssertSame(binary, LlvmSymbolizer.Instructions(binary)) > 400);
        AssertSplit(binary, ".cold");
    }

    [Fact]
    public void A_function_split_by_gcc_into_hot_and_cold_is_one_function()
    {
        Tool.Require("g++");
        string binary = programs.Compile("gcc-split", "g++", "-O2", "-g");
        AssertSplit(binary, ".cold");
    }

    [Fact]
    public void Hand_written_assembly_has_lines_where_it_says_so()
    {
        string source = programs.Write("assembly.s", """
            .file 1 "somewhere.c"
            .text
            .globl _start
            _start:
            .loc 1 10 0
            nop
            .loc 1 11 0 discriminator 3
            nop
            jmp unknown
            .globl unknown
            unknown: ret
            """);
        string withLines = programs["assembly"], marked = programs["assembly-g"];
        string[] link = ["-nostdlib", "-static", "-fuse-ld=lld-19"];
        // A unit of its own, but no functions: the assembler's debug info knows labels only.
        Tool.Run("clang-19", ["-g", .. link, programs.Write("plain.s", ".globl _start\n_start: nop\nret\n"), "-o", marked]).Succeeded();
        LlvmSymbolizer.AssertSame(marked, LlvmSymbolizer.Instructions(marked));
        // Lines alone, without any unit in .debug_info, name no function.
        Tool.Run("clang-19", [.. link, source, "-o", withLines]).Succeeded();
        LlvmSymbolizer.AssertSame(withLines, LlvmSymbolizer.Instructions(withLines));
        using ElfFile file = ElfFile.Load(withLines);
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        Assert.False(symbolizer.HasDebugInfo);
    }

    [Fact]
    public void Of_units_that_describe_the_same_COMDAT_function_the_one_LLVM_picks_is_used()
    {
        // GNU ld lets the debug info of a discarded copy describe the kept one, if both have one size.
        programs.Write("comdat.h", """
            inline int twice(int n) { return n + n; }
            #line LINE
            inline __attribute__((noinline)) int shared(int n) { int s = 0; for (int i = 0; i < n; i++) s ^= twice(i) * n; return s; }
            """);
        string[] units = ["one", "two", "three"];
        foreach (string unit in units)
            programs.Write($"{unit}.cpp", $$"""
                #define LINE {{unit.Length * 100}}
                #include "comdat.h"
                int {{unit}}(int n) { return shared(n + {{unit.Length}}); }
                """);
        string start =
            programs.Write(
                "start.cpp", "int one(int), two(int), three(int); int main(int c, char **) { return one(c) + two(c) + three(c); }");
        string binary = programs["comdat"];
        Tool.Run("clang++-19", ["-O2", "-g", "-fuse-ld=bfd", "three.cpp", "two.cpp", start, "one.cpp", "-o", binary], folder: programs.Folder).Succeeded();

        Assert.True(LlvmSymbolizer.AssertSame(binary, LlvmSymbolizer.Instructions(binary)) > 20);
        using ElfFile file = ElfFile.Load(binary);
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        Assert.Equal(3, symbolizer.AllFunctions().Count(function => function.Name == "_Z6sharedi"));
    }

    [Fact]
    public void Coroutines_and_flow_sensitive_discriminators_are_those_of_llvm()
    {
        programs.Write("coroutine.cpp", """
            #include <coroutine>
            struct Task {
              struct promise_type {
                int value = 0;
                Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
                std::suspend_always initial_suspend() { return {}; }
                std::suspend_always final_suspend() noexcept { return {}; }
                std::suspend_always yield_value(int v) { value = v; return {}; }
                void return_void() {}
                void unhandled_exception() {}
              };
              std::coroutine_handle<promise_type> handle;
            };
            static inline int step(int x) { return x & 1 ? 3 * x + 1 : x / 2; }
            Task collatz(int n) { while (n > 1) { n = step(n); co_yield n; } }
            int main(int argc, char **) { Task t = collatz(argc + 26); int s = 0; while (!t.handle.done()) { t.handle.resume(); s += t.handle.promise().value; } t.handle.destroy(); return s & 1; }
            """);
        string binary = programs["coroutine"];
        Tool.Run("clang++-19", ["-std=c++20", "-O2", "-g", "-fdebug-info-for-profiling", "-mllvm", "-enable-fs-discriminator",
            "-fuse-ld=lld-19",
            "coroutine.cpp", "-o", binary], folder: programs.Folder).Succeeded();
        Assert.True(LlvmSymbolizer.AssertSame(binary, LlvmSymbolizer.Instructions(binary)) > 50);
    }

    [Fact]
    public void Unique_names_of_internal_functions_stay()
    {
        string binary = programs.Clang("unique", "-O2", "-g", "-fdebug-info-for-profiling", "-funique-internal-linkage-names");
        Assert.True(LlvmSymbolizer.AssertSame(binary, LlvmSymbolizer.Instructions(binary)) > 400);
        using ElfFile file = ElfFile.Load(binary);
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        Assert.Contains(symbolizer.AllFunctions(), f => f.Name.Contains(".__uniq.", StringComparison.Ordinal));
    }

    [Fact]
    public void AArch64_programs_are_read_too()
    {
        programs.Write("arm.c", """
            static inline int half(int n) { if (n < 0) return -(-n / 2); return n / 2; }
            __attribute__((noinline)) static int sum(const int *v, int n) { int s = 0; for (int i = 0; i < n; i++) s += half(v[i]); return s; }
            int values[9];
            void _start(void) { for (int i = 0; i < 9; i++) values[i] = half(i); values[0] = sum(values, 9); for (;;); }
            """);
        string binary = programs["arm"];
        Tool.Run("clang-19", ["--target=aarch64-linux-gnu", "-nostdlib", "-static", "-O2", "-g", "-fuse-ld=lld-19", "arm.c", "-o", binary], folder: programs.Folder).Succeeded();
        Assert.True(LlvmSymbolizer.AssertSame(binary, LlvmSymbolizer.Instructions(binary)) > 20);
        using ElfFile file = ElfFile.Load(binary);
        Assert.Equal(ElfMachine.AArch64, file.Machine);
    }

    [SkippableFact]
    public void Rust_programs_are_read_too()
    {
        Tool.Require("rustc");
        programs.Write("program.rs", """
            use std::collections::BTreeMap;
            fn collatz(mut n: u64) -> u32 { let mut s = 0; while n > 1 { n = if n & 1 == 1 { 3 * n + 1 } else { n / 2 }; s += 1; } s }
            fn main() {
                let mut lengths: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
                for n in 1..1000u64 { lengths.entry(collatz(n)).or_default().push(n); }
                let longest = lengths.iter().max_by_key(|(_, v)| v.len()).unwrap();
                println!("{} {:?}", longest.0, longest.1.iter().map(|x| x * 2).sum::<u64>());
            }
            """);
        string binary = programs["rust"];
        Tool.Run("rustc", ["-O", "-g", "program.rs", "-o", binary], folder: programs.Folder).Succeeded();
        // The standard library's code too would be half a million instructions: ours are compared all, of the others some.
        List<ulong> all = LlvmSymbolizer.Instructions(binary);
        Assert.True(LlvmSymbolizer.AssertSame(binary, [.. all.Take(4000), .. all.Where((_, i) => i % 50 == 0)]) > 1000);
    }

    /// <summary>Some function has code under its own symbol and under one with a suffix, and is one function with two pieces.</summary>
    private static void AssertSplit(string binary, string suffix)
    {
        using ElfFile file = ElfFile.Load(binary);
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        int split = 0;
        foreach (ElfSymbol symbol in file.Symbols.Symbols.ToArray()
            .Where(s => s.IsDefined && file.Symbols.Name(s).EndsWith(suffix, StringComparison.Ordinal)))
        {
            FunctionRange piece = symbolizer.FindFunction(symbol.Address)!;
            Assert.Equal(file.Symbols.Name(symbol)[..^suffix.Length], piece.Function.Name);
            Assert.True(piece.Function.Ranges.Count > 1);
            split++;
        }
        Assert.True(split > 0, "no function was split");
    }
}
