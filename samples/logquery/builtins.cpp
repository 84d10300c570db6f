#include <cmath>

#include "line_format.h"
#include "program.h"

namespace logquery {
namespace {

// Walks a pattern with * (anything) and ? (one character) without backtracking further than the last star.
bool matches_glob(std::string_view text, std::string_view pattern) {
  size_t t = 0, p = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] == text[t] && pattern[p] != '*'))) {
      ++t;
      ++p;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// A plain search: patterns are short and texts are lines.
size_t find_text(std::string_view text, std::string_view pattern) {
  if (pattern.empty()) return 0;
  if (pattern.size() > text.size()) return std::string_view::npos;
  char first = pattern[0];
  size_t last = text.size() - pattern.size();
  for (size_t i = 0; i <= last; ++i) {
    if (text[i] != first) continue;
    size_t same = 1;
    while (same < pattern.size() && text[i + same] == pattern[same]) ++same;
    if (same == pattern.size()) return i;
  }
  return std::string_view::npos;
}

char lower_character(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

Value builtin_contains(const Value* a, size_t, Arena&) {
  if (a[0].is_null()) return Value();
  return Value::boolean(find_text(a[0].as_text(), a[1].as_text()) != std::string_view::npos);
}

Value builtin_starts_with(const Value* a, size_t, Arena&) {
  if (a[0].is_null()) return Value();
  std::string_view text = a[0].as_text(), start = a[1].as_text();
  return Value::boolean(text.size() >= start.size() && std::memcmp(text.data(), start.data(), start.size()) == 0);
}

Value builtin_like(const Value* a, size_t, Arena&) {
  if (a[0].is_null()) return Value();
  return Value::boolean(matches_glob(a[0].as_text(), a[1].as_text()));
}

Value builtin_lower(const Value* a, size_t, Arena& arena) {
  if (a[0].is_null()) return Value();
  std::string_view text = a[0].as_text();
  size_t upper = 0;
  while (upper < text.size() && lower_character(text[upper]) == text[upper]) ++upper;
  if (upper == text.size()) return a[0];
  char* result = arena.allocate(text.size());
  for (size_t i = 0; i < text.size(); ++i) result[i] = lower_character(text[i]);
  return Value::text({result, text.size()});
}

Value builtin_length(const Value* a, size_t, Arena&) {
  return a[0].is_null() ? Value() : Value::integer(static_cast<int64_t>(a[0].as_text().size()));
}

// segment(path, n): the nth part between slashes.
Value builtin_segment(const Value* a, size_t, Arena&) {
  if (a[0].is_null()) return Value();
  std::string_view text = a[0].as_text();
  int64_t wanted = a[1].as_int();
  size_t at = 0;
  while (at < text.size()) {
    if (text[at] == '/') {
      ++at;
      continue;
    }
    size_t end = at;
    while (end < text.size() && text[end] != '/' && text[end] != '?') ++end;
    if (wanted-- == 0) return Value::text(text.substr(at, end - at));
    if (end < text.size() && text[end] == '?') break;
    at = end;
  }
  return Value();
}

Value builtin_concat(const Value* a, size_t count, Arena& arena) {
  std::string result;
  for (size_t i = 0; i < count; ++i) format(a[i], result);
  return Value::text(arena.copy(result));
}

// bucket(value, width): the start of the interval that holds the value.
Value builtin_bucket(const Value* a, size_t, Arena&) {
  if (a[0].is_null()) return Value();
  if (a[0].type() == Type::kInt && a[1].type() == Type::kInt) {
    int64_t width = a[1].as_int(), value = a[0].as_int();
    if (width <= 0) throw QueryError("bucket needs a positive width");
    int64_t rest = value % width;
    return Value::integer(value - (rest < 0 ? rest + width : rest));
  }
  double width = a[1].as_real();
  if (!(width > 0)) throw QueryError("bucket needs a positive width");
  return Value::real(std::floor(a[0].as_real() / width) * width);
}

Value builtin_if(const Value* a, size_t, Arena&) { return a[0].is_true() ? a[1] : a[2]; }

Value builtin_coalesce(const Value* a, size_t count, Arena&) {
  for (size_t i = 0; i < count; ++i)
    if (!a[i].is_null()) return a[i];
  return Value();
}

Value builtin_number(const Value* a, size_t, Arena&) {
  if (a[0].type() != Type::kText) return a[0];
  size_t used;
  Value number = parse_number(a[0].as_text(), used);
  return used == a[0].as_text().size() ? number : Value();
}

Value builtin_is_null(const Value* a, size_t, Arena&) { return Value::boolean(a[0].is_null()); }

Value builtin_abs(const Value* a, size_t, Arena&) {
  if (a[0].type() == Type::kInt) return Value::integer(a[0].as_int() < 0 ? -a[0].as_int() : a[0].as_int());
  return a[0].is_null() ? Value() : Value::real(std::fabs(a[0].as_real()));
}

constexpr BuiltinEntry kBuiltins[] = {
    {"contains", builtin_contains, 2, 2}, {"starts_with", builtin_starts_with, 2, 2}, {"like", builtin_like, 2, 2},
    {"lower", builtin_lower, 1, 1},       {"length", builtin_length, 1, 1},           {"segment", builtin_segment, 2, 2},
    {"concat", builtin_concat, 1, 8},     {"bucket", builtin_bucket, 2, 2},           {"if", builtin_if, 3, 3},
    {"coalesce", builtin_coalesce, 1, 8}, {"number", builtin_number, 1, 1},           {"is_null", builtin_is_null, 1, 1},
    {"abs", builtin_abs, 1, 1},
};

}  // namespace

const BuiltinEntry* find_builtin(std::string_view name) {
  for (const BuiltinEntry& entry : kBuiltins)
    if (name == entry.name) return &entry;
  return nullptr;
}

}  // namespace logquery
