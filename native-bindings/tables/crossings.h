// Verdicts of connections that cross Headgate more than once under one tracker: a workload that routes sends a flow
// back through a second segment. Each crossing is judged by the workloads that it is between, and a record has room for
// one (tables/connections.h). So the record has the verdicts of the crossing that had the last frame, and those of the
// one before wait here: at each change they take each other's place, and nothing is looked up again.
//
// A flow that crosses more than twice is judged again at every crossing but the last two.
//
// One array by the record's place. Its memory is touched only where flows cross twice, and may stand in a pool.
#pragma once

#include "pools/memory.h"
#include "tables/connections.h"

namespace headgate {

class Crossings {
 public:
  static constexpr size_t bytes_for(uint32_t connections) { return (size_t{connections} + 1) * sizeof(Kept) * 2; }
  // For a table with room for so many connections. `memory`: bytes_for(connections), zeroed or as earlier ones left
  // them; null: its own.
  explicit Crossings(uint32_t connections, uint8_t* memory = nullptr)
      : memory_(memory, bytes_for(connections)), kept_(memory_.at<Kept>()) {}

  // Keeps the record's verdict of that side and gives back the one that was kept; without an epoch: there is none.
  Verdict exchange(const ConnectionTable& table, const Connection& c, int side);
  // Those that are kept for a record.
  Verdict kept(const ConnectionTable& table, const Connection& c, int side) const;

 private:
  struct Kept {
    uint64_t of;  // mark_of the connection
    Verdict verdict;
  };
  TableMemory memory_;
  Kept* kept_;  // two by place
};

}  // namespace headgate
