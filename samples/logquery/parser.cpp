#include "lexer.h"
#include "query.h"

namespace logquery {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  Query query() {
    Query query;
    expect_word("from");
    query.table = name("table");
    while (lexer_.at_symbol("|")) {
      lexer_.next();
      query.stages.push_back(stage());
    }
    if (lexer_.kind() != Token::kEnd) lexer_.fail("expected '|' or the end");
    return query;
  }

 private:
  static constexpr int kMaxDepth = 64;

  Stage stage() {
    Stage stage{};
    std::string verb = name("stage");
    if (verb == "where") {
      stage.kind = Stage::Kind::kWhere;
      stage.condition = expression();
    } else if (verb == "extend" || verb == "project") {
      stage.kind = verb == "extend" ? Stage::Kind::kExtend : Stage::Kind::kProject;
      stage.outputs = named_list();
    } else if (verb == "summarize") {
      stage.kind = Stage::Kind::kSummarize;
      do stage.outputs.push_back(aggregate());
      while (take_symbol(","));
      if (take_word("by")) stage.groups = named_list();
    } else if (verb == "distinct") {
      stage.kind = Stage::Kind::kDistinct;
      stage.groups = named_list();
    } else if (verb == "join") {
      stage.kind = Stage::Kind::kJoin;
      stage.table = name("table");
      expect_word("on");
      stage.column = name("column");
    } else if (verb == "sort") {
      stage.kind = Stage::Kind::kSort;
      do {
        SortKey key{name("column")};
        if (take_word("desc")) key.descending = true;
        else take_word("asc");
        stage.keys.push_back(std::move(key));
      } while (take_symbol(","));
    } else if (verb == "take") {
      stage.kind = Stage::Kind::kTake;
      if (lexer_.kind() != Token::kNumber || lexer_.number().type() != Type::kInt) lexer_.fail("expected a number of rows");
      stage.count = static_cast<size_t>(lexer_.number().as_int());
      lexer_.next();
    } else {
      lexer_.fail("unknown stage '" + verb + "'");
    }
    return stage;
  }

  // [name =] expression, …; without a name a column keeps its own.
  std::vector<Named> named_list() {
    std::vector<Named> list;
    do {
      Named named;
      named.expression = expression();
      if (named.expression->kind == Expression::Kind::kColumn) {
        named.name = named.expression->name;
        if (take_symbol("=")) named.expression = expression();
      } else {
        named.name = "column" + std::to_string(list.size() + 1);
      }
      list.push_back(std::move(named));
    } while (take_symbol(","));
    return list;
  }

  // [name =] function([expression])
  Named aggregate() {
    Named named;
    named.aggregate = name("aggregate");
    if (take_symbol("=")) {
      named.name = std::move(named.aggregate);
      named.aggregate = name("aggregate");
    }
    expect_symbol("(");
    if (!lexer_.at_symbol(")")) named.expression = expression();
    expect_symbol(")");
    if (named.name.empty()) named.name = named.aggregate;
    return named;
  }

  ExpressionPtr expression() {
    if (++depth_ > kMaxDepth) lexer_.fail("expression nested too deeply");
    ExpressionPtr result = binary(0);
    --depth_;
    return result;
  }

  struct Level {
    std::string_view symbol;
    Operator op;
    int precedence;
  };

  const Level* operator_here() const {
    static constexpr Level kLevels[] = {
        {"or", Operator::kOr, 0},  {"and", Operator::kAnd, 1}, {"==", Operator::kEq, 2}, {"!=", Operator::kNe, 2},
        {"<=", Operator::kLe, 2},  {">=", Operator::kGe, 2},   {"<", Operator::kLt, 2},  {">", Operator::kGt, 2},
        {"+", Operator::kAdd, 3},  {"-", Operator::kSub, 3},   {"*", Operator::kMul, 4}, {"/", Operator::kDiv, 4},
        {"%", Operator::kMod, 4}};
    if (lexer_.kind() != Token::kSymbol && lexer_.kind() != Token::kName) return nullptr;
    for (const Level& level : kLevels)
      if (lexer_.text() == level.symbol) return &level;
    return nullptr;
  }

