// Instructions that compilers seldom make and operands that lie across pages, for the interpreter's differential test. Repeats until its input ends. Built by the test with
// -march=x86-64 and x86-64-v4, -fno-pie -no-pie (data lies below 4 GiB, for 32-bit addresses) and -mno-red-zone (it pushes).
#define _GNU_SOURCE
#include <immintrin.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

static unsigned char pages[3 * 4096] __attribute__((aligned(4096)));
static unsigned char area[4096] __attribute__((aligned(64)));
static volatile uint64_t sink;
static unsigned seed = 1;
static unsigned next(void) { return seed = seed * 1103515245 + 12345; }

#define CLOBBERED "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "cc", "memory"

// Roundings are of the instructions behind LDMXCSR and FLDCW.
static void state(void) {
  unsigned rounding = 0x1f80 | (next() & 3) << 13, after;
  unsigned short control = 0x37f | (next() & 3) << 10;
  double in = next(), out = 0;
  __asm__ volatile(
      "ldmxcsr %[rounding]\n fninit\n fld1\n movsd %[in], %%xmm3\n movapd %%xmm3, %%xmm9\n fldcw %[control]\n fldpi\n fldl2e\n fmulp\n addsd %%xmm3, %%xmm9\n"
      "stmxcsr %[after]\n divsd %%xmm9, %%xmm3\n sqrtsd %%xmm3, %%xmm3\n movsd %%xmm3, %[out]\n fadd %%st(0), %%st(0)\n fstps %[out]\n ldmxcsr %[plain]\n fninit\n"
      : [after] "=m"(after), [out] "+m"(out)
      : [rounding] "m"(rounding), [control] "m"(control), [in] "m"(in), [plain] "m"((const unsigned[]){0x1f80})
      : "xmm3", "xmm9", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", CLOBBERED);
  sink += after;
}

// Operands of all sizes over the edge of a page, the stack's too.
static void edges(void) {
  for (unsigned back = 1; back < 64; back += 1 + next() % 8) {
    unsigned char *p = pages + 4096 - back;
    __asm__ volatile(
        "mov (%0), %%rax\n add %%eax, 3(%0)\n mov %%ax, 1(%0)\n movzwl 5(%0), %%ecx\n inc %%rcx\n adcq $5, (%0)\n movdqu (%0), %%xmm0\n paddb %%xmm0, %%xmm0\n movups %%xmm0, 2(%0)\n"
        "fldt (%0)\n fildl 1(%0)\n faddp\n fstpt 4(%0)\n fnstcw (%0)\n fildll 2(%0)\n fistpll 3(%0)\n cmpxchg %%rdx, 7(%0)\n sete %%dl\n xadd %%rdx, 2(%0)\n notw 1(%0)\n shll $3, 2(%0)\n"
        "sarq %%cl, 1(%0)\n setc 9(%0)\n cvtsi2sdl 3(%0), %%xmm1\n cmovnel 2(%0), %%ebx\n imul $7, 1(%0), %%rsi\n bswap %%rsi\n mov %%rsi, 8(%0)\n"
        : : "r"(p) : "xmm0", "xmm1", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "rax", "rbx", "rcx", "rdx", "rsi", "cc", "memory");
    register unsigned char *q __asm__("r12") = p;
    // No signal of its own comes to this program, which leaves the stack alone meanwhile.
    __asm__ volatile(
        "mov %%rsp, %%r8\n mov %%rbp, %%r9\n lea 8192(%0), %%rsp\n push %%rax\n push $-77\n push %%rsp\n pushq 3(%0)\n pop %%rbx\n pop %%rdx\n pop %%rsi\n mov %%rsp, %%rbp\n"
        "push %%rbp\n mov %%rsp, %%rbp\n sub $24, %%rsp\n mov %%esi, (%%rsp)\n add %%rsp, 8(%%rsp)\n leave\n call 1f\n 1: pop %%rdi\n lea 8185(%0), %%rsp\n push %%rdi\n pop %%rsp\n mov %%r8, %%rsp\n mov %%r9, %%rbp\n"
        : : "r"(q) : CLOBBERED, "r10");
  }
}

static void addresses(void) {
  unsigned char *p = pages + 100;
  __asm__ volatile(
      "mov %k0, %%ecx\n mov $-3, %%edx\n movl (%%ecx,%%edx,4), %%eax\n addl %%eax, 4(%%ecx)\n lea (%%ecx,%%edx,2), %%rbx\n lea 5(%%ecx,%%edx,2), %%ebx\n lea pages(%%rip), %%rsi\n lea pages(%%rip), %%edi\n movb pages+7(%%rip), %%al\n"
      "mov pages+9, %%bl\n mov (%0), %%ah\n add %%ah, 1(%0)\n mov %%bh, (%0)\n xchg %%ch, 3(%0)\n cmp 2(%0), %%dh\n setg %%ah\n movzbl %%ah, %%eax\n lea (%%rsp), %%r8\n mov %%fs:0, %%r9\n mov %%fs:(,%%rax,8), %%r9\n"
      : : "S"(p) : "rax", "rbx", "rcx", "rdx", "rdi", "r8", "r9", "cc", "memory");
  __asm__ volatile("mov %0, %%rcx\n bt $5, %%rcx\n sbb %%rdx, %%rdx\n btcq $9, (%0)\n" : : "r"(pages + 4096) : CLOBBERED);
}

static void integers(void) {
  uint64_t a = (uint64_t)next() << 32 | next(), b = next() | 1;
  __asm__ volatile(
      "mov %0, %%rax\n mov %1, %%rcx\n mov $1, %%edx\n add $0x7fffffff, %%rcx\n div %%rcx\n mov %%rdx, %%rbx\n mov %0, %%rax\n mov $-1, %%rdx\n mov $0x7000000000000001, %%rcx\n or $1, %%rax\n idiv %%rcx\n"
      "mov %0, %%rax\n cqo\n mov %1, %%rcx\n neg %%rcx\n idiv %%rcx\n mov %k0, %%eax\n cdq\n idivl %2\n mov %k0, %%eax\n xor %%edx, %%edx\n divl %2\n mov $3, %%dx\n mov %w0, %%ax\n mov $77, %%cx\n div %%cx\n mov %w0, %%ax\n cwd\n idiv %%cx\n"
      : : "r"(a), "r"(b), "m"(*(unsigned *)&b) : "rax", "rbx", "rcx", "rdx", "cc");
  // A shift by nothing leaves the flags, INC and DEC leave the carry, and a flag that is set here is read far from here.
  __asm__ volatile(
      "mov %0, %%rax\n cmp %1, %%rax\n mov $0, %%ecx\n shl %%cl, %%rax\n setc %%bl\n seto %%bh\n rol %%cl, %%rdx\n inc %%rax\n adc %%rax, %%rax\n dec %%rdx\n rcl $3, %%rdx\n rcr %%rax\n shld $5, %%rax, %%rdx\n"
      "stc\n cmc\n lahf\n sahf\n bsf %%rdx, %%rcx\n bsr %%rax, %%rcx\n cmp %%rax, %%rdx\n mov (%2), %%rcx\n mov %%rcx, 8(%2)\n push %%rcx\n pop %%rcx\n jb 1f\n inc %%rbx\n 1: mov (%2), %%rcx\n jo 2f\n inc %%rbx\n 2:\n"
      "mov $5, %%ecx\n 3: inc %%rbx\n loop 3b\n mov $9, %%ecx\n 4: cmp $4, %%ecx\n loopne 4b\n mov $3, %%ecx\n 5: cmp %%ecx, %%ecx\n loope 5b\n jrcxz 6f\n inc %%rbx\n 6: mov $1, %%ecx\n jecxz 7f\n inc %%rbx\n 7:\n"
      "mov (%2), %%rax\n mov 8(%2), %%rdx\n mov %%rax, %%rbx\n lock cmpxchg16b (%2)\n mov (%2), %%rax\n lock cmpxchg8b 8(%2)\n rdtsc\n xor %%eax, %%eax\n cpuid\n"
      : : "r"(a), "r"(b), "r"(area + 1024) : CLOBBERED);
}

static void strings(void) {
  unsigned length = 1 + next() % 200;
  unsigned char *p = pages + 4096 - next() % 100;
  __asm__ volatile(
      "mov %0, %%rsi\n lea 3(%0), %%rdi\n mov %1, %%rcx\n rep movsb\n lea 200(%0), %%rdi\n mov %1, %%rcx\n rep stosb\n mov %0, %%rsi\n lea 1000(%0), %%rdi\n mov $20, %%ecx\n rep movsq\n lea 2000(%0), %%rdi\n mov $30, %%ecx\n rep stosl\n"
      "mov %0, %%rdi\n mov %1, %%rcx\n repne scasb\n sbb %%rbx, %%rbx\n mov %0, %%rsi\n lea 8(%0), %%rdi\n mov %1, %%rcx\n repe cmpsw\n seta %%bl\n setp %%bh\n mov %0, %%rsi\n scasl\n cmpsb\n movsl\n stosw\n"
      "std\n lea 300(%0), %%rsi\n lea 303(%0), %%rdi\n mov %1, %%rcx\n rep movsb\n lea 500(%0), %%rdi\n mov $9, %%ecx\n rep stosw\n cld\n xor %%ecx, %%ecx\n rep movsb\n repe cmpsb\n"
      : : "r"(p), "r"((uint64_t)length) : "rax", "rbx", "rcx", "rsi", "rdi", "cc", "memory");
}

#ifdef __AVX512BW__
// Operands of which a mask skips what is behind the edge of a page, and the page.
static void masks(unsigned char *edge) {
  __mmask64 mask = ~0ULL >> (8 + next() % 50);
  unsigned back = (unsigned)__builtin_popcountll(mask);
  __m512i v = _mm512_maskz_loadu_epi8(mask, edge - back);
  _mm512_mask_storeu_epi8(edge - back, mask, _mm512_add_epi8(v, v));
  __m256i lanes = _mm256_setr_epi32(-1, -1, -1, 0, 0, 0, 0, 0);
  __m256i w = _mm256_maskload_epi32((int *)(edge - 12), lanes);
  _mm256_maskstore_epi32((int *)(edge - 12), lanes, _mm256_add_epi32(w, w));
  const __m512i indices = _mm512_set1_epi32((int)(next() % 500));
  sink += (uint64_t)_mm512_reduce_add_epi32(_mm512_i32gather_epi32(indices, pages, 1));
  const __m256i far = _mm256_setr_epi64x(-(int)(next() % 500), 3, 500, -1);
  const __m128i near = _mm_setr_epi32(-(int)(next() % 500), 2, -7, 500);
  v = _mm512_castsi256_si512(_mm256_add_epi64(_mm256_i64gather_epi64((long long *)(pages + 4096), far, 8), _mm256_i32gather_epi64((long long *)(pages + 4096), near, 8)));
  v = _mm512_inserti32x4(v, _mm_add_epi32(_mm256_i64gather_epi32((int *)(pages + 4096), far, 4), _mm_mask_i32gather_epi32(near, (int *)(pages + 4096), near, _mm_setr_epi32(-1, 0, 0, -1), 2)), 3);
  v = _mm512_mask_i64gather_epi64(v, 0x5a, _mm512_castsi256_si512(far), pages + 4096, 4);
  sink += (uint64_t)_mm512_reduce_add_epi64(v);
  for (unsigned back2 = 1; back2 < 64; back2 += 7) {
    __m512d x = _mm512_loadu_pd(pages + 4096 - back2);
    _mm512_storeu_pd(pages + 8192 - back2, _mm512_add_pd(x, x));
  }
  _mm256_zeroall();
}
#endif

int main(void) {
  struct pollfd input = {0, POLLIN, 0};
  unsigned char *two = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (two == MAP_FAILED) return 1;
  memset(two, 1, 8192);
  for (unsigned i = 0; i < sizeof pages; i++) pages[i] = (unsigned char)next();
  while (poll(&input, 1, 0) <= 0) {
    state();
    edges();
    addresses();
    integers();
    strings();
#ifdef __AVX512BW__
    masks(two + 4096);
#endif
  }
  return 0;
}
