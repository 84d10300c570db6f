// Programs that a recorder might stumble over, one kind a mode. Works until its input ends and prints "ok".
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

static int running(void) { struct pollfd end = {0, POLLIN, 0}; return poll(&end, 1, 0) <= 0; }
static volatile unsigned long sink;
__attribute__((noinline)) void collatz(unsigned rounds) { for (unsigned r = 0; r < rounds; r++) for (unsigned i = 1; i <= 300; i++) for (unsigned k = i; k != 1; sink++) k = k & 1 ? 3 * k + 1 : k / 2; }
static void work(void) { collatz(1); }

// All floating-point exceptions unmasked, rounding and flushing changed: what would end a process that executes the next instructions with such a control word and meets a division by 0.
static void control(void) {
  unsigned saved = _mm_getcsr();
  volatile double zero = 0, one = 1;
  for (int i = 0; i < 50; i++) {
    _mm_setcsr(0x8040 | (i & 3) << 13);
    __asm__ volatile("" ::: "memory");
    collatz(1);
    _mm_setcsr(saved);
    sink += one / (zero + 1) > 0;
  }
}

// One instruction that goes on for ever, as far as a stop is concerned.
static void repeat(void) {
  static char area[8 << 20];
  void *to = area; unsigned long count = sizeof area; 
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(sink & 1) : "memory");
  collatz(20);
}

// One thread waits for another by PAUSE and loads alone.
static volatile int turn;
static void *partner(void *argument) { for (;;) { while (!turn) _mm_pause(); collatz(3); turn = 0; } return argument; }
static void spins(void) {
  static int begun; static pthread_t t;
  if (!begun) { begun = 1; pthread_create(&t, 0, partner, 0); }
  for (int i = 0; i < 10; i++) { turn = 1; while (turn) _mm_pause(); }
}

static void *idle(void *argument) { pause(); return argument; }

int main(int count, char **arguments) {
  const char *mode = count > 1 ? arguments[1] : "";
  int number = count > 2 ? atoi(arguments[2]) : 0;
  if (!strcmp(mode, "once")) { collatz((unsigned)number); return 0; }
  if (!strcmp(mode, "many")) { while (running()) usleep(1000); for (; number > 0; number--) { pid_t child = fork(); if (child == 0) { execl(arguments[0], arguments[0], "once", arguments[3], (char *)0); _exit(99); } int status; waitpid(child, &status, 0); } printf("ok\n"); return 0; }
  if (!strcmp(mode, "daemon")) while (running()) { pid_t child = fork(); if (child == 0) { if (fork() == 0) { collatz(800); _exit(0); } _exit(0); } int status; waitpid(child, &status, 0); usleep(20000); }
  if (!strcmp(mode, "idle")) {
    pthread_attr_t small; pthread_attr_init(&small); pthread_attr_setstacksize(&small, 16384);
    for (; number > 0; number--) { pthread_t t; if (pthread_create(&t, &small, idle, 0)) { printf("no thread\n"); return 1; } }
  }
  struct { const char *name; void (*run)(void); } modes[] = {{"work", work}, {"control", control}, {"repeat", repeat}, {"spins", spins}};
  for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
    if (!strcmp(mode, modes[i].name))
      while (running()) modes[i].run();
  while (running()) usleep(10000);
  printf("ok\n");
  return 0;
}
