// State in another layout: a copy of the connections, and of the records of flow logs, which hold connections.
//
// A version knows its own layout of a record and former ones, by number, and converts each of them forwards and back
// (former_layouts). Places stay the same, so lists, chains and all that names a record by its place holds in the copy.
//
// The copy is made while the owner works on: first of everything, then again and again of what was marked as changed
// meanwhile. What is left when the owner stops is little.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pipeline/state.h"
#include "tables/connections.h"

namespace headgate {

struct RecordLayout {
  uint32_t number;
  size_t bytes;
  void (*to_current)(const uint8_t* from, Connection& to);
  void (*from_current)(const Connection& from, uint8_t* to);
};

// Those that this version reads and writes beside its own.
std::span<const RecordLayout> former_layouts();
const RecordLayout* find_layout(uint32_t number);  // null: unknown

class Conversion {
 public:
  // Between the current layout and a former one, of either part that has such records; for each worker from one piece
  // of memory to another.
  enum class Way : uint8_t { kToCurrent, kFromCurrent };
  Conversion(const RecordLayout& former, Way way, const StateShape& shape);

  // Bytes of a part in that layout, of each worker.
  static uint64_t connection_bytes(const RecordLayout& layout, uint32_t connections);
  static uint64_t flow_record_bytes(const RecordLayout& layout);

  // Everything of a worker's connections.
  void copy(const uint8_t* from, uint8_t* to);
  // What is marked, and takes the marks away. Returns how many records.
  uint32_t copy_marked(const uint8_t* from, uint8_t* to, uint8_t* marks);
  // What is marked, and what stands beside the records: when nothing writes any more.
  uint32_t finish(const uint8_t* from, uint8_t* to, uint8_t* marks);
  void copy_flow_records(const uint8_t* from, uint8_t* to) const;

 private:
  void copy_record(const uint8_t* from, uint8_t* to) const;
  void copy_pair(uint32_t place, const uint8_t* from, uint8_t* to) const;

  const RecordLayout& former_;
  Way way_;
  StateShape shape_;
  ConnectionTable::Image from_, to_;
  size_t from_bytes_, to_bytes_;  // of a record
};

}  // namespace headgate
