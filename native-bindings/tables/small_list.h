// A list of numbers in 12 bytes: two stand in it, more in memory of their own. For the builder's books, of which there
// is one for each of very many sets, most of them short.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace headgate {

class SmallList {
 public:
  SmallList() = default;
  SmallList(const SmallList&) = delete;
  SmallList& operator=(const SmallList&) = delete;
  ~SmallList() {
    if (size_ > kInside) delete[] heap();
  }

  const uint32_t* begin() const { return size_ > kInside ? heap() + 1 : inside_; }
  const uint32_t* end() const { return begin() + size_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void push_back(uint32_t number) {
    if (size_ < kInside) {
      inside_[size_++] = number;
      return;
    }
    if (size_ == kInside || size_ == heap()[0]) grow();
    heap()[++size_] = number;
  }
  // Takes the number out, wherever it stands last; the order of the others changes.
  void erase(uint32_t number) {
    uint32_t* numbers = const_cast<uint32_t*>(begin());
    uint32_t i = size_;
    while (i > 0 && numbers[i - 1] != number) --i;
    if (i == 0) return;
    numbers[i - 1] = numbers[size_ - 1];
    if (size_-- != kInside + 1) return;
    uint32_t* left = numbers - 1;
    memcpy(inside_, numbers, sizeof inside_);
    delete[] left;
  }
  void clear() {
    if (size_ > kInside) delete[] heap();
    size_ = 0;
  }
  size_t heap_bytes() const { return size_ > kInside ? 4 * (1 + size_t{heap()[0]}) : 0; }

 private:
  static constexpr uint32_t kInside = 2;
  // How many have room, then the numbers. Where the list has it, its address stands in place of the two.
  uint32_t* heap() const {
    uint32_t* address;
    memcpy(&address, inside_, sizeof address);
    return address;
  }
  void grow() {
    const uint32_t capacity = size_ == kInside ? 2 * kInside + 1 : 2 * size_ + 1;
    uint32_t* larger = new uint32_t[capacity + 1];
    larger[0] = capacity;
    memcpy(larger + 1, begin(), 4 * size_t{size_});
    if (size_ > kInside) delete[] heap();
    memcpy(inside_, &larger, sizeof larger);
  }

  uint32_t size_ = 0;
  uint32_t inside_[kInside] = {};
};
static_assert(sizeof(SmallList) == 12);

}  // namespace headgate
