using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

/// <summary>Small programs with much inlining, compiled in every way that tests ask for, once each.</summary>
public sealed class SourcePrograms : IDisposable
{
    // No library headers: parsing them would take longer than everything else these tests do.
    private const string Main = """
        #include "shared.h"

        namespace {
        struct Parser {
          const char *text;
          int number() { int n = 0; while (*text >= '0' && *text <= '9') n = n * 10 + (*text++ - '0'); return n; }
          int factor() { if (*text == '(') { text++; int v = sum(); if (*text) text++; return v; } return number(); }
          int product() { int v = factor(); while (*text == '*') { text++; v *= factor(); } return v; }
          int sum() { int v = product(); while (*text == '+') { text++; v += product(); } return v; }
        };
        }

        struct Shape { virtual ~Shape() {} virtual double area() const = 0; };
        struct Square : Shape { double s; explicit Square(double s) : s(s) {} double area() const override { return twice(s) * s / 2; } };
        struct Circle : Shape { double r; explicit Circle(double r) : r(r) {} double area() const override { return 3.14 * r * r; } };

        __attribute__((noinline)) int collatz(int n) { int steps = 0; for (; n > 1; steps++) n = odd(n) ? 3 * n + 1 : half(n); return steps; }

        int main(int argc, char **argv) {
          Map<int, int> counts;
          List<int> values;
          for (int i = 0; i < argc * 50; i++) values.add(mix(i) % 97 ? clampTo(i * 7 % 13, 5) : i);
          sort(values, [](int a, int b) { return half(a) == half(b) ? a < b : half(a) < half(b); });
          for (int v : values) counts[clampTo(v, 20)] += collatz(v + 1);
          Square square(argc);
          Circle circle(argc);
          Shape *shapes[] = {&square, &circle};
          double total = other(argc);
          for (auto *s : shapes) total += s->area();
          Parser parser{argc > 1 ? argv[1] : "1+2*(3+4)"};
          if (values.count == 12345) fail("values");
          printf("%d %d %d %f\n", counts.keys.count, counts[5], parser.sum(), total);
        }
        """;

    private const string Other = """
        #include "shared.h"
        static int walk(const List<int> &v, int i) { return i >= v.count ? 0 : clampTo(v.items[i], 9) + walk(v, i + 1 + odd(v.items[i])); }
        static void cold(int n) { if (n < 0) fail("negative"); }
        int other(int n) {
          List<int> v;
          for (int i = 0; i < n; i++) { cold(i); v.add(mix(i)); if (odd(i)) v.add(half(i)); }
          sort(v, [](int a, int b) { return mix(a) < mix(b); });
          Map<long, char> letters;
          for (int x : v) letters[x % 9] += clampTo(x, 3);
          return walk(v, 0) + letters[4];
        }
        """;

    private const string Shared = """
        #pragma once
        extern "C" int printf(const char *, ...);
        extern "C" void *realloc(void *, unsigned long);
        extern "C" void free(void *);
        extern "C" void abort() __attribute__((noreturn));
        __attribute__((noinline, cold)) static void fail(const char *what) { printf("bad %s\n", what); abort(); }
        inline bool odd(int n) { return n & 1; }
        inline int half(int n) { if (n < 0) return -(-n / 2); return n / 2; }
        inline int clampTo(int n, int top) { if (n > top) return half(n) + (odd(n) ? 1 : 2); return n; }
        template <class T> T twice(T x) { return x + x; }
        inline unsigned mix(unsigned x) { for (int i = 0; i < 3; i++) x = twice(x) ^ (x >> 5) + (odd((int)x) ? 17u : half((int)x)); return x; }
        template <class T> struct List {
          T *items = nullptr; int count = 0, room = 0;
          ~List() { free(items); }
          void grow() { room = room ? twice(room) : 4; items = (T *)realloc(items, sizeof(T) * room); if (!items) fail("memory"); }
          void add(const T &t) { if (count == room) grow(); items[count++] = t; }
          T *begin() { return items; }
          T *end() { return items + count; }
        };
        template <class T, class Less> void siftDown(List<T> &l, int at, int count, Less less) {
          while (twice(at) + 1 < count) {
            int child = twice(at) + 1;
            if (child + 1 < count && less(l.items[child], l.items[child + 1])) child++;
            if (!less(l.items[at], l.items[child])) return;
            T t = l.items[at]; l.items[at] = l.items[child]; l.items[child] = t;
            at = child;
          }
        }
        template <class T, class Less> void sort(List<T> &l, Less less) {
          for (int i = half(l.count) - 1; i >= 0; i--) siftDown(l, i, l.count, less);
          for (int n = l.count - 1; n > 0; n--) { T t = l.items[0]; l.items[0] = l.items[n]; l.items[n] = t; siftDown(l, 0, n, less); }
        }
        template <class K, class V> struct Map {
          List<K> keys; List<V> values;
          V &operator[](K key) {
            for (int i = 0; i < keys.count; i++) if (keys.items[i] == key) return values.items[i];
            keys.add(key); values.add(V()); return values.items[values.count - 1];
          }
        };
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
