// Zeroed memory of a table: its own, or a part of a pool that the table only looks into. Either is taken from the
// system as it is touched.
#pragma once

#include <cstddef>
#include <cstdint>

namespace headgate {

class TableMemory {
 public:
  // Its own. Throws std::bad_alloc.
  explicit TableMemory(size_t bytes);
  // `bytes` of a pool, zero or as an earlier table of this kind left them; its own where there are none.
  TableMemory(uint8_t* part, size_t bytes);
  ~TableMemory();
  TableMemory(const TableMemory&) = delete;
  TableMemory& operator=(const TableMemory&) = delete;

  uint8_t* data() const { return data_; }
  template <class T>
  T* at(size_t offset = 0) const {
    return reinterpret_cast<T*>(data_ + offset);
  }

 private:
  uint8_t* data_;
  size_t own_ = 0;  // bytes
};

// Has the kernel make the pages of [from, from + bytes) ready to be written, so that nobody waits for that later.
// Changes nothing in them.
void populate(const void* from, size_t bytes);

// Makes whole pages of a pool's mapping zero, and gives the memory back.
void wipe(void* from, size_t bytes);

}  // namespace headgate
