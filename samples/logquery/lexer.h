#pragma once

#include <cctype>
#include <string>
#include <string_view>

#include "line_format.h"
#include "value.h"

namespace logquery {

enum class Token : uint8_t { kEnd, kName, kNumber, kText, kSymbol };

// One token ahead of the parser.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) { next(); }

  Token kind() const { return kind_; }
  std::string_view text() const { return token_; }  // without quotes for text
  const Value& number() const { return number_; }

  bool at_symbol(std::string_view symbol) const { return kind_ == Token::kSymbol && token_ == symbol; }
  bool at_word(std::string_view word) const { return kind_ == Token::kName && token_ == word; }

  void next() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    start_ = at_;
    if (at_ >= text_.size()) {
      kind_ = Token::kEnd;
      token_ = {};
      return;
    }
    char c = text_[at_];
    if (std::isalpha(static_cast<unsigned char>(c)) || c == '_') {
      while (at_ < text_.size() && name_character(text_[at_])) ++at_;
      take(Token::kName);
    } else if (c >= '0' && c <= '9') {
      size_t used;
      number_ = parse_number(text_.substr(at_), used);
      at_ += used;
      take(Token::kNumber);
    } else if (c == '\'') {
      size_t close = text_.find('\'', at_ + 1);
      if (close == std::string_view::npos) fail("text without a closing quote");
      at_ = close + 1;
      take(Token::kText);
      token_ = token_.substr(1, token_.size() - 2);
    } else {
      std::string_view two = text_.substr(at_, 2);
      at_ += two == "==" || two == "!=" || two == "<=" || two == ">=" ? 2 : 1;
      take(Token::kSymbol);
    }
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw QueryError(what + " at column " + std::to_string(start_ + 1) + " of: " + std::string(text_));
  }

 private:
  static bool name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.'; }

  void take(Token kind) {
    kind_ = kind;
    token_ = text_.substr(start_, at_ - start_);
  }

  std::string_view text_;
  std::string_view token_;
  size_t at_ = 0;
  size_t start_ = 0;
  Token kind_ = Token::kEnd;
  Value number_;
};

}  // namespace logquery
