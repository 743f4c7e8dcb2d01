// What flow logs are made of, on its way from a worker to whoever writes them: a record for each connection that has
// ended, and, of one that lasts, now and then a part, so that its counts do not come hours late.
//
// It is a fixed ring that the packet path fills without waiting. When it is full, ends are lost and counted; a part
// that finds no room is reported with the next one. It is emptied by the worker's own thread between two batches, so no
// atomics.
//
// How much of a connection has been reported stands in an array of marks beside the table, whose memory is touched only
// for connections that outlive the active timeout. Marks and records stand in memory that an engine which follows
// another goes on with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tables/connections.h"
#include "tables/hits.h"

namespace headgate {

// Why a record was made; the numbers are those of IPFIX (IANA, flowEndReason).
enum class FlowEnd : uint8_t { kIdle = 1, kActive = 2, kEnd = 3, kForced = 4, kNoRoom = 5 };

const char* name_of(FlowEnd end);

// Why a connection ends that nobody takes the place of: a policy had ended it, its ends had, or it is past its time.
FlowEnd end_of(const Connection& connection);

struct FlowRecord {
  // Who judged one side, by numbers that are never used twice.
  struct Judge {
    uint32_t entry;     // 0: the default action
    uint32_t workload;  // 0: nobody judged
    Direction direction;
  };
  FlowHeaders flow;
  Connection connection;  // `packets` and `bytes` since the record before
  Judge judges[2];
  uint32_t start;  // milliseconds; never behind the last frame
  FlowEnd end;
};

class FlowLog {
 public:
  static constexpr uint32_t kRecords = 16384;
  static constexpr size_t kHeadBytes = 64;
  static constexpr size_t kRecordBytes = kHeadBytes + kRecords * sizeof(FlowRecord);
  static constexpr size_t mark_bytes(uint32_t connections) { return (size_t{connections} + 1) * sizeof(Mark); }

  // For a table with room for so many connections. `records`: kRecordBytes, `marks`: mark_bytes(connections), zeroed or
  // as an earlier log left them; null: its own.
  FlowLog(const HitTable& hits, uint32_t connections, uint8_t* records = nullptr, uint8_t* marks = nullptr);
  FlowLog(const FlowLog&) = delete;
  // Begins with nothing, where it does not go on with what an engine before had begun.
  void begin();
  void end() { head_->begun = 0; }
  bool begun() const { return head_->begun; }
  FlowLog& operator=(const FlowLog&) = delete;

  // A connection of the table ends.
  void ended(const ConnectionTable& table, const Connection& c, FlowEnd why);

  // Reports those of the next `count` places that had frames and whose last report, or else beginning, is `after`
  // milliseconds ago. False: that were the last ones, and the next call begins anew.
  bool report_lasting(const ConnectionTable& table, uint32_t count, uint32_t now, uint32_t after);

  // Adds its oldest records, at most `most`, to the list; whether there are more.
  bool take(std::vector<FlowRecord>& records, uint32_t most);
  // Calls visit(place) for the records that wait, in memory that a log left.
  template <class Visit>
  static void each_waiting(const uint8_t* memory, Visit visit) {
    const Head& head = *reinterpret_cast<const Head*>(memory);
    for (uint32_t i = 0; i < std::min(head.count, kRecords); ++i) visit((head.first + i) % kRecords);
  }

  // Ends that found no room since the last call.
  uint64_t take_lost();

 private:
  struct Mark {
    uint64_t packets[2];
    uint64_t bytes[2];
    uint32_t time;  // of the last report; 0: none yet
  };
  struct Head {
    uint32_t begun;
    uint32_t first;  // of the records that wait
    uint32_t count;  // that wait
    uint32_t next;   // place that is looked at next
    uint64_t lost;
  };
  bool push(const ConnectionTable& table, const Connection& c, const Mark& mark, FlowEnd end);

  const HitTable& hits_;
  uint32_t connections_;
  TableMemory record_memory_, mark_memory_;
  Head* head_;
  FlowRecord* records_;  // a ring
  Mark* marks_;          // by place
};

}  // namespace headgate
