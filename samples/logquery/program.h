#pragma once

#include <string>
#include <vector>

#include "arena.h"
#include "query.h"
#include "value.h"

namespace logquery {

using Schema = std::vector<std::string>;

enum class Opcode : uint8_t {
  kColumn, kConstant,
  kAdd, kSub, kMul, kDiv, kMod, kNegate,
  kEq, kNe, kLt, kLe, kGt, kGe, kNot,
  kJumpIfFalse, kJumpIfTrue,  // keep the value when they jump, drop it when they fall through
  kTruth, kCall, kInSet, kReturn,
};

struct Instruction {
  Opcode opcode;
  uint8_t count = 0;   // arguments of a call
  uint32_t index = 0;  // column, constant, function, set or jump target
};

// A builtin: arguments in, value out; text it makes goes to the arena.
using Builtin = Value (*)(const Value* arguments, size_t count, Arena& arena);

struct BuiltinEntry {
  const char* name;
  Builtin function;
  int least, most;  // arguments
};

const BuiltinEntry* find_builtin(std::string_view name);

// An expression compiled to code for a stack machine.
class Program {
 public:
  // Throws QueryError for names that the schema or the builtins do not have.
  static Program compile(const Expression& expression, const Schema& schema);

  Value run(const Row& row, Arena& arena) const;

  // The column this program only loads, or -1: lets callers skip the machine.
  int plain_column() const { return plain_column_; }

 private:
  void emit(const Expression& expression, const Schema& schema);
  void emit_operator(const Expression& expression, const Schema& schema);
  void emit_jump_chain(const Expression& expression, const Schema& schema, Opcode jump);
  void push(Opcode opcode, uint32_t index = 0, uint8_t count = 0) { code_.push_back({opcode, count, index}); }
  uint32_t add_constant(const Value& value);

  std::vector<Instruction> code_;
  std::vector<Value> constants_;
  std::vector<std::vector<Value>> sets_;
  std::vector<Builtin> builtins_;
  Arena text_;  // owns the constants' text
  size_t depth_ = 0;
  size_t max_depth_ = 0;
  int plain_column_ = -1;
};

}  // namespace logquery
