using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Layout;

/// <summary>
/// A program built by clang with all that BOLT and Propeller ask for, and a recording of it: virtual calls, exceptions, recursion, a jump
/// table and branches that nearly always go the way the compiler did not expect.
/// </summary>
public sealed partial class LayoutProgram : IDisposable
{
    public const string Source = """
        #include <cstdio>
        #include <cstdlib>
        #include <stdexcept>
        struct Shape { virtual ~Shape() {} virtual int area(int) const = 0; };
        struct Square : Shape {
          int a; Square(int a) : a(a) {}
          __attribute__((noinline)) int area(int k) const override { if (k % 97 == 0) throw std::runtime_error("x"); return a * a; }
        };
        struct Rectangle : Shape {
          int a, b; Rectangle(int a, int b) : a(a), b(b) {}
          __attribute__((noinline)) int area(int k) const override { if (k % 3 == 0) return a * b; return a + b; }
        };
        static __attribute__((noinline)) int classify(int x) {
          switch (x % 9) { case 0: return 3; case 1: return x / 2; case 2: return x * 3; case 3: return x + 1; case 4: return x ^ 5; case 5: return 7;
            case 6: return x - 3; case 7: return x & 15; default: return 1; }
        }
        static volatile int sink;
        static __attribute__((noinline)) int unexpected(int x) {
          int s = 0;
          for (int i = 0; i < 20; i++) {
            if (__builtin_expect(i + x > 1000000000, 1)) { s += x / (i + 1); s ^= x << 3; puts("never"); }
            if (__builtin_expect(((x + i) & 7) != 0, 0)) s += sink; else sink = s;
          }
          return s;
        }
        static __attribute__((noinline)) int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
        static __attribute__((noinline)) int guarded(const Shape &s, int k) {
          try { int r = s.area(k); return r + classify(k); } catch (const std::runtime_error &) { return -1; }
        }
        int main(int argc, char **argv) {
          long rounds = argc > 1 ? atol(argv[1]) : 1000, total = 0;
          Shape *shapes[16];
          for (int i = 0; i < 16; i++) if (i % 3) shapes[i] = new Square(i); else shapes[i] = new Rectangle(i, i + 1);
          for (long i = 0; i < rounds; i++) {
            total += guarded(*shapes[i % 16], (int)(i % 100000) * 7 + 1);
            total += unexpected((int)(i % 1000));
            if (i % 64 == 0) total += fib(9);
          }
          printf("%ld\n", total);
        }
        """;

    /// <summary>
    /// What every build of it is compiled with. Without separate-code a small program's first pages hold code too, which perf2bolt-19 does
    /// not find.
    /// </summary>
    private static readonly string[] Flags =
    [
        "-O2", "-g1", "-fuse-ld=lld-19", "-Wl,--emit-relocs", "-Wl,--build-id", "-Wl,-z,separate-code", "-fbasic-block-address-map",
    ];

    public LayoutProgram()
    {
        SourceFile = Folder.Write("program.cpp", Source);
        Binary = Compile("program");
        Recording = Record(Binary);
    }

    internal TemporaryFolder Folder { get; } = new();

    public string SourceFile { get; }

    public string Binary { get; }

    /// <summary>perf.data of <see cref="Binary"/>.</summary>
    public string Recording { get; }

    /// <summary>Compiles the program, with flags besides those it always has.</summary>
    public string Compile(string name, params string[] flags)
    {
        CompileFrom(SourceFile, Folder[name], flags);
        return Folder[name];
    }

    /// <summary>Compiles another source as the program is.</summary>
    public static void CompileFrom(string source, string output, params string[] flags) =>
        Tool.Run("clang++-19", [.. Flags, .. flags, source, "-o", output]).Succeeded();

    /// <summary>Records a build of the program.</summary>
    public string Record(string binary)
    {
        string recording = binary + ".perf.data";
        Tool.Cli("record", "-o", recording, "--max-overhead", "100%", "--", binary, "4000000").Succeeded();
        return recording;
    }

    /// <summary>What the program prints, which must not change with its layout.</summary>
    public static string Output(string binary) => Tool.Run(binary, ["100000"]).Succeeded().Output;

    /// <summary>How many conditional branches a build takes, of how many, counted by valgrind.</summary>
    public static (long Taken, long All) ConditionalBranches(string binary)
    {
        // valgrind 3.19 does not understand every debug info of clang 19 and 22.
        string stripped = binary + ".stripped";
        Tool.Run("llvm-strip-19", ["--strip-debug", binary, "-o", stripped]).Succeeded();
        string counts = Tool.Run("valgrind", ["--tool=lackey", stripped, "3000"]).Succeeded().Error;
        long[] jccs =
            [.. Jccs().Matches(counts.Replace(",", "", StringComparison.Ordinal))
                .Select(m => long.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture))];
        Assert.Equal(2, jccs.Length);
        return (jccs[1], jccs[0]);
    }

    public void Dispose() => Folder.Dispose();

    [GeneratedRegex(@"\b(?:total|taken): +(\d+)")]
    private static partial Regex Jccs();
}
