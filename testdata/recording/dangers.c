// Programs that a careless recorder would hang, mislead or end, one kind a mode. Works until its input ends, checks itself and prints "ok" or
// what went wrong.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

static volatile unsigned long sink, wrong;
static int running(void) { struct pollfd end = {0, POLLIN, 0}; return poll(&end, 1, 0) <= 0; }
__attribute__((noinline)) static void collatz(unsigned rounds) {
  for (unsigned r = 0; r < rounds; r++)
    for (unsigned i = 1; i <= 300; i++)
      for (unsigned k = i; k != 1; sink++) k = k & 1 ? 3 * k + 1 : k / 2;
}

// A thread of the process provides its pages (userfaultfd), and needs for that what the one that touches them holds at times: who stops one
// thread and waits for a page that it has not come to yet waits for ever. Pages that are announced and never touched are not asked for.
enum { Pages = 64 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *area;
static int faults_fd = -1;
static volatile unsigned long served, touched;
static void *provide(void *argument) {
  static char page[4096] __attribute__((aligned(4096)));
  memset(page, 7, sizeof page);
  for (;;) {
    struct uffd_msg message;
    if (read(faults_fd, &message, sizeof message) != sizeof message) return argument;
    pthread_mutex_lock(&lock); served++; pthread_mutex_unlock(&lock);
    struct uffdio_copy copy = {message.arg.pagefault.address & ~4095ul, (uintptr_t)page, sizeof page, 0, 0};
    if (message.arg.pagefault.address >= (uintptr_t)area + Pages * 4096) wrong++;
    ioctl(faults_fd, UFFDIO_COPY, &copy);
  }
}
static void faults(void) {
  if (faults_fd < 0) {
    faults_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (faults_fd < 0) faults_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    area = mmap(0, 2 * Pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_api api = {UFFD_API, 0, 0};
    struct uffdio_register range = {{(uintptr_t)area, 2 * Pages * 4096}, UFFDIO_REGISTER_MODE_MISSING, 0};
    if (faults_fd < 0 || ioctl(faults_fd, UFFDIO_API, &api) || ioctl(faults_fd, UFFDIO_REGISTER, &range)) { wrong++; exit(1); }
    pthread_t t;
    pthread_create(&t, 0, provide, 0);
  }
  for (int i = 0; i < Pages; i++) {
    pthread_mutex_lock(&lock);
    for (volatile int k = 0; k < 1500; k++) { }
    pthread_mutex_unlock(&lock);
    __builtin_prefetch(area + (Pages + i) * 4096);
    if (area[i * 4096] != 7) wrong++;
    touched++;
  }
  pthread_mutex_lock(&lock);
  if (served != touched) wrong++;
  pthread_mutex_unlock(&lock);
  madvise(area, 2 * Pages * 4096, MADV_DONTNEED);
}

// What raises a signal must raise it in the program, which goes on behind it, and nowhere else.
static sigjmp_buf back;
static volatile sig_atomic_t caught;
static void on_fault(int s) { (void)s; caught++; siglongjmp(back, 1); }
static void trap(int kind) {
  static unsigned char state[512] __attribute__((aligned(16)));
  unsigned reserved = 0xffff1f80, unmasked = 0x1d80;
  unsigned short all = 0x0340;
  double one = 1, zero = 0;
  memset(state, 0xff, sizeof state);
  switch (kind) {
    case 0: __asm__ volatile("ldmxcsr %0" ::"m"(reserved)); break;
    case 1: __asm__ volatile("xorl %%ecx, %%ecx; movl $1, %%eax; cltd; idivl %%ecx" ::: "eax", "ecx", "edx"); break;
    case 2: __asm__ volatile("ud2"); break;
    case 3: __asm__ volatile("fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(all)); break;
    case 4: __asm__ volatile("hlt"); break;
    case 5: __asm__ volatile("movq %0, %%rax; movb (%%rax), %%al" ::"r"(0x8000000000000000ul) : "rax"); break;
    case 6: __asm__ volatile("fxrstor %0" ::"m"(state)); break;
    case 7: __asm__ volatile("ldmxcsr %0; divsd %1, %2" ::"m"(unmasked), "x"(zero), "x"(one)); break;
    default: __asm__ volatile("movaps %0, %%xmm0" ::"m"(state[1]) : "xmm0"); break;
  }
}
static void traps(void) {
  int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGBUS};
  for (int i = 0; i < 4; i++) signal(signals[i], on_fault);
  for (volatile int kind = 0; kind < 9; kind++) {
    int before = caught;
    if (!sigsetjmp(back, 1)) { collatz(1); trap(kind); }
    if (caught != before + 1) wrong++;
  }
}

// One process id, given to one program after another (clone3(2), set_tid).
static char **programs;
static void recycles(void) {
  static pid_t id; static int turn;
  struct clone_args again = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&id, .set_tid_size = 1};
  pid_t child = id ? (pid_t)syscall(SYS_clone3, &again, sizeof again) : fork();
  if (child < 0) { id = 0; return; }
  if (child == 0) { execl(programs[turn % 2], programs[turn % 2], "once", (char *)0); _exit(99); }
  id = child; turn++;
  int status;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7) wrong++;
}

