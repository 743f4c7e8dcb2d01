// The engine as the addon sees it: workers, the publisher, the ports that are open, and reports.
//
// One thread calls it (the process's main thread). Everything that changes what packets meet goes through the publisher
// and is taken over by all workers before the call returns.
#pragma once

#include "pipeline/simulate.h"
#include "pipeline/worker.h"
#include "tables/publisher.h"

namespace headgate {

struct EngineOptions {
  unsigned workers = 1;  // 0: no thread; run() does a round
  uint32_t connections = 1 << 20;
  size_t rules = Publisher::kMostSlots;  // slots of the lookup that all entries together may take
  std::string pool_directory;
  // Maps the pools of an engine that owns them, to go on in its place: see take_over(). Nothing runs until then.
  bool follow = false;
  uint64_t now = 0;  // nanoseconds, for an engine without threads: the time at the start
};

struct Failure {
  std::string workload;
  std::string detail;
};

struct HitReport {
  std::string entry;  // empty: the default action
  std::string workload;
  Direction direction;
  uint64_t flows, packets, bytes;
  double idle;  // seconds
};

struct WorkloadReport {
  std::string workload;
  WorkloadCounters counters;
  // Of connections that it began.
  uint32_t connections;
  uint32_t half_open;
  uint64_t begun;
  Limits limits;
};

struct PortalReport {
  std::string portal;
  const char* state;
  const char* fault;  // empty: none
  uint64_t probes, failures, changes;
  double since;  // seconds; negative: it has not changed yet
};

struct LegReport {
  std::string tag;
  int hop;  // from 1; 0: where a gateway's clients are
  std::string portal;
  uint32_t key;
  LegCounters counters;
};

// What an engine began with.
struct StartReport {
  State::Left left;
  uint32_t connections;             // that were there
  uint32_t forgotten;               // that made no sense after a crash
  std::vector<std::string> alarms;  // what was thrown away, and why
};

struct StatsReport {
  uint64_t generation;
  uint32_t connections;
  uint32_t connections_limit;
  std::array<std::array<uint64_t, 2>, kReasons> drops;
  std::vector<WorkloadReport> workloads;
  std::vector<HitReport> hits;
  std::vector<std::pair<uint64_t, uint64_t>> workers;  // batches, frames
  std::vector<PortalReport> portals;
  std::vector<LegReport> legs;
};

struct VerdictReport {
  std::string workload;
  std::string entry;  // empty: the default action
  Direction direction;
  Action action;
};

// What a connection's service tag is, and the portals that its frames go through now.
struct ServiceReport {
  std::string tag;  // empty: none
  std::vector<std::string> portals;
};

struct FlowReport {
  std::string tracker;
  FlowHeaders flow;
  Connection connection;
  std::vector<VerdictReport> verdicts;
  double age, idle, expires;  // seconds
  ServiceReport service = {};
};

struct LogReport {
  LogLine line;
  std::string entry;
  std::string workload;
  double age;  // seconds ago
};

// A frame as a workload would send it, with MACs to be filled in.
struct GivenFrame {
  std::string workload;
  std::vector<uint8_t> bytes;
  bool own_mac = false;  // the source is the MAC that the workload is known by
  std::string to_mac;    // the destination is this workload's
};

struct TraceRequest {
  std::vector<bpf_insn> program;
  std::string workload;              // empty: any
  std::optional<std::string> entry;  // its id; empty: the default action
  bool dropped = false;
  uint32_t bytes = 0;
};

struct FlowRecordReport {
  std::string tracker;
  FlowHeaders flow;
  Connection connection;  // `packets` and `bytes` since the record before
  std::vector<VerdictReport> verdicts;
  FlowEnd end;
  uint32_t start;  // milliseconds, as is connection.last_seen
};

struct FlowLogReport {
  std::vector<FlowRecordReport> records;
  uint64_t lost = 0;  // ends that found no room
  uint64_t now = 0;   // nanoseconds: what those milliseconds are to be compared with
};

class Engine {
 public:
  // Null with `error` set when the pool is owned by another engine or cannot be made.
  static std::unique_ptr<Engine> create(const EngineOptions& options, std::string& error);
  ~Engine();

  Refusal publish(const Delta& delta);

  // Joins the workload to the opened port. A trunk stays open for other workloads under its device's name.
  Refusal attach(const std::string& workload, std::unique_ptr<Port> port, const std::string& device, bool trunk);
  // Likewise for the far side of a segment and a tunnel.
  Refusal attach(const std::string& workload, std::unique_ptr<TunnelPort> port, const std::string& device);
  // Joins it to a trunk or tunnel that is open already; false if there is none.
  bool attach_to_shared(const std::string& workload, const std::string& device, bool tunnel, Refusal& refusal);
  // While true, what is attached waits: with false all of it is read from at once. So nobody asks for a workload whose
  // port is only about to be attached, as all do whose devices come up after a crash.
  void attach_together(bool more);
  // `remove`: a TAP device is deleted, where nobody else uses it.
  void detach(const std::string& workload, bool remove);
  Port* port_of(const std::string& workload) const;
  unsigned queues() const { return static_cast<unsigned>(workers_.size()); }

