// A list of numbers in 16 bytes: two stand in it, more in memory of their own. For the builder's books, of which there
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
  SmallList(SmallList&& other) noexcept { swap(other); }
  SmallList& operator=(SmallList&& other) noexcept {
    SmallList taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~SmallList() {
    if (capacity_ > kInside) delete[] heap_;
  }

  const uint32_t* begin() const { return capacity_ > kInside ? heap_ : inside_; }
  const uint32_t* end() const { return begin() + size_; }
  size_t size() const { return size_; }

  void push_back(uint32_t number) {
    if (size_ == capacity_) grow();
    data()[size_++] = number;
  }
  // Takes the number out, wherever it stands last; the order of the others changes.
  void erase(uint32_t number) {
    uint32_t* numbers = data();
    for (uint32_t i = size_; i-- > 0;) {
      if (numbers[i] != number) continue;
      numbers[i] = numbers[--size_];
      break;
    }
    if (size_ == 0) *this = SmallList();
  }
  size_t heap_bytes() const { return capacity_ > kInside ? 4 * size_t{capacity_} : 0; }

 private:
  static constexpr uint32_t kInside = 2;
  uint32_t* data() { return capacity_ > kInside ? heap_ : inside_; }
  void grow() {
    uint32_t* larger = new uint32_t[2 * size_t{capacity_}];
    memcpy(larger, begin(), 4 * size_t{size_});
    if (capacity_ > kInside) delete[] heap_;
    heap_ = larger;
    capacity_ *= 2;
  }
  void swap(SmallList& other) {
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    uint32_t* mine;
    memcpy(&mine, inside_, sizeof mine);
    memcpy(inside_, other.inside_, sizeof mine);
    memcpy(other.inside_, &mine, sizeof mine);
  }

  uint32_t size_ = 0;
  uint32_t capacity_ = kInside;
  union {
    uint32_t inside_[kInside] = {};
    uint32_t* heap_;
  };
};
static_assert(sizeof(SmallList) == 16);

}  // namespace headgate
