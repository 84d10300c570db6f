// The other half of anonymous_a.cpp.
unsigned run_odd(unsigned rounds);

namespace {
__attribute__((noinline)) unsigned next(unsigned limit) {
  unsigned sum = 1;
  for (unsigned i = 0; i < limit; i++)
    sum = sum * 22695477 + (sum & 4096 ? 3 : 1);
  return sum;
}
}

unsigned run_odd(unsigned rounds) {
  unsigned sum = 0;
  for (unsigned i = 0; i < rounds; i++)
    sum += next(i % 8) | 1;
  return sum;
}
