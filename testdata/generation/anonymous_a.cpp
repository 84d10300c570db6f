// Half of a program whose two files each have a function `next` in an anonymous namespace: GCC's debug info has no linkage names of these.
#include <cstdio>
#include <cstdlib>

struct Source {
  virtual unsigned next() = 0;
  virtual ~Source() = default;
};
unsigned run_odd(unsigned rounds);

namespace {
unsigned state = 1;
__attribute__((noinline)) unsigned next(unsigned limit) {
  unsigned sum = 0;
  for (unsigned i = 0; i < limit; i++) {
    state = state * 1664525 + 1013904223;
    if (state % 64 == 7)
      sum += state >> 3;
    else
      sum ^= state;
  }
  return sum;
}
struct Even final : Source {
  __attribute__((noinline)) unsigned next() override { return ::next(12) & ~1u; }
};
}

__attribute__((noinline)) unsigned drain(Source &source, unsigned rounds) {
  unsigned sum = 0;
  for (unsigned i = 0; i < rounds; i++)
    sum += source.next();
  return sum;
}

int main(int argc, char **argv) {
  unsigned rounds = argc > 1 ? std::atoi(argv[1]) : 100;
  Even even;
  std::printf("%u\n", drain(even, rounds) + run_odd(rounds));
}
