#pragma once

#include <utility>
#include <vector>

namespace logquery {

// Merge sort: stable, with insertion sort for short runs and no merge where two runs already are in order.
template <class T, class Before>
void sort_stable(std::vector<T>& items, Before before) {
  constexpr size_t kRun = 12;
  size_t size = items.size();
  for (size_t begin = 0; begin < size; begin += kRun) {
    size_t end = begin + kRun < size ? begin + kRun : size;
    for (size_t i = begin + 1; i < end; ++i) {
      if (!before(items[i], items[i - 1])) continue;
      T moving = std::move(items[i]);
      size_t at = i;
      do {
        items[at] = std::move(items[at - 1]);
        --at;
      } while (at > begin && before(moving, items[at - 1]));
      items[at] = std::move(moving);
    }
  }

  std::vector<T> left;
  for (size_t width = kRun; width < size; width *= 2) {
    for (size_t begin = 0; begin + width < size; begin += width * 2) {
      size_t middle = begin + width;
      size_t end = middle + width < size ? middle + width : size;
      if (!before(items[middle], items[middle - 1])) continue;
      left.assign(std::make_move_iterator(items.begin() + static_cast<std::ptrdiff_t>(begin)),
                  std::make_move_iterator(items.begin() + static_cast<std::ptrdiff_t>(middle)));
      size_t from_left = 0, from_right = middle, at = begin;
      while (from_left < left.size() && from_right < end) {
        if (before(items[from_right], left[from_left])) items[at++] = std::move(items[from_right++]);
        else items[at++] = std::move(left[from_left++]);
      }
      while (from_left < left.size()) items[at++] = std::move(left[from_left++]);
    }
  }
}

}  // namespace logquery
