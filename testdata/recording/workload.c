// What the interpreter's differential test steps through: libc's string, memory, number and allocation code on many sizes and
// alignments, floating point in all widths, and integer arithmetic the compiler maps to as many instructions as possible.
// Repeats until its input ends. Built by the test for x86-64-v1, v3 and v4.
#ifdef __AVX2__
#include <immintrin.h>
#endif
#include <math.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile uint64_t sink;
static char a[4096], b[4096];
static unsigned seed = 1;
static unsigned next(void) { return seed = seed * 1103515245 + 12345; }

static void strings(void) {
  for (int i = 0; i < 6; i++) {
    unsigned length = next() % 300, from = next() % 64, to = next() % 64;
    for (unsigned k = 0; k < length + 1; k++) a[from + k] = (char)('a' + k % 23);
    a[from + length] = 0;
    memcpy(b + to, a + from, length + 1);
    memmove(b + to + next() % 16, b + to, length);
    b[to + length] = 0;
    memset(a + 1024 + from, (int)i, length);
    sink += strlen(b + to) + strnlen(b + to, 40) + (uint64_t)memcmp(a + from, b + to, length);
    sink += (uint64_t)strcmp(a + from, b + to) + (uint64_t)strncmp(a + from, b + to, length / 2);
    sink += (uint64_t)(strchr(a + from, 'q') != 0) + (uint64_t)(strrchr(a + from, 'c') != 0) + (uint64_t)(memchr(a + from, 'z', length) != 0);
    sink += (uint64_t)(strstr(a + from, "fgh") != 0) + strspn(a + from, "abc") + strcspn(a + from, "xyz");
    strcpy(b + 2048, a + from);
    strncat(b + 2048, "tail", 3);
    sink += (uint64_t)strcasecmp(b + 2048, a + from);
  }
}

static int descending(const void *x, const void *y) { return *(const int *)x < *(const int *)y ? 1 : -1; }

static void numbers(void) {
  char text[200];
  int values[20];
  for (int i = 0; i < 20; i++) values[i] = (int)next() >> 8;
  qsort(values, 20, sizeof *values, descending);
  int n = snprintf(text, sizeof text, "%d %08x %s %.17g %Lf %e", values[0], (unsigned)values[1], "name", values[2] / 3.0, values[3] / 7.0L, 1e100 / values[4]);
  sink += (uint64_t)n + (uint64_t)strtol(text, 0, 10) + (uint64_t)strtod("2.718281828459045e-3", 0) + (uint64_t)atoi(text);
  void *blocks[8];
  for (int i = 0; i < 8; i++) blocks[i] = calloc(1, 16u << i);
  for (int i = 0; i < 8; i++) free(blocks[(i * 3) % 8]);
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  sink += (uint64_t)now.tv_nsec;
}

static void floating(void) {
  double d[33], sum = 0;
  float f[33];
  for (int i = 0; i < 33; i++) { d[i] = (int)next() / 1000.0; f[i] = (float)d[i] * 0.5f; }
  for (int i = 0; i < 33; i++) { sum += d[i] * f[i]; f[i] = sqrtf(fabsf(f[i])) + (float)i; d[i] = floor(d[i]) + trunc(d[i] * 0.1); }
  sum += sin(d[0]) + cos(d[1]) + exp(d[2] * 1e-7) + log(fabs(d[3]) + 1) + pow(1.0001, d[4] * 1e-6) + fmod(d[5], 3.7) + cbrt(d[6]) + hypot(d[7], d[8]);
  long double l = sum;
  l = l * 1.5L + sqrtl(l * l + 1) - ceill(l / 3);
  sink += (uint64_t)(int64_t)sum + (uint64_t)(int64_t)l + (uint64_t)(sum < d[9]) + (uint64_t)(unsigned)(int)f[3] + (uint64_t)f[5];
}

