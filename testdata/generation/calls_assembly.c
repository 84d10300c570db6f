#include <stdio.h>
long spin(long); long after(long);
__attribute__((noinline)) long drive(long n) { long t = 0; for (long i = 1; i < n; i++) t += spin(i) + after(i); return t; }
int main(int c, char **v) { printf("%ld\n", drive(c * 50)); return 0; }
