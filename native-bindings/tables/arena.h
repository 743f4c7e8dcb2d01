// Memory that grows without moving: an address range is reserved once and committed as it is needed, so packet threads
// may read what is there while the builder appends. Committed memory is touched in advance: no reader or edit waits for
// pages to be zeroed.
//
//   Reserved<T>   an array
//   Arena         small blocks of any size, named by offsets in units of 8 bytes. A block that readers may still see is
//                 retired, and comes back into use when settle() says that nobody reads it any more.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <vector>

namespace headgate {

class ReservedMemory {
 public:
  explicit ReservedMemory(size_t most_bytes) : most_(most_bytes) {
    void* memory = mmap(nullptr, most_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<uint8_t*>(memory);
  }
  ~ReservedMemory() { munmap(base_, most_); }
  ReservedMemory(const ReservedMemory&) = delete;
  ReservedMemory& operator=(const ReservedMemory&) = delete;

  uint8_t* base() const { return base_; }
  size_t committed() const { return committed_; }

  // Makes the first `bytes` usable; new ones are zero.
  void commit(size_t bytes) {
    if (bytes <= committed_) return;
    constexpr size_t kStep = 64 << 10;
    size_t wanted = std::max(bytes, committed_ + committed_ / 8);
    wanted = std::min(most_, (wanted + kStep - 1) / kStep * kStep);
    if (bytes > wanted || mprotect(base_ + committed_, wanted - committed_, PROT_READ | PROT_WRITE) != 0)
      throw std::bad_alloc();
    madvise(base_ + committed_, wanted - committed_, MADV_POPULATE_WRITE);  // since Linux 5.14; a hint
    committed_ = wanted;
  }

 private:
  size_t most_;
  size_t committed_ = 0;
  uint8_t* base_ = nullptr;
};

template <class T>
class Reserved {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit Reserved(size_t most) : memory_(most * sizeof(T)) {}
  T* data() const { return reinterpret_cast<T*>(memory_.base()); }
  T& operator[](size_t i) const { return data()[i]; }
  size_t size() const { return size_; }
  void grow(size_t size) {
    if (size <= size_) return;
    memory_.commit(size * sizeof(T));
    size_ = size;
  }
  size_t memory() const { return memory_.committed(); }

 private:
  ReservedMemory memory_;
  size_t size_ = 0;
};

class Arena {
 public:
  static constexpr size_t kUnit = 8;

  explicit Arena(size_t most_bytes = size_t{1} << 34) : memory_(most_bytes) { memory_.commit(kNull * kUnit); }

  uint8_t* base() const { return memory_.base(); }
  template <class T>
  T* at(uint32_t offset) const {
    return reinterpret_cast<T*>(memory_.base() + size_t{offset} * kUnit);
  }

  // A zeroed block. Offset 0 is never given out: what stands there is zero, which reads as an empty block of any kind.
  uint32_t allocate(size_t bytes) {
    uint32_t units = units_of(bytes);
    used_ += units;
    if (units < free_.size() && !free_[units].empty()) {
      uint32_t offset = free_[units].back();
      free_[units].pop_back();
      memset(at<uint8_t>(offset), 0, units * kUnit);
      return offset;
    }
    uint32_t offset = end_;
    memory_.commit((size_t{end_} + units) * kUnit);
    end_ += units;
    return offset;
  }
  void retire(uint32_t offset, size_t bytes) {
    if (offset) retired_.push_back({offset, units_of(bytes)});
  }
  void settle() {
    for (auto [offset, units] : retired_) {
      if (units >= free_.size()) free_.resize(units + 1);
      free_[units].push_back(offset);
      used_ -= units;
    }
    retired_.clear();
  }

  size_t used() const { return used_ * kUnit; }  // bytes in blocks
  size_t memory() const { return memory_.committed(); }

 private:
  struct Retired {
    uint32_t offset, units;
  };
  static uint32_t units_of(size_t bytes) { return static_cast<uint32_t>((bytes + kUnit - 1) / kUnit); }

  ReservedMemory memory_;
  static constexpr uint32_t kNull = 8;
  uint32_t end_ = kNull;
  size_t used_ = 0;
  std::vector<std::vector<uint32_t>> free_;  // by units
  std::vector<Retired> retired_;
};

}  // namespace headgate
