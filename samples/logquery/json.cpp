#include "line_format.h"

namespace logquery {
namespace {

// One JSON object a line. Nested objects flatten to names with dots; arrays count their elements.
class JsonFormat final : public LineFormat {
 public:
  bool parse(std::string_view line, Table& table) override {
    at_ = line.data();
    end_ = at_ + line.size();
    // Checked before anything is stored, so that a broken line leaves no half row.
    if (!skip_whole_line()) return false;
    at_ = line.data();
    table.begin_row();
    prefix_.clear();
    skip_space();
    object(table, 0);
    table.end_row();
    return true;
  }

 private:
  static constexpr int kMaxDepth = 32;

  bool more() const { return at_ < end_; }

  void skip_space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }

  bool take(char c) {
    skip_space();
    if (at_ >= end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  bool word(std::string_view expected) {
    if (static_cast<size_t>(end_ - at_) < expected.size() || std::memcmp(at_, expected.data(), expected.size()) != 0) return false;
    at_ += expected.size();
    return true;
  }

  // The characters between quotes; without escapes a view of the line itself.
  bool string(std::string_view& out, std::string& scratch) {
    if (!take('"')) return false;
    const char* begin = at_;
    while (at_ < end_ && *at_ != '"' && *at_ != '\\') ++at_;
    if (at_ < end_ && *at_ == '"') {
      out = {begin, static_cast<size_t>(at_ - begin)};
      ++at_;
      return true;
    }
    scratch.assign(begin, at_);
    return escaped_string(out, scratch);
  }

  bool escaped_string(std::string_view& out, std::string& scratch) {
    while (at_ < end_) {
      char c = *at_++;
      if (c == '"') {
        out = scratch;
        return true;
      }
      if (c != '\\') {
        scratch += c;
        continue;
      }
      if (at_ >= end_) return false;
      switch (*at_++) {
        case 'n': scratch += '\n'; break;
        case 't': scratch += '\t'; break;
        case 'r': scratch += '\r'; break;
        case 'b': scratch += '\b'; break;
        case 'f': scratch += '\f'; break;
        case '"': scratch += '"'; break;
        case '\\': scratch += '\\'; break;
        case '/': scratch += '/'; break;
        case 'u': {
          uint32_t code;
          if (!hex4(code)) return false;
          append_utf8(code, scratch);
          break;
        }
        default: return false;
      }
    }
    return false;
  }

  bool hex4(uint32_t& code) {
    if (end_ - at_ < 4) return false;
    code = 0;
    for (int i = 0; i < 4; ++i) {
      char c = *at_++;
      uint32_t digit;
      if (c >= '0' && c <= '9') digit = static_cast<uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f') digit = static_cast<uint32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F') digit = static_cast<uint32_t>(c - 'A' + 10);
      else return false;
      code = code * 16 + digit;
    }
    return true;
  }

  static void append_utf8(uint32_t code, std::string& out) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xc0 | code >> 6);
      out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
      out += static_cast<char>(0xe0 | code >> 12);
      out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (code & 0x3f));
    }
  }

  // The value at the cursor, which is neither an object nor an array.
  bool scalar(Value& value) {
    skip_space();
    if (!more()) return false;
    switch (*at_) {
      case '"': {
        std::string_view text;
        if (!string(text, value_scratch_)) return false;
        value = Value::text(text);
        return true;
      }
      case 't': value = Value::boolean(true); return word("true");
      case 'f': value = Value::boolean(false); return word("false");
      case 'n': value = Value(); return word("null");
      default: {
        size_t used;
        value = parse_number({at_, static_cast<size_t>(end_ - at_)}, used);
        at_ += used;
        return used != 0;
      }
    }
  }

  void object(Table& table, int depth) {
    take('{');
    if (take('}')) return;
    do {
      std::string_view key;
      string(key, key_scratch_);
      take(':');
      skip_space();
      if (*at_ == '{') {
        size_t outer = prefix_.size();
        prefix_.append(key);
        prefix_ += '.';
        object(table, depth + 1);
        prefix_.resize(outer);
      } else {
        Value value;
        if (*at_ == '[') {
          int64_t elements = 0;
          skip_array(depth + 1, &elements);
          value = Value::integer(elements);
        } else {
          scalar(value);
        }
        if (prefix_.empty()) {
          table.set(key, value);
        } else {
          size_t outer = prefix_.size();
          prefix_.append(key);
          table.set(prefix_, value);
          prefix_.resize(outer);
        }
      }
    } while (take(','));
    take('}');
  }

  bool skip_whole_line() {
    skip_space();
    if (!more() || *at_ != '{' || !skip_object(0)) return false;
    skip_space();
    return !more();
  }

  bool skip_value(int depth) {
    skip_space();
    if (!more() || depth > kMaxDepth) return false;
    if (*at_ == '{') return skip_object(depth);
    if (*at_ == '[') return skip_array(depth, nullptr);
    Value ignored;
    return scalar(ignored);
  }

  bool skip_object(int depth) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      std::string_view key;
      if (!string(key, key_scratch_) || !take(':') || !skip_value(depth + 1)) return false;
    } while (take(','));
    return take('}');
  }

  bool skip_array(int depth, int64_t* elements) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!skip_value(depth + 1)) return false;
      if (elements != nullptr) ++*elements;
    } while (take(','));
    return take(']');
  }

  const char* at_ = nullptr;
  const char* end_ = nullptr;
  std::string prefix_;
  std::string key_scratch_;
  std::string value_scratch_;
};

}  // namespace

std::unique_ptr<LineFormat> make_json_format() { return std::make_unique<JsonFormat>(); }

}  // namespace logquery
