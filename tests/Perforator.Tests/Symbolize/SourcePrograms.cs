using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

/// <summary>Small programs with much inlining, compiled in every way that tests ask for, once each.</summary>
public sealed class SourcePrograms : IDisposable
{
    private const string Main = """
        #include <algorithm>
        #include <cstdio>
        #include <map>
        #include <string>
        #include <vector>
        #include "shared.h"

        namespace {
        struct Parser {
          std::string text;
          int position = 0;
          int number() {
            int n = 0;
            while (position < (int)text.size() && text[position] >= '0' && text[position] <= '9') n = n * 10 + (text[position++] - '0');
            return n;
          }
          int factor() { if (position < (int)text.size() && text[position] == '(') { position++; int v = sum(); position++; return v; } return number(); }
          int product() { int v = factor(); while (position < (int)text.size() && text[position] == '*') { position++; v *= factor(); } return v; }
          int sum() { int v = product(); while (position < (int)text.size() && text[position] == '+') { position++; v += product(); } return v; }
        };
        }

        struct Shape { virtual ~Shape() {} virtual double area() const = 0; };
        struct Square : Shape { double s; explicit Square(double s) : s(s) {} double area() const override { return twice(s) * s / 2; } };
        struct Circle : Shape { double r; explicit Circle(double r) : r(r) {} double area() const override { return 3.14 * r * r; } };

        __attribute__((noinline)) int collatz(int n) { int steps = 0; for (; n > 1; steps++) n = odd(n) ? 3 * n + 1 : half(n); return steps; }

        int main(int argc, char **argv) {
          std::map<std::string, int> counts;
          std::vector<int> values;
          for (int i = 0; i < argc * 50; i++) values.push_back(mix(i) % 97 ? clampTo(i * 7 % 13, 5) : i);
          std::sort(values.begin(), values.end(), [](int a, int b) { return half(a) == half(b) ? a < b : half(a) < half(b); });
          for (int v : values) counts[std::to_string(v)] += collatz(v + 1);
          Shape *shapes[] = {new Square(argc), new Circle(argc)};
          double total = other(argc);
          for (auto *s : shapes) { total += s->area(); delete s; }
          Parser parser{argc > 1 ? argv[1] : "1+2*(3+4)"};
          std::printf("%zu %d %f\n", counts.size(), parser.sum(), total);
        }
        """;

    private const string Other = """
        #include <vector>
        #include "shared.h"
        static int walk(const std::vector<int> &v, unsigned i) { return i >= v.size() ? 0 : clampTo(v[i], 9) + walk(v, i + 1 + odd(v[i])); }
        int other(int n) { std::vector<int> v; for (int i = 0; i < n; i++) { v.push_back(mix(i)); if (odd(i)) v.push_back(half(i)); } return walk(v, 0); }
        """;

    private const string Shared = """
        #pragma once
        inline bool odd(int n) { return n & 1; }
        inline int half(int n) { if (n < 0) return -(-n / 2); return n / 2; }
        inline int clampTo(int n, int top) { if (n > top) return half(n) + (odd(n) ? 1 : 2); return n; }
        template <class T> T twice(T x) { return x + x; }
        inline unsigned mix(unsigned x) { for (int i = 0; i < 3; i++) x = twice(x) ^ (x >> 5) + (odd((int)x) ? 17u : half((int)x)); return x; }
        int other(int n);
        """;

    private readonly TemporaryFolder folder = new();

    public SourcePrograms()
    {
        folder.Write("main.cpp", Main);
        folder.Write("other.cpp", Other);
        folder.Write("shared.h", Shared);
    }

    /// <summary>The folder that sources and results are in.</summary>
    public string Folder => folder.Path;

    public string this[string name] => folder[name];

    public string Write(string name, string text) => folder.Write(name, text);

    /// <summary>Compiles and links the C++ program.</summary>
    public string Compile(string name, string compiler, params string[] flags)
    {
        string path = folder[name];
        if (!File.Exists(path))
            Tool.Run(compiler, ["main.cpp", "other.cpp", "-o", path, .. flags], folder: folder.Path).Succeeded();
        return path;
    }

    /// <summary>Compiles and links the C++ program with clang-19 and lld-19.</summary>
    public string Clang(string name, params string[] flags) => Compile(name, "clang++-19", ["-fuse-ld=lld-19", .. flags]);

    public void Dispose() => folder.Dispose();
}
