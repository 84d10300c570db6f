#pragma once

#include <functional>
#include <memory>

#include "program.h"
#include "query.h"
#include "table.h"

namespace logquery {

// A stage of a running query: pulls rows from the stage before it.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // Fills `row`; false at the end. Text in it lives as long as the tables and the query's arena.
  virtual bool next(Row& row) = 0;
  const Schema& schema() const { return schema_; }

 protected:
  Schema schema_;
};

using RowSourcePtr = std::unique_ptr<RowSource>;
using TableLookup = std::function<const Table&(const std::string&)>;

// Strings the stages together. Throws QueryError for names that do not exist. `arena` must outlive the rows.
RowSourcePtr plan(const Query& query, const TableLookup& tables, Arena& arena);

}  // namespace logquery
