// What a recorder must not disturb, one kind a mode. Works until its input ends, checks itself and prints "ok" or what went wrong.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static long wrong;
// A signal that comes meanwhile makes even a poll that does not wait fail, with EINTR.
static int running(void) { struct pollfd end = {0, POLLIN, 0}; return poll(&end, 1, 0) <= 0; }
static unsigned long work(unsigned n) { unsigned long sum = 0; for (unsigned i = 1; i <= n; i++) for (unsigned k = i; k != 1; sum++) k = k & 1 ? 3 * k + 1 : k / 2; return sum; }
static void check(void) { if (work(300) != 14167) wrong++; }

static void *shortlived(void *argument) { check(); return argument; }
static void threads(void) { pthread_t t[8]; for (int i = 0; i < 8; i++) pthread_create(&t[i], 0, shortlived, 0); for (int i = 0; i < 8; i++) pthread_join(t[i], 0); }

static void forks(void) { pid_t child = fork(); if (child == 0) { check(); _exit(wrong ? 1 : 7); } int status; if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7) wrong++; check(); }

static long milliseconds(void) { struct timespec now; clock_gettime(CLOCK_MONOTONIC, &now); return now.tv_sec * 1000 + now.tv_nsec / 1000000; }

// Children that end while other threads of theirs work: a recorder meets them as they go. A thread killed in a stop that its tracer then forgets would keep its process from ending.
static void *endless(void *argument) { for (;;) check(); return argument; }
static void exits(void) {
  for (int i = 0; i < 4; i++) {
    long begin = milliseconds();
    pid_t child = fork();
    if (child == 0) {
      pthread_t t[2];
      for (int k = 0; k < 2; k++) pthread_create(&t[k], 0, endless, 0);
      usleep(20000 + (unsigned)getpid() * 104729 % 40000);
      if (i == 3) kill(getpid(), SIGKILL);
      _exit(7);
    }
    int status;
    if (waitpid(child, &status, 0) != child || (i == 3 ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : !WIFEXITED(status) || WEXITSTATUS(status) != 7)) wrong++;
    if (milliseconds() - begin > 10000) wrong++;
  }
  check();
}

static char *self;
static void execs(void) { pid_t child = fork(); if (child == 0) { execl(self, self, "once", (char *)0); _exit(99); } int status; if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7) wrong++; check(); }

static volatile sig_atomic_t alarms, traps;
static void on_alarm(int s) { (void)s; alarms++; }
static void on_trap(int s) { (void)s; traps++; }
static void signals(void) {
  static int set; static long raised;
  if (!set) { set = 1; signal(SIGALRM, on_alarm); signal(SIGTRAP, on_trap); struct itimerval every = {{0, 2000}, {0, 2000}}; setitimer(ITIMER_REAL, &every, 0); }
  for (int i = 0; i < 20; i++) { raise(SIGTRAP); raised++; check(); }
  __asm__ volatile("int3"); raised++;
  if (traps != raised) wrong++;
}

static void sandbox(void) {
  static int set;
  struct sock_filter filter[] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (!set) { set = 1; if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) wrong++; }
  errno = 0;
  if (syscall(SYS_getppid) != -1 || errno != 77) wrong++;
  check();
}

// mov eax, N; ret — each time other code at, often, the same address.
static void jit(void) {
  static unsigned n;
  for (int i = 0; i < 50; i++) {
    unsigned char *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int k = 0; k < 4; k++) { n++; code[0] = 0xb8; memcpy(code + 1, &n, 4); code[5] = 0xc3; if (((unsigned (*)(void))code)() != n) wrong++; }
    munmap(code, 4096);
  }
  check();
}

// A thread that sleeps most of the time; interrupted sleeps are what a recorder that stops sleeping threads leaves.
static long interrupted;
static void sleeps(void) {
  static int queue = -1;
  if (queue < 0) queue = epoll_create1(0);
  struct epoll_event event;
  for (int i = 0; i < 20; i++) { if (epoll_wait(queue, &event, 1, 1) < 0 && errno == EINTR) interrupted++; check(); }
}