  // Precedence climbing: operators of at least this precedence, left to right.
  ExpressionPtr binary(int precedence) {
    ExpressionPtr left = unary();
    for (;;) {
      if (precedence <= 2 && lexer_.at_word("in")) {
        lexer_.next();
        left = candidates(std::move(left));
        continue;
      }
      const Level* level = operator_here();
      if (level == nullptr || level->precedence < precedence) return left;
      lexer_.next();
      ExpressionPtr right = binary(level->precedence + 1);
      left = make_operator(level->op, std::move(left), std::move(right));
    }
  }

  ExpressionPtr candidates(ExpressionPtr value) {
    auto in = std::make_unique<Expression>();
    in->kind = Expression::Kind::kIn;
    in->arguments.push_back(std::move(value));
    expect_symbol("(");
    do {
      in->arguments.push_back(expression());
      if (in->arguments.back()->kind != Expression::Kind::kConstant) lexer_.fail("'in' takes constants");
    } while (take_symbol(","));
    expect_symbol(")");
    return in;
  }

  ExpressionPtr unary() {
    if (++depth_ > kMaxDepth) lexer_.fail("expression nested too deeply");
    ExpressionPtr result;
    if (take_word("not")) result = make_operator(Operator::kNot, unary(), nullptr);
    else if (take_symbol("-")) result = make_operator(Operator::kNegate, unary(), nullptr);
    else result = primary();
    --depth_;
    return result;
  }

  ExpressionPtr primary() {
    auto result = std::make_unique<Expression>();
    switch (lexer_.kind()) {
      case Token::kNumber:
        result->kind = Expression::Kind::kConstant;
        result->constant = lexer_.number();
        lexer_.next();
        return result;
      case Token::kText:
        result->kind = Expression::Kind::kConstant;
        result->name = lexer_.text();
        result->constant = Value::text(result->name);
        lexer_.next();
        return result;
      case Token::kName: {
        std::string word(lexer_.text());
        lexer_.next();
        if (word == "true" || word == "false" || word == "null") {
          result->kind = Expression::Kind::kConstant;
          result->constant = word == "null" ? Value() : Value::boolean(word == "true");
          return result;
        }
        result->name = std::move(word);
        result->kind = Expression::Kind::kColumn;
        if (!take_symbol("(")) return result;
        result->kind = Expression::Kind::kCall;
        if (take_symbol(")")) return result;
        do result->arguments.push_back(expression());
        while (take_symbol(","));
        expect_symbol(")");
        return result;
      }
      default: break;
    }
    if (!take_symbol("(")) lexer_.fail("expected a value");
    result = expression();
    expect_symbol(")");
    return result;
  }

  static ExpressionPtr make_operator(Operator op, ExpressionPtr left, ExpressionPtr right) {
    auto result = std::make_unique<Expression>();
    result->kind = Expression::Kind::kOperator;
    result->op = op;
    result->arguments.push_back(std::move(left));
    if (right) result->arguments.push_back(std::move(right));
    return result;
  }

  bool take_symbol(std::string_view symbol) {
    if (!lexer_.at_symbol(symbol)) return false;
    lexer_.next();
    return true;
  }
  bool take_word(std::string_view word) {
    if (!lexer_.at_word(word)) return false;
    lexer_.next();
    return true;
  }
  void expect_symbol(std::string_view symbol) {
    if (!take_symbol(symbol)) lexer_.fail("expected '" + std::string(symbol) + "'");
  }
  void expect_word(std::string_view word) {
    if (!take_word(word)) lexer_.fail("expected '" + std::string(word) + "'");
  }
  std::string name(std::string_view what) {
    if (lexer_.kind() != Token::kName) lexer_.fail("expected the name of a " + std::string(what));
    std::string result(lexer_.text());
    lexer_.next();
    return result;
  }

  Lexer lexer_;
  int depth_ = 0;
};

}  // namespace

Query parse_query(std::string_view text) { return Parser(text).query(); }

}  // namespace logquery
