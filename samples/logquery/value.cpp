#include "value.h"

#include <charconv>
#include <cmath>

namespace logquery {

const char* type_name(Type type) {
  switch (type) {
    case Type::kNull: return "null";
    case Type::kBool: return "bool";
    case Type::kInt: return "int";
    case Type::kReal: return "real";
    case Type::kText: return "text";
  }
  return "?";
}

void Value::wrong_type(Type expected) const {
  throw QueryError(std::string("expected ") + type_name(expected) + ", found " + type_name(type_));
}

bool Value::truth_of_other() const {
  switch (type_) {
    case Type::kInt: return int_ != 0;
    case Type::kReal: return real_ != 0 && !std::isnan(real_);
    case Type::kText: return size_ != 0;
    default: return false;
  }
}

// 2 and 2.0 are equal, so they must hash alike.
uint64_t Value::hash_real() const {
  if (real_ >= -9e18 && real_ <= 9e18 && real_ == std::floor(real_)) return mix(static_cast<uint64_t>(static_cast<int64_t>(real_)));
  uint64_t bits;
  std::memcpy(&bits, &real_, sizeof bits);
  return mix(bits);
}

int compare_unlike(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    double x = a.as_real(), y = b.as_real();
    return x < y ? -1 : x > y;
  }
  return static_cast<int>(a.type()) - static_cast<int>(b.type());
}

void format(const Value& value, std::string& out) {
  char buffer[40];
  switch (value.type()) {
    case Type::kNull: out += '-'; return;
    case Type::kBool: out += value.as_bool() ? "true" : "false"; return;
    case Type::kText: out += value.as_text(); return;
    case Type::kInt: {
      auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value.as_int());
      out.append(buffer, end);
      return;
    }
    case Type::kReal: {
      auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value.as_real(), std::chars_format::fixed, 3);
      if (error == std::errc()) out.append(buffer, end);
      else out += "inf";
      return;
    }
  }
}

}  // namespace logquery