// What waits in all the ways there are, each for as long as it says and with no EINTR.
static void naps(void) {
  static int word; struct timespec nap = {0, 1000000}, at; long begin = milliseconds();
  if (nanosleep(&nap, 0)) interrupted++;
  clock_gettime(CLOCK_MONOTONIC, &at); at.tv_nsec += 1000000; if (at.tv_nsec >= 1000000000) { at.tv_nsec -= 1000000000; at.tv_sec++; }
  if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0)) interrupted++;
  errno = 0; if (syscall(SYS_futex, &word, 0, 0, &nap, 0, 0) != -1 || errno != ETIMEDOUT) interrupted++;
  struct pollfd none = {-1, 0, 0}; if (poll(&none, 1, 1) != 0) interrupted++;
  fd_set empty; FD_ZERO(&empty); struct timeval tv = {0, 1000}; if (select(0, &empty, 0, 0, &tv) != 0) interrupted++;
  sigset_t usr; sigemptyset(&usr); sigaddset(&usr, SIGUSR1); errno = 0; if (sigtimedwait(&usr, 0, &nap) != -1 || errno != EAGAIN) interrupted++;
  if (milliseconds() - begin < 5) wrong++;
  check(); check();
}

// Blocking writes and reads of more than fits, on a pipe, a socket and a terminal: a stop inside one makes it come back with a part.
static void *drain(void *argument) { static __thread char buffer[1 << 14]; int fd = (int)(intptr_t)argument; while (read(fd, buffer, sizeof buffer) > 0) check(); return 0; }
static void transfer(int in, int out, size_t length) {
  static char bytes[1 << 19]; pthread_t t; pthread_create(&t, 0, drain, (void *)(intptr_t)in);
  for (int i = 0; i < 8; i++) { check(); if (write(out, bytes, length) != (ssize_t)length) interrupted++; }
  shutdown(out, SHUT_WR); close(out); pthread_join(t, 0); close(in);
}
static void *feed(void *argument) { static char bytes[1 << 14]; for (int i = 0; i < 64; i++) { check(); if (write((int)(intptr_t)argument, bytes, sizeof bytes) != sizeof bytes) interrupted++; } return 0; }
static void writes(void) {
  int fd[2];
  if (pipe(fd)) wrong++; else transfer(fd[0], fd[1], 1 << 19);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) wrong++; else transfer(fd[0], fd[1], 1 << 19);
  if (!socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) {
    static char bytes[1 << 20]; pthread_t t; pthread_create(&t, 0, feed, (void *)(intptr_t)fd[1]);
    if (recv(fd[0], bytes, sizeof bytes, MSG_WAITALL) != sizeof bytes) interrupted++;
    pthread_join(t, 0); close(fd[0]); close(fd[1]);
  }
  int terminal = posix_openpt(O_RDWR | O_NOCTTY); struct termios raw;
  if (terminal < 0 || grantpt(terminal) || unlockpt(terminal)) { wrong++; return; }
  int line = open(ptsname(terminal), O_RDWR | O_NOCTTY); tcgetattr(line, &raw); cfmakeraw(&raw); tcsetattr(line, TCSANOW, &raw);
  transfer(terminal, line, 1 << 16);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long shared;
static void *contender(void *argument) { for (int i = 0; i < 2000; i++) { pthread_mutex_lock(&lock); shared++; pthread_mutex_unlock(&lock); __atomic_fetch_add(&wrong, 0, __ATOMIC_SEQ_CST); } return argument; }
static void locks(void) { pthread_t t[4]; shared = 0; for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, contender, 0); for (int i = 0; i < 4; i++) pthread_join(t[i], 0); if (shared != 8000) wrong++; }

static void pipes(void) { int p[2]; if (pipe(p)) { wrong++; return; } for (int i = 0; i < 200; i++) { char c = (char)i, d = 0; if (write(p[1], &c, 1) != 1 || read(p[0], &d, 1) != 1 || c != d) wrong++; } close(p[0]); close(p[1]); check(); }

int main(int count, char **arguments) {
  self = arguments[0];
  const char *mode = count > 1 ? arguments[1] : "";
  if (!strcmp(mode, "once")) { check(); return wrong ? 1 : 7; }
  struct { const char *name; void (*run)(void); } modes[] = {{"threads", threads}, {"forks", forks}, {"exits", exits}, {"execs", execs}, {"signals", signals}, {"sandbox", sandbox}, {"jit", jit}, {"sleeps", sleeps}, {"naps", naps}, {"writes", writes}, {"locks", locks}, {"pipes", pipes}, {"plain", check}};
  for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
    if (!strcmp(mode, modes[i].name))
      while (running()) modes[i].run();
  if (wrong) printf("wrong %ld, interrupted %ld\n", wrong, interrupted); else printf("ok, interrupted %ld\n", interrupted);
  return wrong != 0;
}
