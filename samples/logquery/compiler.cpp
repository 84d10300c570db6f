#include <algorithm>

#include "program.h"

namespace logquery {

Program Program::compile(const Expression& expression, const Schema& schema) {
  Program program;
  program.emit(expression, schema);
  program.push(Opcode::kReturn);
  if (program.code_.size() == 2 && program.code_[0].opcode == Opcode::kColumn)
    program.plain_column_ = static_cast<int>(program.code_[0].index);
  return program;
}

uint32_t Program::add_constant(const Value& value) {
  constants_.push_back(value.type() == Type::kText ? Value::text(text_.copy(value.as_text())) : value);
  return static_cast<uint32_t>(constants_.size() - 1);
}

void Program::emit(const Expression& expression, const Schema& schema) {
  switch (expression.kind) {
    case Expression::Kind::kConstant:
      push(Opcode::kConstant, add_constant(expression.constant));
      max_depth_ = std::max(max_depth_, ++depth_);
      return;
    case Expression::Kind::kColumn: {
      auto found = std::find(schema.begin(), schema.end(), expression.name);
      if (found == schema.end()) throw QueryError("no column '" + expression.name + "'");
      push(Opcode::kColumn, static_cast<uint32_t>(found - schema.begin()));
      max_depth_ = std::max(max_depth_, ++depth_);
      return;
    }
    case Expression::Kind::kOperator: emit_operator(expression, schema); return;
    case Expression::Kind::kCall: {
      const BuiltinEntry* builtin = find_builtin(expression.name);
      if (builtin == nullptr) throw QueryError("no function '" + expression.name + "'");
      int given = static_cast<int>(expression.arguments.size());
      if (given < builtin->least || given > builtin->most)
        throw QueryError(std::string(builtin->name) + " does not take " + std::to_string(given) + " arguments");
      for (const auto& argument : expression.arguments) emit(*argument, schema);
      builtins_.push_back(builtin->function);
      push(Opcode::kCall, static_cast<uint32_t>(builtins_.size() - 1), static_cast<uint8_t>(given));
      depth_ = depth_ - static_cast<size_t>(given) + 1;
      max_depth_ = std::max(max_depth_, depth_);
      return;
    }
    case Expression::Kind::kIn: {
      emit(*expression.arguments[0], schema);
      std::vector<Value> set;
      for (size_t i = 1; i < expression.arguments.size(); ++i) set.push_back(constants_[add_constant(expression.arguments[i]->constant)]);
      sets_.push_back(std::move(set));
      push(Opcode::kInSet, static_cast<uint32_t>(sets_.size() - 1));
      return;
    }
  }
}

void Program::emit_operator(const Expression& expression, const Schema& schema) {
  static constexpr Opcode kOpcodes[] = {Opcode::kTruth, Opcode::kTruth, Opcode::kNot, Opcode::kEq,  Opcode::kNe,
                                        Opcode::kLt,    Opcode::kLe,    Opcode::kGt,  Opcode::kGe,  Opcode::kAdd,
                                        Opcode::kSub,   Opcode::kMul,   Opcode::kDiv, Opcode::kMod, Opcode::kNegate};
  if (expression.op == Operator::kAnd) return emit_jump_chain(expression, schema, Opcode::kJumpIfFalse);
  if (expression.op == Operator::kOr) return emit_jump_chain(expression, schema, Opcode::kJumpIfTrue);
  for (const auto& operand : expression.arguments) emit(*operand, schema);
  push(kOpcodes[static_cast<size_t>(expression.op)]);
  depth_ -= expression.arguments.size() - 1;
}

// a and b: the truth of a decides alone when it is false.
void Program::emit_jump_chain(const Expression& expression, const Schema& schema, Opcode jump) {
  emit(*expression.arguments[0], schema);
  push(Opcode::kTruth);
  size_t patch = code_.size();
  push(jump);
  --depth_;
  emit(*expression.arguments[1], schema);
  push(Opcode::kTruth);
  code_[patch].index = static_cast<uint32_t>(code_.size());
}

}  // namespace logquery
