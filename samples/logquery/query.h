#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "value.h"

namespace logquery {

enum class Operator : uint8_t { kOr, kAnd, kNot, kEq, kNe, kLt, kLe, kGt, kGe, kAdd, kSub, kMul, kDiv, kMod, kNegate };

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind : uint8_t { kConstant, kColumn, kOperator, kCall, kIn };
  Kind kind;
  Value constant;                        // kConstant; text lives in `name`
  std::string name;                      // kColumn, kCall
  Operator op = Operator::kEq;           // kOperator
  std::vector<ExpressionPtr> arguments;  // operands; kIn: the value, then the candidates
};

// An expression with the name its result gets.
struct Named {
  std::string name;
  ExpressionPtr expression;  // null for count()
  std::string aggregate;     // summarize only: count, sum, avg, …
};

struct SortKey {
  std::string column;
  bool descending = false;
};

struct Stage {
  enum class Kind : uint8_t { kWhere, kExtend, kProject, kSummarize, kJoin, kSort, kTake, kDistinct };
  Kind kind;
  ExpressionPtr condition;       // where
  std::vector<Named> outputs;    // extend, project, summarize
  std::vector<Named> groups;     // summarize … by, distinct
  std::vector<SortKey> keys;     // sort
  std::string table, column;     // join
  size_t count = 0;              // take
};

// from requests | where status >= 500 | summarize n = count(), avg(ms) by service | sort n desc | take 10
struct Query {
  std::string table;
  std::vector<Stage> stages;
};

// Throws QueryError with the place of the fault.
Query parse_query(std::string_view text);

}  // namespace logquery
