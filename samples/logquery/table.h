#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "arena.h"
#include "flat_table.h"
#include "value.h"

namespace logquery {

// Every distinct text of a column once; rows hold its number.
class Dictionary {
 public:
  uint32_t intern(std::string_view text) {
    Entry& entry = entries_.find_or_insert(
        hash_text(text), [&](const Entry& e) { return e.text == text; },
        [&] { return Entry{arena_.copy(text), static_cast<uint32_t>(entries_.size())}; });
    return entry.number;
  }
  std::string_view operator[](uint32_t number) const { return entries_.entries()[number].text; }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string_view text;
    uint32_t number;
  };
  Arena arena_;
  FlatTable<Entry> entries_;
};

// A column's storage. Rows are appended in order; a column that first appears late is null before.
class Column {
 public:
  virtual ~Column() = default;
  virtual Value get(size_t row) const = 0;
  // False when the value does not fit this storage: the table then widens the column.
  virtual bool append(const Value& value) = 0;
  virtual Type type() const = 0;
  virtual size_t size() const = 0;
};

std::unique_ptr<Column> make_column(Type type);

class Table {
 public:
  explicit Table(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  size_t rows() const { return rows_; }
  size_t column_count() const { return columns_.size(); }
  const std::string& column_name(size_t index) const { return names_[index]; }
  const Column& column(size_t index) const { return *columns_[index]; }
  int find_column(std::string_view name) const;

  // All fields of one row, in column order.
  void read(size_t row, Row& out) const;

  // Starts a row, sets fields of it in any order, ends it: fields not set are null.
  void begin_row() { guess_ = 0; }
  void set(std::string_view name, const Value& value) {
    size_t index = guess_;
    if (index >= names_.size() || names_[index] != name) index = find_or_add(name);
    guess_ = index + 1;
    if (columns_[index]->size() > rows_) return;  // a field named twice keeps its first value
    if (!columns_[index]->append(value)) widen(index, value);
  }
  void end_row() {
    ++rows_;
    for (auto& column : columns_)
      if (column->size() < rows_) column->append(Value());
  }

 private:
  size_t find_or_add(std::string_view name);
  void widen(size_t index, const Value& value);

  std::string name_;
  std::vector<std::string> names_;
  std::vector<std::unique_ptr<Column>> columns_;
  size_t rows_ = 0;
  size_t guess_ = 0;  // fields usually come in the same order
};

}  // namespace logquery
