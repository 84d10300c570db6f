#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>

using Variables = std::map<std::string, long>;
using Owned = std::unique_ptr<struct Expr>;

struct Expr {
  virtual ~Expr() {}
  virtual long eval(const Variables &v) const = 0;
};
struct Const : Expr {
  long value;
  explicit Const(long value) : value(value) {}
  long eval(const Variables &) const override { return value; }
};
struct Var : Expr {
  std::string name;
  explicit Var(std::string name) : name(std::move(name)) {}
  long eval(const Variables &v) const override { auto found = v.find(name); return found == v.end() ? 0 : found->second; }
};
template <class Op> struct Binary : Expr {
  Owned left, right;
  Binary(Owned left, Owned right) : left(std::move(left)), right(std::move(right)) {}
  long eval(const Variables &v) const override { return Op()(left->eval(v), right->eval(v)); }
};

static unsigned state = 3;
static unsigned next() { state = state * 1664525 + 1013904223; return state >> 10; }

Owned make(int depth) {
  if (depth == 0 || next() % 8 == 0) {
    if (next() & 1) return std::make_unique<Const>(next() % 100);
    return std::make_unique<Var>(std::string(1, 'a' + next() % 6));
  }
  Owned left = make(depth - 1), right = make(depth - 1);
  switch (next() % 3) {
    case 0: return std::make_unique<Binary<std::plus<long>>>(std::move(left), std::move(right));
    case 1: return std::make_unique<Binary<std::minus<long>>>(std::move(left), std::move(right));
    default: return std::make_unique<Binary<std::bit_xor<long>>>(std::move(left), std::move(right));
  }
}

int main() {
  Variables variables;
  long total = 0;
  for (int round = 0; round < 4000; round++) {
    Owned expression = make(9);
    for (int i = 0; i < 20; i++) {
      variables[std::string(1, 'a' + i % 6)] = total % 97 + i;
      try {
        long value = expression->eval(variables);
        if (value % 11 == 3) throw value;
        total += value;
      } catch (long value) {
        total ^= value;
      }
    }
  }
  std::printf("%ld\n", total);
}
