// Two indirect calls, which optimisers merge.
#include <stdio.h>
#include <stdlib.h>
typedef int (*op)(const unsigned char *, int);
static int __attribute__((noinline)) sum(const unsigned char *at, int n) { int s = 0; while (n > 0) s += at[--n]; return s; }
static int __attribute__((noinline)) mix(const unsigned char *at, int n) { int s = 1; while (n > 0) s = s * 31 + at[--n]; return s; }
op ops[2] = { sum, mix };
int __attribute__((noinline)) choose(op f, const unsigned char *at, int n)
{
    int r;
    if (at[0] & 1)
        r = f(at + 1, n);
    else
        r = f(at + 2, n + 1);
    return r ^ 5;
}
int main(int argc, char **argv)
{
    unsigned char data[64];
    int x = 0;
    for (int i = 0; i < 64; i++)
        data[i] = i * 7 + argc;
    for (int i = 0; i < 20000; i++)
        x += choose(ops[i % 3 == 0], data + i % 32, 8 + i % 8);
    printf("%d\n", x);
    return 0;
}
