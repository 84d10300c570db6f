#include "table.h"

#include <cmath>

namespace logquery {
namespace {

// A bit per row: set where the value is null.
class NullMap {
 public:
  bool operator[](size_t row) const {
    size_t word = row / 64;
    return word < bits_.size() && (bits_[word] >> (row % 64) & 1) != 0;
  }
  void set(size_t row) {
    if (row / 64 >= bits_.size()) bits_.resize(row / 64 + 1);
    bits_[row / 64] |= uint64_t{1} << (row % 64);
  }

 private:
  std::vector<uint64_t> bits_;
};

class BoolColumn final : public Column {
 public:
  Value get(size_t row) const override { return values_[row] == 2 ? Value() : Value::boolean(values_[row] != 0); }
  bool append(const Value& value) override {
    if (value.is_null()) values_.push_back(2);
    else if (value.type() == Type::kBool) values_.push_back(value.as_bool());
    else return false;
    return true;
  }
  Type type() const override { return Type::kBool; }
  size_t size() const override { return values_.size(); }

 private:
  std::vector<uint8_t> values_;
};

class IntColumn final : public Column {
 public:
  Value get(size_t row) const override { return nulls_[row] ? Value() : Value::integer(values_[row]); }
  bool append(const Value& value) override {
    if (value.is_null()) {
      nulls_.set(values_.size());
      values_.push_back(0);
    } else if (value.type() == Type::kInt) {
      values_.push_back(value.as_int());
    } else {
      return false;
    }
    return true;
  }
  Type type() const override { return Type::kInt; }
  size_t size() const override { return values_.size(); }

 private:
  std::vector<int64_t> values_;
  NullMap nulls_;
};

class RealColumn final : public Column {
 public:
  Value get(size_t row) const override { return std::isnan(values_[row]) ? Value() : Value::real(values_[row]); }
  bool append(const Value& value) override {
    if (value.is_null()) values_.push_back(std::nan(""));
    else if (value.is_number()) values_.push_back(value.as_real());
    else return false;
    return true;
  }
  Type type() const override { return Type::kReal; }
  size_t size() const override { return values_.size(); }

 private:
  std::vector<double> values_;
};

class TextColumn final : public Column {
 public:
  Value get(size_t row) const override {
    uint32_t code = codes_[row];
    return code == kNull ? Value() : Value::text(dictionary_[code]);
  }
  bool append(const Value& value) override {
    if (value.is_null()) {
      codes_.push_back(kNull);
    } else if (value.type() == Type::kText) {
      codes_.push_back(dictionary_.intern(value.as_text()));
    } else {
      std::string text;
      format(value, text);
      codes_.push_back(dictionary_.intern(text));
    }
    return true;
  }
  Type type() const override { return Type::kText; }
  size_t size() const override { return codes_.size(); }

 private:
  static constexpr uint32_t kNull = UINT32_MAX;
  std::vector<uint32_t> codes_;
  Dictionary dictionary_;
};

}  // namespace

std::unique_ptr<Column> make_column(Type type) {
  switch (type) {
    case Type::kBool: return std::make_unique<BoolColumn>();
    case Type::kInt: return std::make_unique<IntColumn>();
    case Type::kReal: return std::make_unique<RealColumn>();
    default: return std::make_unique<TextColumn>();
  }
}

int Table::find_column(std::string_view name) const {
  for (size_t i = 0; i < names_.size(); ++i)
    if (names_[i] == name) return static_cast<int>(i);
  return -1;
}

void Table::read(size_t row, Row& out) const {
  out.resize(columns_.size());
  Value* field = out.data();
  for (const auto& column : columns_) *field++ = column->get(row);
}

size_t Table::find_or_add(std::string_view name) {
  int found = find_column(name);
  if (found >= 0) return static_cast<size_t>(found);
  // Bool is the narrowest type: the first value that does not fit widens the column to its own.
  auto column = make_column(Type::kBool);
  for (size_t row = 0; row < rows_; ++row) column->append(Value());
  names_.emplace_back(name);
  columns_.push_back(std::move(column));
  return names_.size() - 1;
}

// Int widens to real, a column of nulls to anything, everything else to text.
void Table::widen(size_t index, const Value& value) {
  Column& old = *columns_[index];
  bool only_nulls = true;
  for (size_t row = 0; row < old.size() && only_nulls; ++row) only_nulls = old.get(row).is_null();
  bool numbers = old.type() == Type::kInt && value.is_number();
  auto wider = make_column(only_nulls ? value.type() : numbers ? Type::kReal : Type::kText);
  for (size_t row = 0; row < old.size(); ++row) wider->append(old.get(row));
  wider->append(value);
  columns_[index] = std::move(wider);
}

}  // namespace logquery
