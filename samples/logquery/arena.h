#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace logquery {

// Memory that is given back all at once: text a query computes, names, dictionary entries.
class Arena {
 public:
  char* allocate(size_t size) {
    if (size > static_cast<size_t>(end_ - next_)) grow(size);
    char* result = next_;
    next_ += size;
    return result;
  }

  std::string_view copy(std::string_view text) {
    char* target = allocate(text.size());
    if (!text.empty()) std::memcpy(target, text.data(), text.size());
    return {target, text.size()};
  }

 private:
  static constexpr size_t kBlock = 64 * 1024;

  void grow(size_t size) {
    size_t bytes = size > kBlock ? size : kBlock;
    blocks_.push_back(std::make_unique<char[]>(bytes));
    next_ = blocks_.back().get();
    end_ = next_ + bytes;
  }

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  char* end_ = nullptr;
};

}  // namespace logquery
