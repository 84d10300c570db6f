#include "lib.h"
static __attribute__((noinline)) long helper(long x) { if (x > 100) return x - 10; return helper(helper(x + 11)); }
Node *insert(Node *n, long k) {
  if (!n) return new Node{k, nullptr, nullptr};
  Node *&child = k < n->key ? n->l : n->r;
  child = insert(child, k);
  return n;
}
bool odd(unsigned);
bool even(unsigned n) { return n == 0 ? true : odd(n - 1); }
bool odd(unsigned n) { return n == 0 ? false : even(n - 1); }
__attribute__((noinline)) long collatz(long n) { long steps = helper(n) + digits(n); while (n != 1) { n = n & 1 ? 3 * n + 1 : n / 2; steps++; if (steps > 10000) break; } return steps; }
long relay(long n) { return collatz(n | 1); }
Shape *make(int i) { switch (i) { case 0: return new Poly<3>; case 1: return new Poly<5>; default: return new Poly<9>; } }
long dispatch(int i) {
  switch (i % 11) {
    case 0: return clampv(i, 3, 9); case 1: return i * 2; case 2: return i + 7; case 3: return i ^ 5; case 4: return i / 3;
    case 5: return -i; case 6: return 11; case 7: return i - 1; case 8: return clampv(i, -5, 5) + helper(i); case 9: return i << 3;
    default: return 0;
  }
}

int risky(int x) {
#ifndef NO_EXCEPTIONS
  if (x > 3) throw x;
#endif
  return x + 1;
}

__attribute__((noinline)) double dot(int n) {
  double a[256], t = 0;
  for (int i = 0; i < 256; i++) a[i] = i * n;
  for (int i = 0; i < 256; i++) t += a[i] * a[i];
  return t;
}
