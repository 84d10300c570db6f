#include <cmath>

#include "program.h"

namespace logquery {
namespace {

// Null in, null out; int with int stays int unless it overflows; anything else must be a number.
template <class OnInts, class OnReals>
inline Value arithmetic(const Value& a, const Value& b, OnInts on_ints, OnReals on_reals) {
  if (a.type() == Type::kInt && b.type() == Type::kInt) {
    int64_t result;
    if (on_ints(a.as_int(), b.as_int(), &result)) return Value::integer(result);
    return Value::real(on_reals(a.as_real(), b.as_real()));
  }
  if (a.is_null() || b.is_null()) return Value();
  return Value::real(on_reals(a.as_real(), b.as_real()));
}

Value divide(const Value& a, const Value& b) {
  if (a.is_null() || b.is_null()) return Value();
  double divisor = b.as_real();
  if (divisor == 0) return Value();
  return Value::real(a.as_real() / divisor);
}

Value modulo(const Value& a, const Value& b) {
  if (a.is_null() || b.is_null()) return Value();
  if (a.type() == Type::kInt && b.type() == Type::kInt) {
    int64_t divisor = b.as_int();
    if (divisor == 0 || divisor == -1) return divisor == 0 ? Value() : Value::integer(0);
    return Value::integer(a.as_int() % divisor);
  }
  return Value::real(std::fmod(a.as_real(), b.as_real()));
}

// Comparing with null gives null, which is not true.
template <class Decide>
inline Value comparison(const Value& a, const Value& b, Decide decide) {
  if (a.is_null() || b.is_null()) return Value();
  return Value::boolean(decide(compare(a, b)));
}

bool contains_value(const std::vector<Value>& set, const Value& value) {
  for (const Value& candidate : set)
    if (equal(candidate, value)) return true;
  return false;
}

}  // namespace

Value Program::run(const Row& row, Arena& arena) const {
  constexpr size_t kInlineStack = 24;
  Value inline_stack[kInlineStack];
  std::vector<Value> large_stack;
  Value* stack = inline_stack;
  if (max_depth_ > kInlineStack) {
    large_stack.resize(max_depth_);
    stack = large_stack.data();
  }

  Value* top = stack;  // one past the topmost value
  const Instruction* code = code_.data();
  for (const Instruction* at = code;; ++at) {
    switch (at->opcode) {
      case Opcode::kColumn: *top++ = row[at->index]; break;
      case Opcode::kConstant: *top++ = constants_[at->index]; break;
      case Opcode::kAdd:
        --top;
        top[-1] = arithmetic(top[-1], top[0], [](int64_t a, int64_t b, int64_t* r) { return !__builtin_add_overflow(a, b, r); },
                             [](double a, double b) { return a + b; });
        break;
      case Opcode::kSub:
        --top;
        top[-1] = arithmetic(top[-1], top[0], [](int64_t a, int64_t b, int64_t* r) { return !__builtin_sub_overflow(a, b, r); },
                             [](double a, double b) { return a - b; });
        break;
      case Opcode::kMul:
        --top;
        top[-1] = arithmetic(top[-1], top[0], [](int64_t a, int64_t b, int64_t* r) { return !__builtin_mul_overflow(a, b, r); },
                             [](double a, double b) { return a * b; });
        break;
      case Opcode::kDiv: --top; top[-1] = divide(top[-1], top[0]); break;
      case Opcode::kMod: --top; top[-1] = modulo(top[-1], top[0]); break;
      case Opcode::kNegate:
        if (top[-1].type() == Type::kInt) top[-1] = Value::integer(-top[-1].as_int());
        else if (!top[-1].is_null()) top[-1] = Value::real(-top[-1].as_real());
        break;
      case Opcode::kEq:
        --top;
        top[-1] = top[-1].is_null() || top[0].is_null() ? Value() : Value::boolean(equal(top[-1], top[0]));
        break;
      case Opcode::kNe:
        --top;
        top[-1] = top[-1].is_null() || top[0].is_null() ? Value() : Value::boolean(!equal(top[-1], top[0]));
        break;
      case Opcode::kLt: --top; top[-1] = comparison(top[-1], top[0], [](int order) { return order < 0; }); break;
      case Opcode::kLe: --top; top[-1] = comparison(top[-1], top[0], [](int order) { return order <= 0; }); break;
      case Opcode::kGt: --top; top[-1] = comparison(top[-1], top[0], [](int order) { return order > 0; }); break;
      case Opcode::kGe: --top; top[-1] = comparison(top[-1], top[0], [](int order) { return order >= 0; }); break;
      case Opcode::kNot: top[-1] = Value::boolean(!top[-1].is_true()); break;
      case Opcode::kTruth: top[-1] = Value::boolean(top[-1].is_true()); break;
      case Opcode::kJumpIfFalse:
        if (top[-1].is_true()) --top;
        else at = code + at->index - 1;
        break;
      case Opcode::kJumpIfTrue:
        if (!top[-1].is_true()) --top;
        else at = code + at->index - 1;
        break;
      case Opcode::kCall: {
        top -= at->count;
        Value result = builtins_[at->index](top, at->count, arena);
        *top++ = result;
        break;
      }
      case Opcode::kInSet: top[-1] = Value::boolean(contains_value(sets_[at->index], top[-1])); break;
      case Opcode::kReturn: return top[-1];
    }
  }
}

}  // namespace logquery
