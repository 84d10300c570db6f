#pragma once

#include <memory>
#include <string_view>

#include "value.h"

namespace logquery {

// One aggregate of one group.
class Aggregate {
 public:
  virtual ~Aggregate() = default;
  virtual void add(const Value& value) = 0;
  virtual Value result() const = 0;
};

// Makes the aggregate of this name: count, sum, avg, min, max, distinct, p50, p95, p99, count_if. Throws QueryError for others.
std::unique_ptr<Aggregate> make_aggregate(std::string_view name);

}  // namespace logquery
