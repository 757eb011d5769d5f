// An aligned block of bytes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include "contract.h"

namespace arenaut {

class Block {
 public:
  Block() = default;
  // 64-byte aligned, uninitialised. Throws std::bad_alloc.
  explicit Block(int64_t bytes) : bytes_(bytes) {
    if (bytes < 0 || bytes > (int64_t{1} << 62)) throw std::bad_alloc();
    if (bytes > 0 && posix_memalign(&data_, ARN_ALIGN, static_cast<size_t>(bytes + ARN_ALIGN - 1) & ~size_t{63}) != 0)
      throw std::bad_alloc();
  }
  ~Block() { free(data_); }
  Block(Block&& o) noexcept : data_(std::exchange(o.data_, nullptr)), bytes_(std::exchange(o.bytes_, 0)) {}
  Block& operator=(Block&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(bytes_, o.bytes_);
    return *this;
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  char* data() const { return static_cast<char*>(data_); }
  int64_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace arenaut
