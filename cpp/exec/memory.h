// An aligned block of bytes.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "contract.h"

namespace arenaut {

// A sanitizer watches the bounds of what the heap gave, and knows nothing of mappings.
#ifdef ARN_SANITIZED
constexpr bool kHeapOnly = true;
#else
constexpr bool kHeapOnly = false;
#endif

class Block {
 public:
  Block() = default;
  // 64-byte aligned, uninitialised. Large ones are mappings of their own, so that freeing one gives all of it back to
  // the system, whatever was allocated after it. Throws std::bad_alloc.
  explicit Block(int64_t bytes) : bytes_(bytes) {
    if (bytes < 0 || bytes > (int64_t{1} << 62)) throw std::bad_alloc();
    if (bytes >= kMapped) {
      data_ = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
      if (data_ != MAP_FAILED) return;
      data_ = nullptr;
      throw std::bad_alloc();
    }
    if (bytes > 0 && posix_memalign(&data_, ARN_ALIGN, static_cast<size_t>(bytes)) != 0) throw std::bad_alloc();
  }
  ~Block() {
    if (bytes_ >= kMapped && data_ != nullptr)
      munmap(data_, static_cast<size_t>(bytes_));
    else
      free(data_);
  }
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
  // Whether the memory came from the system by itself: zero until it is written.
  bool is_mapping() const { return bytes_ >= kMapped; }
  // In huge pages where the system offers them, as far as whole ones fit: for what is read again and again, since each
  // page asks for a translation. Memory counts by those then, once written. Throws std::bad_alloc.
  static Block in_huge_pages(int64_t bytes) {
#ifdef MADV_HUGEPAGE
    if (bytes >= std::max(kMapped, kHugePage)) {
      const size_t size = static_cast<size_t>(bytes + kPage - 1) / kPage * kPage;
      void* all = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
      if (all == MAP_FAILED) throw std::bad_alloc();
      char* start = static_cast<char*>(all);
      const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(all) % kHugePage) % kHugePage;
      if (before > 0) munmap(start, before);
      munmap(start + before + size, kHugePage - before);
      Block block;
      block.data_ = start + before;
      block.bytes_ = bytes;
      madvise(block.data_, size, MADV_HUGEPAGE);
      return block;
    }
#endif
    return Block(bytes);
  }

 private:
  static constexpr int64_t kHugePage = int64_t{2} << 20, kPage = 4096;
  static constexpr int64_t kMapped = kHeapOnly ? INT64_MAX : int64_t{1} << 18;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Where blocks for outputs come from.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  // At least so many bytes. Throws std::bad_alloc.
  virtual Block take(int64_t bytes) = 0;
};

// Memory of a mapping of its own, zero until written, in huge pages where the system offers them: for what lives as
// long as a model. Pages count only once they are written.
class Slab {
 public:
  // Page-aligned. Throws std::bad_alloc.
  explicit Slab(int64_t bytes) : bytes_(bytes) {
    if (bytes <= 0) return;
    if (bytes > (int64_t{1} << 62)) throw std::bad_alloc();
    if (kHeapOnly) {
      if (posix_memalign(&data_, kPage, static_cast<size_t>(bytes)) != 0) throw std::bad_alloc();
      memset(data_, 0, static_cast<size_t>(bytes));
      return;
    }
    data_ = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (data_ == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (bytes >= kHuge) madvise(data_, static_cast<size_t>(bytes), MADV_HUGEPAGE);
#endif
  }
  ~Slab() {
    if (kHeapOnly)
      free(data_);
    else if (bytes_ > 0)
      munmap(data_, static_cast<size_t>(bytes_));
  }
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  char* data() const { return static_cast<char*>(data_); }
  int64_t bytes() const { return bytes_; }

 private:
  static constexpr int64_t kHuge = int64_t{4} << 20;
  static constexpr size_t kPage = 4096;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace arenaut
