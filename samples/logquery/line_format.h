#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "table.h"

namespace logquery {

// How one line of a log becomes one row. A line that does not parse adds no row and is counted.
class LineFormat {
 public:
  virtual ~LineFormat() = default;
  virtual bool parse(std::string_view line, Table& table) = 0;
};

std::unique_ptr<LineFormat> make_json_format();
std::unique_ptr<LineFormat> make_logfmt_format();
std::unique_ptr<LineFormat> make_csv_format();

struct IngestCounts {
  size_t rows = 0;
  size_t rejected = 0;
};

// Splits text into lines and gives each to the format.
IngestCounts ingest(std::string_view text, LineFormat& format, Table& table);

// The value that bare text stands for: a number, true, false, nothing (null), else the text itself.
Value infer(std::string_view text);

// Reads a JSON-style number at the start of `text`; `used` is 0 when there is none.
Value parse_number(std::string_view text, size_t& used);

}  // namespace logquery
