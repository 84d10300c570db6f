#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "hash.h"

namespace logquery {

// What a user did wrong: a query that does not parse, a name that does not exist.
struct QueryError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Type : uint8_t { kNull, kBool, kInt, kReal, kText };

const char* type_name(Type type);

// One field of one row. Text is borrowed: from a table's dictionary, a query's arena or a constant.
class Value {
 public:
  Value() : int_(0) {}
  static Value boolean(bool b) { Value v(Type::kBool); v.int_ = b; return v; }
  static Value integer(int64_t i) { Value v(Type::kInt); v.int_ = i; return v; }
  static Value real(double d) { Value v(Type::kReal); v.real_ = d; return v; }
  static Value text(std::string_view s) {
    if (s.size() > UINT32_MAX) throw QueryError("text of more than 4 GiB");
    Value v(Type::kText);
    v.text_ = s.data();
    v.size_ = static_cast<uint32_t>(s.size());
    return v;
  }

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }
  bool is_number() const { return type_ == Type::kInt || type_ == Type::kReal; }

  bool as_bool() const { expect(Type::kBool); return int_ != 0; }
  int64_t as_int() const { expect(Type::kInt); return int_; }
  std::string_view as_text() const { expect(Type::kText); return {text_, size_}; }
  double as_real() const {
    if (type_ == Type::kReal) return real_;
    expect(Type::kInt);
    return static_cast<double>(int_);
  }

  // SQL's truth: null is not true.
  bool is_true() const {
    if (type_ == Type::kBool) return int_ != 0;
    if (type_ == Type::kNull) return false;
    return truth_of_other();
  }

  uint64_t hash() const {
    switch (type_) {
      case Type::kNull: return 0x51ed270b;
      case Type::kBool:
      case Type::kInt: return mix(static_cast<uint64_t>(int_));
      case Type::kReal: return hash_real();
      case Type::kText: return hash_bytes(text_, size_);
    }
    return 0;
  }

 private:
  explicit Value(Type type) : type_(type), int_(0) {}
  void expect(Type type) const {
    if (type_ != type) wrong_type(type);
  }
  [[noreturn]] void wrong_type(Type expected) const;
  bool truth_of_other() const;
  uint64_t hash_real() const;

  Type type_ = Type::kNull;
  uint32_t size_ = 0;
  union {
    int64_t int_;
    double real_;
    const char* text_;
  };
};

using Row = std::vector<Value>;

// Order for sorting and comparing: null before everything, numbers by value, text by bytes. Unlike types order by type.
int compare_unlike(const Value& a, const Value& b);

inline int compare_text(std::string_view a, std::string_view b) {
  size_t common = a.size() < b.size() ? a.size() : b.size();
  // The first byte decides most comparisons.
  if (common > 0 && a[0] != b[0]) return static_cast<unsigned char>(a[0]) < static_cast<unsigned char>(b[0]) ? -1 : 1;
  int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
  if (order != 0) return order < 0 ? -1 : 1;
  return a.size() == b.size() ? 0 : a.size() < b.size() ? -1 : 1;
}

inline int compare(const Value& a, const Value& b) {
  if (a.type() != b.type()) return compare_unlike(a, b);
  switch (a.type()) {
    case Type::kNull: return 0;
    case Type::kBool: return static_cast<int>(a.as_bool()) - static_cast<int>(b.as_bool());
    case Type::kInt: return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int();
    case Type::kReal: return a.as_real() < b.as_real() ? -1 : a.as_real() > b.as_real();
    case Type::kText: return compare_text(a.as_text(), b.as_text());
  }
  return 0;
}

inline bool equal(const Value& a, const Value& b) {
  if (a.type() == Type::kText && b.type() == Type::kText) {
    std::string_view x = a.as_text(), y = b.as_text();
    return x.size() == y.size() && (x.data() == y.data() || std::memcmp(x.data(), y.data(), x.size()) == 0);
  }
  return compare(a, b) == 0;
}

// Appends a value as results show it.
void format(const Value& value, std::string& out);

}  // namespace logquery
