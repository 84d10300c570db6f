#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace logquery {

inline uint64_t mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0x9e3779b97f4a7c15u;
  x ^= x >> 29;
  x *= 0xd6e8feb86659fd93u;
  return x ^ (x >> 32);
}

inline uint64_t combine(uint64_t seed, uint64_t next) { return mix(seed * 31 + next); }

inline uint64_t hash_bytes(const char* data, size_t size) {
  uint64_t hash = 0x243f6a8885a308d3u ^ size;
  while (size >= 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
    hash = mix(hash ^ word);
    data += 8;
    size -= 8;
  }
  if (size >= 4) {
    uint32_t word;
    std::memcpy(&word, data, 4);
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    data += 4;
    size -= 4;
  }
  for (; size > 0; --size) hash = (hash ^ static_cast<unsigned char>(*data++)) * 0x100000001b3u;
  return mix(hash);
}

inline uint64_t hash_text(std::string_view text) { return hash_bytes(text.data(), text.size()); }

}  // namespace logquery
