// Traces: what became of a frame, stage by stage.
//
// A traced frame carries a record and goes through the very stages that every frame goes through, but one by one, and
// between two of them the record notes what the last one found. Frames that nobody asked about go on as ever: a batch
// with none is one run, any other is cut into runs around its traced frames, so order is kept. While no trace is on, a
// batch costs one comparison.
//
// Which frames are traced: those that a trace's filter picks as they come in (a classic BPF program and the workload),
// and one that is sent for the purpose. What only shows on the way (the rule, whether it was dropped) is asked when the
// record is done. Done records wait in their trace's list, as many as there is room for, until they are taken.
//
// A frame that is handed to another worker takes its record along (pipeline/steering.h).
#pragma once

#include <pcap/pcap.h>

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "pipeline/context.h"
#include "pipeline/pipeline.h"

namespace headgate {

constexpr size_t kMostTraces = 8;      // at a time
constexpr size_t kMostReceivers = 64;  // of a flooded frame that a record lists

// Workloads are named by serial here, 0 where there is none: records outlive generations.
struct TraceVerdict {
  uint32_t workload;
  uint32_t entry;  // serial; 0: the default action
  Direction direction;
  Action action;
  bool is_new;  // reached for this frame
};

struct TraceOutput {
  uint32_t workload;
  std::string device;
  bool answer;  // made here, for the sender or for both ends
};

struct TraceDrop {
  uint32_t workload;
  Reason reason;
  Direction direction;
  const char* stage;
};

// That it went to a portal, or came from one, under a service tag. Places are of the generation.
struct TraceService {
  uint16_t tag;
  uint8_t hop;  // kEntryHop: where a gateway's clients are
  uint16_t portal;
  uint32_t key;
  bool sent;
};

struct TraceConnection {
  uint16_t tracker;
  bool is_new;
  bool reply;
  const char *before, *after;  // states
  FlowHeaders flow;
};

struct TraceRecord {
  std::array<uint32_t, kMostTraces> traces{};  // by place: the trace that it is for, 0: none
  uint32_t time = 0;                           // milliseconds
  const char* stage = "";                      // the last that it came to
  std::string device;
  uint32_t workload = 0;
  uint32_t destination = 0;
  bool flooded = false;
  bool parsed = false;
  uint32_t length = 0;
  Mac source_mac{}, destination_mac{};
  uint8_t tags = 0;  // VLAN tags that it came with
  Headers headers;   // once parsed
  std::optional<TraceConnection> connection;
  std::vector<TraceVerdict> verdicts;
  std::vector<TraceService> services;
  std::vector<TraceOutput> outputs;
  std::vector<TraceDrop> drops;
  std::vector<uint8_t> bytes;  // the first of the frame, as it came
};

struct TraceFilter {
  std::vector<bpf_insn> program{};  // empty: every frame
  uint32_t workload = 0;            // serial; 0: any
  uint32_t place = 0;               // of the workload
  std::optional<uint32_t> entry{};  // serial of the entry that decided; 0: the default action
  bool dropped = false;             // only frames with a drop
  uint32_t bytes = 0;               // of each frame that are kept
};

// Whether a program is safe to run over any frame.
bool is_valid(const std::vector<bpf_insn>& program);

struct TakenTraces {
  std::vector<std::unique_ptr<TraceRecord>> records;
  uint64_t lost = 0;
};

// The traces of one worker.
class Tracer {
 public:
  // In the worker's tasks. `place` below kMostTraces; `id` is not 0.
  void start(size_t place, uint32_t id, std::shared_ptr<const TraceFilter> filter);
  void stop(size_t place);
  // At most so many records, and as many as have `most_bytes` of frames, but one always.
  TakenTraces take(size_t place, size_t most, size_t most_bytes = SIZE_MAX);

  bool active() const { return on_ != 0; }

  // Runs the batch through the stages from `from` on, those not traced by `run`.
  void run(std::span<Frame*> frames, Context& ctx, size_t from, void (*run)(std::span<Frame*>, Context&));
  // Takes the records off their frames, once the outputs are written.
  void finish(std::span<Frame* const> frames);

 private:
  static constexpr size_t kMostRecords = 16'384;
  static constexpr size_t kMostBytes = 64 << 20;
  struct Trace {
    uint32_t id = 0;  // 0: none
    std::shared_ptr<const TraceFilter> filter;
    std::vector<std::unique_ptr<TraceRecord>> records;
    size_t bytes = 0;
    uint64_t lost = 0;
  };
  void pick(Frame& frame, const Context& ctx) const;
  void keep(Trace& trace, const TraceRecord& record);

  uint32_t on_ = 0;  // a bit for each place that has a trace
  std::array<Trace, kMostTraces> traces_;
};

// A record for a frame that comes in, with its first bytes.
std::unique_ptr<TraceRecord> make_record(const Frame& frame, const Context& ctx, uint32_t bytes);
// Notes in the records of frames that are queued for ports where they go.
void note_outputs(const Context& ctx);
// Runs a frame that has a record through stages [from, to), noting what they find. True when all let it go on.
bool run_traced(Frame& frame, Context& ctx, size_t from, size_t to);

}  // namespace headgate