// Code in a file's mapping that is written to in place.
__attribute__((noinline, aligned(64))) static unsigned patched(void) { unsigned n; __asm__ volatile("movl $0x11111111, %0" : "=r"(n)); return n; }
static void patches(void) {
  static unsigned number = 0x11111111;
  unsigned char *code = (unsigned char *)patched, *page = (unsigned char *)((uintptr_t)code & ~4095ul);
  for (int i = 0; i < 20; i++) {
    int at = 0;
    while (at < 16 && memcmp(code + at, &number, 4)) at++;
    number++;
    if (at == 16 || mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC)) { wrong++; return; }
    memcpy(code + at, &number, 4);
    if (mprotect(page, 8192, PROT_READ | PROT_EXEC)) wrong++;
    for (int k = 0; k < 100; k++) if (patched() != number) wrong++;
    collatz(1);
  }
}

// A set-uid program has its privileges.
static void elevates(void) {
  pid_t child = fork();
  if (child == 0) { collatz(3); execl(programs[0], programs[0], "whose", (char *)0); _exit(99); }
  int status;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7) wrong++;
}

// In a time namespace of its own the clock is another.
static void elsewhere(void) {
  if (unshare(CLONE_NEWTIME)) { wrong++; return; }
  int offsets = open("/proc/self/timens_offsets", O_WRONLY);
  static const char Ahead[] = "monotonic 1000000000 0\n";
  if (write(offsets, Ahead, sizeof Ahead - 1) != sizeof Ahead - 1) wrong++;
  close(offsets);
  pid_t child = fork();
  if (child == 0) {
    struct timespec last = {1000000000, 0}, now;
    while (running()) {
      for (int i = 0; i < 200; i++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec)) wrong++;
        last = now;
      }
      collatz(1);
    }
    _exit(wrong ? 1 : 7);
  }
  int status;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7) wrong++;
}

// One works among many that do nothing.
static void crowd(void) {
  static int begun;
  for (; begun < 1000; begun++) { pid_t child = fork(); if (child == 0) { prctl(PR_SET_PDEATHSIG, SIGKILL); for (;;) pause(); } if (child < 0) wrong++; }
  collatz(5);
}

static void *busy(void *argument) { for (;;) collatz(1); return argument; }
static void throng(void) {
  static int begun;
  for (; begun < 60; begun++) { pthread_t t; if (pthread_create(&t, 0, busy, 0)) wrong++; }
  usleep(1000);
}

int main(int count, char **arguments) {
  const char *mode = count > 1 ? arguments[1] : "";
  programs = arguments + 2;
  if (!strcmp(mode, "once")) { collatz(400); return 7; }
  if (!strcmp(mode, "elevates-once")) { elevates(); return wrong != 0; }
  if (!strcmp(mode, "whose")) { collatz(400); return geteuid() == 0 && getuid() != 0 ? 7 : 1; }
  struct { const char *name; void (*run)(void); } modes[] = {{"faults", faults}, {"traps", traps}, {"recycles", recycles}, {"patches", patches},
    {"elevates", elevates}, {"elsewhere", elsewhere}, {"crowd", crowd}, {"throng", throng}};
  for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
    if (!strcmp(mode, modes[i].name))
      while (running()) modes[i].run();
  printf(wrong ? "wrong %lu\n" : "ok\n", wrong);
  return wrong != 0;
}
