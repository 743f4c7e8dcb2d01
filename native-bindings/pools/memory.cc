#include "pools/memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace headgate {
namespace {

constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, Linux 5.14; missing from older headers

}  // namespace

TableMemory::TableMemory(size_t bytes) : TableMemory(nullptr, bytes) {}

TableMemory::TableMemory(uint8_t* part, size_t bytes) : data_(part), own_(part ? 0 : bytes) {
  if (part) return;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<uint8_t*>(memory);
}

TableMemory::~TableMemory() {
  if (own_) munmap(data_, own_);
}

void populate(const void* from, size_t bytes) {
  const uintptr_t first = reinterpret_cast<uintptr_t>(from) / 4096 * 4096;
  const uintptr_t end = reinterpret_cast<uintptr_t>(from) + bytes;
  // An older kernel refuses; then pages come one by one.
  if (bytes) madvise(reinterpret_cast<void*>(first), end - first, kPopulateWrite);
}

void wipe(void* from, size_t bytes) {
  if (madvise(from, bytes, MADV_REMOVE) != 0) memset(from, 0, bytes);
}

}  // namespace headgate
