#include "line_format.h"

namespace logquery {
namespace {

// name=value pairs, values quoted where they hold spaces: level=info msg="cache miss" ms=3
class LogfmtFormat final : public LineFormat {
 public:
  bool parse(std::string_view line, Table& table) override {
    fields_.clear();
    size_t at = 0;
    while (at < line.size()) {
      if (line[at] == ' ') {
        ++at;
        continue;
      }
      size_t equals = at;
      while (equals < line.size() && line[equals] != '=' && line[equals] != ' ') ++equals;
      std::string_view name = line.substr(at, equals - at);
      if (name.empty()) return false;
      if (equals >= line.size() || line[equals] == ' ') {
        fields_.push_back({name, Value::boolean(true)});  // a bare word is a flag
        at = equals;
        continue;
      }
      at = equals + 1;
      if (at < line.size() && line[at] == '"') {
        size_t close = line.find('"', at + 1);
        if (close == std::string_view::npos) return false;
        fields_.push_back({name, Value::text(line.substr(at + 1, close - at - 1))});
        at = close + 1;
      } else {
        size_t end = at;
        while (end < line.size() && line[end] != ' ') ++end;
        fields_.push_back({name, infer(line.substr(at, end - at))});
        at = end;
      }
    }
    if (fields_.empty()) return false;
    table.begin_row();
    for (const Field& field : fields_) table.set(field.name, field.value);
    table.end_row();
    return true;
  }

 private:
  struct Field {
    std::string_view name;
    Value value;
  };
  std::vector<Field> fields_;
};

// Comma-separated values; the first line names the columns. Quotes double inside quotes.
class CsvFormat final : public LineFormat {
 public:
  bool parse(std::string_view line, Table& table) override {
    if (!split(line)) return false;
    if (names_.empty()) {
      names_ = cells_;
      return true;
    }
    if (cells_.size() != names_.size()) return false;
    table.begin_row();
    for (size_t i = 0; i < cells_.size(); ++i) table.set(names_[i], infer(cells_[i]));
    table.end_row();
    return true;
  }

 private:
  bool split(std::string_view line) {
    cells_.clear();
    size_t at = 0;
    for (;;) {
      std::string cell;
      if (at < line.size() && line[at] == '"') {
        ++at;
        for (;;) {
          if (at >= line.size()) return false;
          if (line[at] == '"') {
            if (at + 1 >= line.size() || line[at + 1] != '"') break;
            ++at;
          }
          cell += line[at++];
        }
        ++at;
      } else {
        while (at < line.size() && line[at] != ',') cell += line[at++];
      }
      cells_.push_back(std::move(cell));
      if (at >= line.size()) return true;
      if (line[at] != ',') return false;
      ++at;
    }
  }

  std::vector<std::string> names_;
  std::vector<std::string> cells_;
};

}  // namespace

std::unique_ptr<LineFormat> make_logfmt_format() { return std::make_unique<LogfmtFormat>(); }
std::unique_ptr<LineFormat> make_csv_format() { return std::make_unique<CsvFormat>(); }

IngestCounts ingest(std::string_view text, LineFormat& format, Table& table) {
  IngestCounts counts;
  size_t before = table.rows();
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    if (!format.parse(line, table)) ++counts.rejected;
  }
  counts.rows = table.rows() - before;
  return counts;
}

}  // namespace logquery
