#include <stdio.h>
#include <stdlib.h>
static __attribute__((noinline,cold)) void fail(int x) { fprintf(stderr, "bad %d\n", x); if (x > 1000) abort(); }
static int table[64];
__attribute__((noinline)) int work(int n) { int t = 0; for (int i = 0; i < n; i++) { if (__builtin_expect(table[i & 63] < 0, 0)) { fail(i); t--; printf("odd %d\n", t); continue; } t += table[i & 63] * i; } return t; }
__attribute__((noinline)) int tail(int n) { return n ? work(n) : 3; }
int rec(int n) { return n < 2 ? n : rec(n - 1) + rec(n - 2); }
typedef int (*fn)(int);
static fn fs[] = { work, tail, rec };
int main(int c, char **v) { for (int i = 0; i < 64; i++) table[i] = i * 7 % 13; int t = 0; for (int i = 0; i < 300; i++) t += fs[i % 3](i % 9); printf("%d\n", t); return 0; }
