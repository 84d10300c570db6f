#include <coroutine>
#include <cstdio>
struct Gen { struct promise_type { long v; Gen get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; } std::suspend_always initial_suspend() { return {}; } std::suspend_always final_suspend() noexcept { return {}; } std::suspend_always yield_value(long x) { v = x; return {}; } void return_void() {} void unhandled_exception() {} };
  std::coroutine_handle<promise_type> h; ~Gen() { h.destroy(); } bool next() { h.resume(); return !h.done(); } };
__attribute__((noinline)) Gen count(long n) { for (long i = 0; i < n; i++) co_yield i * i % 7; }
__attribute__((noinline)) Gen pairs(long n) { Gen a = count(n); while (a.next()) { if (a.h.promise().v & 1) co_yield a.h.promise().v * 3; else co_yield 1; } }
int main(int argc, char **) { long t = 0; Gen g = pairs(100 * argc); while (g.next()) t += g.h.promise().v; std::printf("%ld\n", t); }
