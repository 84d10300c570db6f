# Writes one C++ file of the large benchmark program: classes with virtual functions, templates and helpers that inline, switches
# and loops, with constants of their own so that no two functions are alike. Variable: part, the file's number.
function rnd(n) { seed = (seed * 1103515245 + 12345) % 2147483648; return int(seed / 65536) % n }
BEGIN {
  seed = part * 7919
  functions = 420
  print "namespace ns" part " {"
  print "template <int N> inline long mix(long x, long y) { long t = x; if (y & N) t += x * N; else t ^= y >> (N & 7); return t > N ? t - N : t + y; }"
  print "template <class T, int N> inline long fold(const T *a, long n) { long t = N; for (long i = 0; i < n; i++) t = mix<N>(t, a[i & 15]); return t; }"
  print "struct Base { long data[16]; virtual ~Base() {} virtual long run(long, int) = 0; };"
  for (f = 0; f < functions; f++) {
    printf "struct Node%d : Base {\n  long run(long x, int depth) override;\n  __attribute__((noinline)) long step(long x, long y);\n};\n", f
  }
  for (f = 0; f < functions; f++) {
    printf "long Node%d::step(long x, long y) {\n  long t = x;\n", f
    for (i = 0; i < 6; i++)
      printf "  if (mix<%d>(t, y) > %d) { t += fold<long, %d>(data, y & 31); data[%d] ^= t; } else { t -= data[%d] * %d; }\n", rnd(200) + 1, rnd(999), rnd(200) + 1, rnd(16), rnd(16), rnd(99) + 2
    printf "  return t;\n}\n"
    printf "long Node%d::run(long x, int depth) {\n  long t = x;\n  switch ((x ^ %d) & 7) {\n", f, rnd(64)
    for (i = 0; i < 8; i++)
      printf "    case %d: t = mix<%d>(t, data[%d]) + step(t, %d); if (t & %d) t += fold<long, %d>(data, t & 7); break;\n", i, rnd(200) + 1, rnd(16), rnd(99), rnd(31) + 1, rnd(200) + 1
    printf "  }\n  if (depth > 0) { Node%d next; for (int i = 0; i < 16; i++) next.data[i] = t + i; t ^= next.run(t, depth - 1); }\n  return t;\n}\n", rnd(functions)
  }
  print "}"
  printf "long part%d(long x, int n) {\n  long t = x;\n  using namespace ns%d;\n  Base *all[] = {\n", part, part
  for (f = 0; f < functions; f++) printf "    new Node%d,\n", f
  printf "  };\n  for (int i = 0; i < n; i++) t ^= all[i %% %d]->run(t + i, i & 7);\n  return t;\n}\n", functions
}
