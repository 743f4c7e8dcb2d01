#include "pipeline/convert.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>

#include "tables/flow_log.h"

namespace headgate {
namespace {

size_t padded(size_t bytes) {
  return (bytes + alignof(FlowRecord) - 1) / alignof(FlowRecord) * alignof(FlowRecord);
}

constexpr size_t kBefore = offsetof(FlowRecord, connection);  // in a record of flow logs
constexpr size_t kBehind = offsetof(FlowRecord, connection) + sizeof(Connection);
constexpr size_t kTail = sizeof(FlowRecord) - kBehind;

size_t flow_record_size(size_t record_bytes) {
  return record_bytes == sizeof(Connection) ? sizeof(FlowRecord) : padded(kBefore + record_bytes + kTail);
}

}  // namespace

const RecordLayout* find_layout(uint32_t number) {
  for (const RecordLayout& layout : former_layouts())
    if (layout.number == number) return &layout;
  return nullptr;
}

Conversion::Conversion(const RecordLayout& former, Way way, const StateShape& shape)
    : former_(former), way_(way), shape_(shape) {
  from_bytes_ = way == Way::kToCurrent ? former.bytes : sizeof(Connection);
  to_bytes_ = way == Way::kToCurrent ? sizeof(Connection) : former.bytes;
  from_ = ConnectionTable::image(shape.connections, from_bytes_);
  to_ = ConnectionTable::image(shape.connections, to_bytes_);
}

uint64_t Conversion::connection_bytes(const RecordLayout& layout, uint32_t connections) {
  return ConnectionTable::image(connections, layout.bytes).end;
}

uint64_t Conversion::flow_record_bytes(const RecordLayout& layout) {
  return FlowLog::kHeadBytes + FlowLog::kRecords * flow_record_size(layout.bytes);
}

void Conversion::copy_record(const uint8_t* from, uint8_t* to) const {
  if (way_ == Way::kToCurrent)
    former_.to_current(from, *reinterpret_cast<Connection*>(to));
  else
    former_.from_current(*reinterpret_cast<const Connection*>(from), to);
}

void Conversion::copy(const uint8_t* from, uint8_t* to) {
  const uint32_t places = std::min(ConnectionTable::high_water(from), shape_.connections) + 1;
  memcpy(to, from, from_.records);
  for (uint32_t place = 0; place < places; ++place)
    copy_record(from + from_.records + uint64_t{place} * from_bytes_, to + to_.records + uint64_t{place} * to_bytes_);
  for (uint32_t place = 0; place < places; ++place) copy_pair(place, from, to);
}

uint32_t Conversion::copy_marked(const uint8_t* from, uint8_t* to, uint8_t* marks) {
  const uint32_t places = std::min(ConnectionTable::high_water(from), shape_.connections) + 1;
  uint32_t copied = 0;
  for (uint32_t place = 0; place < places; ++place) {
    if (place % 8 == 0 && place + 8 <= places) {
      uint64_t eight;
      memcpy(&eight, marks + place, sizeof eight);
      if (!eight) {
        place += 7;
        continue;
      }
    }
    if (!marks[place]) continue;
    // First the mark goes: a change that comes behind it sets it again.
    std::atomic_ref(marks[place]).store(0, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    copy_record(from + from_.records + uint64_t{place} * from_bytes_, to + to_.records + uint64_t{place} * to_bytes_);
    copy_pair(place, from, to);
    ++copied;
  }
  return copied;
}

// Of an IPv6 flow alone: nobody else's has memory behind it.
void Conversion::copy_pair(uint32_t place, const uint8_t* from, uint8_t* to) const {
  const uint8_t* record = way_ == Way::kToCurrent ? to + to_.records + uint64_t{place} * to_bytes_
                                                  : from + from_.records + uint64_t{place} * from_bytes_;
  if (!reinterpret_cast<const Connection*>(record)->is_ipv6()) return;
  memcpy(to + to_.pairs + uint64_t{place} * ConnectionTable::kPairBytes,
         from + from_.pairs + uint64_t{place} * ConnectionTable::kPairBytes, ConnectionTable::kPairBytes);
}

uint32_t Conversion::finish(const uint8_t* from, uint8_t* to, uint8_t* marks) {
  memcpy(to, from, from_.records);  // the head and the buckets
  return copy_marked(from, to, marks);
}

void Conversion::copy_flow_records(const uint8_t* from, uint8_t* to) const {
  memcpy(to, from, FlowLog::kHeadBytes);
  const size_t from_size = flow_record_size(from_bytes_), to_size = flow_record_size(to_bytes_);
  FlowLog::each_waiting(from, [&](uint32_t place) {
    const uint8_t* source = from + FlowLog::kHeadBytes + place * from_size;
    uint8_t* target = to + FlowLog::kHeadBytes + place * to_size;
    memcpy(target, source, kBefore);
    copy_record(source + kBefore, target + kBefore);
    memcpy(target + kBefore + to_bytes_, source + kBefore + from_bytes_, kTail);
  });
}

}  // namespace headgate
