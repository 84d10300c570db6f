#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record { unsigned key; char name[12]; };

static unsigned state = 7;
static inline unsigned next(void) { state = state * 1103515245u + 12345u; return state >> 8; }

static int by_key(const void *a, const void *b) {
  unsigned x = ((const struct record *)a)->key, y = ((const struct record *)b)->key;
  return x < y ? -1 : x > y;
}
static int by_name(const void *a, const void *b) { return strcmp(((const struct record *)a)->name, ((const struct record *)b)->name); }

__attribute__((noinline)) static void fill(struct record *r, int n) {
  for (int i = 0; i < n; i++) {
    r[i].key = next() % 5000;
    for (int j = 0; j < 11; j++) r[i].name[j] = 'a' + next() % 26;
    r[i].name[11] = 0;
  }
}

__attribute__((noinline)) static unsigned long sum(const struct record *r, int n) {
  unsigned long s = 0;
  for (int i = 0; i < n; i++) {
    switch (r[i].key % 7) {
      case 0: s += i; break;
      case 1: s ^= r[i].key; break;
      case 2: s -= 3; break;
      case 3: s += strlen(r[i].name); break;
      case 4: s *= 3; break;
      case 5: s = s << 1 | s >> 63; break;
      default: s++;
    }
  }
  return s;
}

int main(void) {
  static struct record r[4000];
  unsigned long t = 0;
  for (int k = 0; k < 400; k++) {
    fill(r, 4000);
    qsort(r, 4000, sizeof *r, k & 1 ? by_key : by_name);
    t += sum(r, 4000);
    struct record probe = { k * 7 % 5000u, "" };
    if (k & 1 && bsearch(&probe, r, 4000, sizeof *r, by_key)) t++;
  }
  printf("%lu\n", t);
  return 0;
}
