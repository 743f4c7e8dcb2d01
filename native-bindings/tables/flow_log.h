// What flow logs are made of, on its way from a worker to whoever writes them: a record for each connection that has
// ended, and, of one that lasts, now and then a part, so that its counts do not come hours late.
//
// It is a fixed ring that the packet path fills without waiting. When it is full, ends are lost and counted; a part
// that finds no room is reported with the next one. It is emptied by the worker's own thread between two batches, so no
// atomics.
//
// How much of a connection has been reported stands in an array of marks beside the table, whose memory is touched only
// for connections that outlive the active timeout.
#pragma once

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
  static constexpr size_t kRecords = 16384;

  // For a table with room for so many connections.
  FlowLog(const HitTable& hits, uint32_t connections);
  ~FlowLog();
  FlowLog(const FlowLog&) = delete;
  FlowLog& operator=(const FlowLog&) = delete;

  // A connection of the table ends.
  void ended(const ConnectionTable& table, const Connection& c, FlowEnd why);

  // Reports those of the next `count` places that had frames and whose last report, or else beginning, is `after`
  // milliseconds ago. False: that were the last ones, and the next call begins anew.
  bool report_lasting(const ConnectionTable& table, uint32_t count, uint32_t now, uint32_t after);

  // Gives its records in exchange for an empty list that has room for kRecords.
  void swap(std::vector<FlowRecord>& records) { records_.swap(records); }
  // Ends that found no room since the last call.
  uint64_t take_lost();

 private:
  struct Mark {
    uint64_t packets[2];
    uint64_t bytes[2];
    uint32_t time;  // of the last report; 0: none yet
  };
  bool push(const ConnectionTable& table, const Connection& c, const Mark& mark, FlowEnd end);
  size_t mark_bytes() const { return (size_t{connections_} + 1) * sizeof(Mark); }

  const HitTable& hits_;
  uint32_t connections_;
  uint32_t next_ = 0;  // place that is looked at next
  uint64_t lost_ = 0;
  Mark* marks_;  // by place
  std::vector<FlowRecord> records_;
};

}  // namespace headgate
