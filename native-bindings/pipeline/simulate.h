// Simulation: what the stages would do with a frame, without doing it.
//
// The very stages run, over tables of the simulation's own: counters, hits, connections, fragments and learned MACs are
// copies or begin empty, and what is queued for ports is never written. So nothing is sent, counted or remembered. A
// connection that a worker tracks is copied as a frame asks for it; frames of one simulation see what earlier ones
// began. What depends on rates (floods, answers) and on other fragments is judged as on a quiet machine.
#pragma once

#include "pipeline/trace.h"
#include "pipeline/worker.h"

namespace headgate {

class Simulation {
 public:
  // `workers`: whose connections count; each is asked between two batches.
  Simulation(const Generation& generation, std::span<Worker* const> workers, uint64_t secret, uint64_t now);

  // What becomes of a frame of the workload at `place`, which has a port.
  std::unique_ptr<TraceRecord> run(std::span<const uint8_t> bytes, uint32_t place);

 private:
  static constexpr uint32_t kConnections = 1024;
  void set_time(uint32_t now);
  void isolate(const PortView& port, uint32_t place);
  void import_connection(const Frame& frame);
  void take_over(const Connection& theirs, const FlowHeaders& flow, const Hit (&hits)[2], const Parent& parent);

  std::shared_ptr<Topology> topology_;  // copied, with MAC tables of its own where a frame came in
  std::vector<bool> isolated_;          // by segment
  Generation generation_;
  std::span<Worker* const> workers_;
  std::vector<uint8_t> connection_memory_;
  FramePool pool_;
  ConnectionTable connections_;
  Crossings crossings_;
  Helpers helpers_;
  HitTable hits_;
  LookupMemo memo_;
  FragmentTable fragments_;
  Counters counters_;
  LogRing log_;
  Outputs outputs_;
  Context ctx_;
};

}  // namespace headgate