static void integers(void) {
  uint64_t x = ((uint64_t)next() << 32) | next(), y = next() | 1;
  int64_t s = (int64_t)x;
  uint32_t u = (uint32_t)x;
  uint16_t h = (uint16_t)x;
  uint8_t c = (uint8_t)(x >> 8);
  for (int i = 0; i < 8; i++) {
    x ^= x << 13; x ^= x >> 7; x ^= x << 17;
    s = s / (int64_t)y + s % 1001 + (s >> (x & 63)) + (int64_t)(s * 3 < s);
    u = (u << (x & 31)) | (u >> (32 - (x & 31)) % 32); u += (uint32_t)__builtin_popcountll(x) + (uint32_t)__builtin_ctzll(x | 1) + (uint32_t)__builtin_clzll(x | 1);
    h = (uint16_t)(h * 7 + (h >> 3)); h = (uint16_t)((h << 5) | (h >> 11));
    c = (uint8_t)(c + h); c = (uint8_t)((c >> 1) | (c << 7)); c -= (uint8_t)(c > 100 ? 3 : 250);
    unsigned __int128 wide = (unsigned __int128)x * y + (unsigned __int128)(uint64_t)s;
    y = (uint64_t)(wide >> 64) | 1; x += (uint64_t)wide;
    x += (uint64_t)(wide / (y | 0x10000));
    u /= (uint32_t)(y | 3); u ^= __builtin_bswap32(u);
    int32_t t = (int32_t)u; t = t / 7 - t % 13; s += t; s ^= (int64_t)(int8_t)c; s += (int16_t)h;
    __atomic_fetch_add(&sink, x, __ATOMIC_SEQ_CST);
    uint64_t seen = sink; __atomic_compare_exchange_n(&sink, &seen, x, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    sink = __atomic_exchange_n(&sink, y, __ATOMIC_ACQ_REL) + u + h + c + (uint64_t)s;
    a[200 + i] ^= (char)c; ((uint16_t *)a)[120 + i] += h; ((uint32_t *)a)[80 + i] -= u; ((uint64_t *)a)[60 + i] |= x;
  }
}

static void vectors(void) {
  int32_t v[64], w[64]; uint8_t p[128]; int64_t q[32]; uint16_t r[64];
  for (int i = 0; i < 64; i++) { v[i] = (int32_t)next(); w[i] = (int32_t)next() >> 3; r[i] = (uint16_t)next(); }
  for (int i = 0; i < 128; i++) p[i] = (uint8_t)(v[i % 64] >> (i & 7));
  int32_t most = v[0]; int64_t total = 0; unsigned bits = 0;
  for (int i = 0; i < 64; i++) { most = v[i] > most ? v[i] : most; total += (int64_t)v[i] * w[i]; v[i] = v[i] > 0 ? v[i] + w[i] : v[i] ^ w[i]; bits += (unsigned)__builtin_popcount((unsigned)w[i]); }
  for (int i = 0; i < 128; i++) p[i] = (uint8_t)(p[i] > 127 ? 255 - p[i] : p[i] + 3);
  for (int i = 0; i < 32; i++) q[i] = (int64_t)v[2 * i] << (i & 15);
  for (int i = 0; i < 64; i++) r[i] = (uint16_t)((r[i] * 5) >> 2);
  for (int i = 0; i < 64; i++) if (w[i] & 1) v[i] = w[63 - i] * 2;
  sink += (uint64_t)total + (uint64_t)most + bits + p[77] + (uint64_t)q[9] + r[33] + (uint64_t)v[5];
}

#ifdef __AVX2__
// Gathers and scatters of every index and data size, with masks that leave elements out.
static void gathers(void) {
  static int32_t d[256]; static int64_t q[256];
  int32_t where[16]; int64_t far[8];
  for (int i = 0; i < 256; i++) { d[i] = (int32_t)next(); q[i] = (int64_t)next(); }
  for (int i = 0; i < 16; i++) where[i] = (int32_t)(next() & 63) - 8;
  for (int i = 0; i < 8; i++) far[i] = (int64_t)(next() & 63) - 8;
  __m128i at4 = _mm_loadu_si128((void *)where), at2 = _mm_loadu_si128((void *)far); __m256i at8 = _mm256_loadu_si256((void *)where), far4 = _mm256_loadu_si256((void *)far);
  __m256i some = _mm256_loadu_si256((void *)d); __m128i few = _mm_loadu_si128((void *)(d + 9));
  __m256i a = _mm256_mask_i32gather_epi32(at8, d + 100, at8, some, 4), b = _mm256_mask_i32gather_epi64(far4, (void *)(q + 100), at4, some, 8), c = _mm256_mask_i64gather_epi64(far4, (void *)(q + 100), far4, some, 8);
  __m128i e = _mm_mask_i64gather_epi32(at4, d + 100, at2, few, 4), f = _mm256_mask_i64gather_epi32(at4, d + 100, far4, few, 4), g = _mm_i32gather_epi32(d + 100, at4, 2);
  __m256d h = _mm256_i32gather_pd((void *)(q + 100), at4, 8); __m256 j = _mm256_i32gather_ps((void *)(d + 100), at8, 1);
  sink += (uint64_t)_mm256_extract_epi64(a, 1) + (uint64_t)_mm256_extract_epi64(b, 2) + (uint64_t)_mm256_extract_epi64(c, 3) + (uint64_t)_mm_extract_epi64(e, 0) + (uint64_t)_mm_extract_epi64(f, 1) + (uint64_t)_mm_extract_epi64(g, 1)
    + (uint64_t)_mm256_extract_epi64(_mm256_castpd_si256(h), 2) + (uint64_t)_mm256_extract_epi64(_mm256_castps_si256(j), 3);
#ifdef __AVX512VL__
  __m512i at16 = _mm512_loadu_si512(where), far8 = _mm512_loadu_si512(far);
  __m512i k = _mm512_mask_i32gather_epi32(at16, (__mmask16)next(), at16, d + 100, 4), l = _mm512_mask_i64gather_epi64(far8, (__mmask8)next(), far8, (void *)(q + 100), 8), m = _mm512_i32gather_epi64(at8, (void *)(q + 100), 8);
  __m256i n = _mm512_i64gather_epi32(far8, d + 100, 4);
  _mm512_mask_i32scatter_epi32(d + 100, (__mmask16)next(), at16, k, 4); _mm512_i64scatter_epi64((void *)(q + 100), far8, l, 8); _mm512_mask_i32scatter_epi64((void *)(q + 100), (__mmask8)next(), at8, m, 8); _mm512_i64scatter_epi32(d + 100, far8, n, 4);
  _mm256_mask_i32scatter_ps((void *)(d + 100), (__mmask8)next(), at8, _mm256_castsi256_ps(n), 4);
#endif
  for (int i = 0; i < 256; i++) sink += (uint64_t)d[i] ^ (uint64_t)q[i];
}
#else
static void gathers(void) {}
#endif

int main(void) {
  struct pollfd end = {0, POLLIN, 0};
  while (poll(&end, 1, 0) == 0) { strings(); numbers(); floating(); integers(); vectors(); gathers(); }
  return 0;
}
