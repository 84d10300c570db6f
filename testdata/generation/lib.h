#pragma once
struct Node { long key; Node *l, *r; };
struct Shape { virtual ~Shape() {} virtual long area(long) const = 0; };
template <int N> struct Poly : Shape { long area(long k) const override { long t = 0; for (int i = 0; i < N; i++) t += (k >> i) * N; return t; } };
inline int depth(const Node *n) { if (!n) return 0; int a = depth(n->l), b = depth(n->r); return 1 + (a > b ? a : b); }
inline __attribute__((always_inline)) long clampv(long v, long lo, long hi) { return v < lo ? lo : v > hi ? hi : v; }
#ifdef COMDAT
inline __attribute__((noinline)) long digits(long n) { long t = 0; while (n) { t += n % 10; n /= 10; } return t; }
#else
inline long digits(long) { return 0; }
#endif
Node *insert(Node *, long);
bool even(unsigned);
long collatz(long);
long relay(long);
Shape *make(int);
long dispatch(int);
int risky(int);
double dot(int);