  std::vector<Failure> failures() const;
  // Has the path MTU of every remote asked for again: once a second or so.
  void ask_path_mtus();
  Publisher::InventoryView inventory() const { return publisher_.inventory(); }
  uint64_t generation() const { return publisher_.number(); }
  StatsReport stats();
  std::vector<FlowReport> flows(size_t limit, bool denied, uint64_t& total);
  std::vector<LogReport> logs();
  // What flow logs have to tell since the last call; the first one begins them. Of connections that last, a part is
  // reported each `active` milliseconds.
  FlowLogReport flow_log(uint32_t active);
  void end_flow_log();
  // What the published tables say of a new flow at a workload, without touching counters. False if there is none such.
  bool classify(const std::string& workload, Direction direction, const FlowHeaders& flow, Action& action,
                std::string& entry) const;

  // What the stages would do with the frames, one after the other (pipeline/simulate.h).
  Refusal simulate(const std::vector<GivenFrame>& frames, std::vector<std::unique_ptr<TraceRecord>>& records);
  // Has a frame go through the stages as if its workload had sent it.
  Refusal inject(const GivenFrame& frame, std::unique_ptr<TraceRecord>& record);
  // Traces frames as they come in; `id` names the trace from then on.
  Refusal start_trace(const TraceRequest& request, uint32_t& id);
  // False if there is no such trace. At most `most` records.
  bool take_trace(uint32_t id, size_t most, TakenTraces& taken);
  void stop_trace(uint32_t id);
  // For reports of records.
  std::string workload_name(uint32_t serial) const { return publisher_.workload_name(serial); }
  std::string entry_id(uint32_t serial) const { return publisher_.entry_id(serial); }
  std::string segment_of(const std::string& workload) const;
  std::string tag_name(uint16_t tag) const;
  std::string portal_name(uint16_t portal) const;
  std::string tracker_name(uint16_t tracker) const { return publisher_.tracker_name(tracker); }
  double age(uint32_t time) const { return (now_milliseconds() - time) / 1000.0; }

  // What was there at the start.
  const StartReport& start_report() const { return start_; }

  // Stops between two batches, with everything in the pools, and lets another engine own them; then take_over() goes on
  // as if nothing had been, whoever owned them meanwhile. Nanoseconds: when packets began to wait.
  uint64_t let_go();
  // Becomes the owner of the pools and runs. False with `error` set while another engine owns them.
  bool take_over(std::string& error);
  // For the engine that follows.
  Delta policy() const { return publisher_.policy(); }
  Publisher::Numbering numbering() const { return publisher_.numbering(); }
  // Holds the policy of the engine before, under the same numbers.
  Refusal follow(const Delta& policy, const Publisher::Numbering& numbering);
  StateShape shape() const { return shape_; }
  // Where the two have different layouts: marks what changes, while one of them makes a copy.
  void mark_changes(bool on);
  // Of one that follows: makes its copy. Of one that is followed: makes it for the other, whose layout is named; false
  // with `error` set when it is unknown. Returns the records that were converted.
  uint32_t convert();
  bool convert_for(uint32_t layout, uint32_t& records, std::string& error);
  // It stays in charge after all, or is in charge for good: nothing is left of an upgrade.
  void forget_upgrade();

  size_t run(uint64_t now);
  // Returns once every worker has been between two batches: proof that each still goes round.
  void await_workers();
  void stop();

 private:
  Refusal attach(const std::string& workload, std::shared_ptr<AttachedPort> attached);
  void ask_path_mtu(const Workload& workload);
  void end_attaching();
  Engine(const EngineOptions& options, std::unique_ptr<State> state, const StateShape& shape);
  void make_workers(const EngineOptions& options);
  void connect_workers();
  void begin();
  void spread();
  void forget_hits();
  uint64_t now() const { return threads_ ? clock_now() : last_run_; }
  uint32_t now_milliseconds() const { return static_cast<uint32_t>(now() / 1'000'000); }
  VerdictReport verdict_report(const Hit& hit, Action action) const;
  void begin_flow_log(Worker& worker);
  FlowRecordReport flow_record_report(const FlowRecord& record) const;
  std::vector<Hit> hits_of(Worker& worker) const;
  void report_services(StatsReport& report, const std::vector<LegCounters>& legs) const;
  ServiceReport service_report(const Connection& c) const;
  Refusal prepare(const GivenFrame& given, std::vector<uint8_t>& bytes, uint32_t& place) const;
  std::optional<Mac> mac_of(uint32_t place) const;
  Refusal start_trace(std::shared_ptr<const TraceFilter> filter, uint32_t& id);

  const StateShape shape_;
  std::unique_ptr<State> state_;
  Names names_;
  std::unique_ptr<Expectations> expectations_;
  StartReport start_{};
  std::vector<std::unique_ptr<Worker>> workers_;
  Publisher publisher_;
  std::shared_ptr<const Generation> current_;
  uint64_t secret_ = 0;
  uint32_t last_trace_ = 0;
  std::array<uint32_t, kMostTraces> traces_{};  // ids by place; 0: free
  size_t taken_from_ = 0;                       // the worker that was asked first
  bool threads_ = false;
  bool together_ = false;                 // attach_together
  bool attached_ = false;                 // since workers were told
  uint64_t last_run_ = 0;                 // of run(), for engines without threads
  uint32_t flow_log_walked_ = 0;          // milliseconds, when lasting connections were looked at
  std::vector<FlowRecord> flow_records_;  // room for what workers give
};

}  // namespace headgate
