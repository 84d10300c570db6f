#pragma once

#include <string>
#include <vector>

namespace logquery {

// Log text of one batch, as services would write it. The same seed gives the same text.
struct Batch {
  std::string requests;  // JSON lines
  std::string events;    // logfmt
  std::string hosts;     // CSV
};

Batch make_batch(unsigned seed, size_t requests);

// The questions dashboards keep asking.
const std::vector<std::string>& dashboard_queries();

}  // namespace logquery
