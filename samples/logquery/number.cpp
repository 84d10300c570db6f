#include <charconv>

#include "line_format.h"

namespace logquery {

Value parse_number(std::string_view text, size_t& used) {
  used = 0;
  size_t at = 0;
  bool negative = false;
  if (at < text.size() && text[at] == '-') {
    negative = true;
    ++at;
  }
  size_t digits = at;
  uint64_t whole = 0;
  bool overflow = false;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    uint64_t digit = static_cast<uint64_t>(text[at] - '0');
    if (whole > (INT64_MAX - digit) / 10) overflow = true;
    whole = whole * 10 + digit;
    ++at;
  }
  if (at == digits) return Value();

  bool fraction = at + 1 < text.size() && text[at] == '.' && text[at + 1] >= '0' && text[at + 1] <= '9';
  bool exponent = at < text.size() && (text[at] == 'e' || text[at] == 'E');
  if (!fraction && !exponent && !overflow) {
    used = at;
    int64_t value = static_cast<int64_t>(whole);
    return Value::integer(negative ? -value : value);
  }

  // Up to 15 digits are exact in a double; anything longer or with an exponent takes the slow road.
  if (fraction && !overflow) {
    static constexpr double kPowers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    size_t point = at++;
    uint64_t scaled = whole;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9' && at - point <= 9 && scaled < 100'000'000'000'000)
      scaled = scaled * 10 + static_cast<uint64_t>(text[at++] - '0');
    bool more = at < text.size() && ((text[at] >= '0' && text[at] <= '9') || text[at] == 'e' || text[at] == 'E');
    if (!more) {
      used = at;
      double value = static_cast<double>(scaled) / kPowers[at - point - 1];
      return Value::real(negative ? -value : value);
    }
  }
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return Value();
  used = static_cast<size_t>(end - text.data());
  return Value::real(value);
}

Value infer(std::string_view text) {
  if (text.empty() || text == "-") return Value();
  char first = text[0];
  if ((first >= '0' && first <= '9') || first == '-') {
    size_t used;
    Value number = parse_number(text, used);
    if (used == text.size()) return number;
  }
  if (text == "true") return Value::boolean(true);
  if (text == "false") return Value::boolean(false);
  return Value::text(text);
}

}  // namespace logquery
