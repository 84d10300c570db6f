#include "lib.h"
#include <cstdio>
#include <cstdlib>
static int counter = std::getenv("X") ? 5 : 3;     // global initialiser
thread_local int tls_value = counter;
namespace { int hidden(int x) { return x * 3 + counter; } }
static __attribute__((noinline)) long helper(long x) { long t = 0; for (long i = 0; i < x; i++) t += i ^ x; return t; }
static __attribute__((noinline)) long sort_pass(long *a, int n, int (*cmp)(long, long)) {
  long swaps = 0;
  for (int i = 1; i < n; i++) for (int j = i; j > 0 && cmp(a[j - 1], a[j]) > 0; j--) { long t = a[j]; a[j] = a[j - 1]; a[j - 1] = t; swaps++; }
  return swaps;
}
static int up(long a, long b) { return a < b ? -1 : a > b; }
static int down(long a, long b) { return a > b ? -1 : a < b; }
int main(int argc, char **argv) {
  long a[64];
  for (int i = 0; i < 64; i++) a[i] = (i * 7919) % 101;
  long t = sort_pass(a, 64, argc > 1 ? up : down);
  Node *tree = nullptr;
  for (int i = 0; i < 64; i++) tree = insert(tree, a[i] ^ i);
  t += depth(tree) + even(40) + collatz(27) + relay(argc) + helper(argc * 50) + hidden(argc) + digits(argc * 7919L);
  Shape *s[3] = { make(0), make(1), make(2) };
  for (int i = 0; i < 300; i++) t += s[i % 3]->area(i) + dispatch(i) + tls_value;
  #ifndef NO_EXCEPTIONS
  try { t += risky(argc); } catch (int e) { t -= e; }
#endif
  std::printf("%ld %f\n", t, dot(argc));
  return 0;
}
