// A worker: one packet thread. It waits for its queue of every port, and takes what they have through the pipeline in
// batches, to completion. Between two batches it does what other threads ask of it, one thing at a time: taking over a
// generation, copying counters out. So nothing that it uses is locked, and no batch sees a change half done.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "pipeline/context.h"
#include "pipeline/pipeline.h"
#include "pipeline/prober.h"
#include "pipeline/state.h"
#include "pipeline/steering.h"
#include "pipeline/trace.h"
#include "tables/flow_log.h"

namespace headgate {

struct WorkerOptions {
  unsigned index = 0;
  const State* state = nullptr;          // where its tables are; it outlives the worker
  uint8_t* connection_memory = nullptr;  // where there is none: ConnectionTable::bytes_for(connections), zeroed
  uint32_t connections = 0;
  Limits limits = {};  // of a workload for which nothing else is said, at all workers together; 0: none
  uint64_t secret = 0;
  Expectations* expectations = nullptr;  // common to all workers; null: nothing is announced
  Pipeline pipeline = kPipeline;
};

class Worker {
 public:
  static constexpr size_t kBatch = 64;

  explicit Worker(const WorkerOptions& options);
  ~Worker();

  // Before start, when the state is owned: looks over what the owner before left. Returns the connections that were
  // forgotten because they made no sense.
  uint32_t begin(const ConnectionTable::Known& known);

  // Before start: how frames get to the other workers. Needed only where there are several.
  void join(Steering steering, std::vector<Worker*> peers);
  void start();
  void stop();
  // The first half of stop: the thread ends with its batch.
  void ask_to_stop();
  // With all threads stopped: takes frames through that other workers or first fragments had it hold. How many.
  size_t flush();
  // Marks the connections that change from now on, for a copy; in a task.
  void mark_changes(bool on);
  // With its thread stopped: puts into the state what does not stand there always.
  void save();

  // Has `task` run by this worker between two batches and waits for it; by the caller where there is no thread.
  void ask(const std::function<void(Worker&)>& task);
  // The same without waiting, for asking several workers at once; wait() then waits for all that was asked.
  void post(std::function<void(Worker&)> task);
  void wait();

  // One round over every port at the given time: nanoseconds of a clock that only goes forward. For workers without a
  // thread. Returns the frames received.
  size_t run(uint64_t now);

  // In tasks only.
  void adopt(std::shared_ptr<const Generation> next);
  std::shared_ptr<const Generation> generation() const { return generation_; }
  Context& context() { return ctx_; }
  const Counters& counters() const { return counters_; }
  Tracer& tracer() { return tracer_; }
  // Takes the frame through the stages as if the workload at `place`, which has a port, had sent it, for the trace
  // with that place and id.
  void inject(std::span<const uint8_t> bytes, uint32_t place, size_t trace, uint32_t id);
  // Flow logs begin, or end with null.
  void swap_flow_log(std::unique_ptr<FlowLog>& log) {
    flow_log_.swap(log);
    connections_.tell(flow_log_.get());
  }
  FlowLog* flow_log() { return flow_log_.get(); }
  // One over this worker's part of the state.
  std::unique_ptr<FlowLog> make_flow_log() const;

 private:
  void loop();
  int most_idle() const;
  void run_tasks();
  void wake();
  size_t run_port(uint16_t port);
  size_t receive_from(uint16_t port);
  size_t run_rings();
  size_t resume_frames(auto&& next);
  void drop_unbound(Frame& frame);
  void drop_held(Frame& frame, Reason reason);
  // `from`: the stage that the frames come to. `traced`: some of them have a record already.
  void run_batch(size_t from, size_t frames, bool traced);
  void end_round();
  bool find_workloads(Frame& frame) const;
  bool find_bridge(Frame& frame) const;
  void retain_fragments(const Generation& next);
  uint8_t* memory(Part part) const { return state_ ? state_->memory(part, index_).data() : nullptr; }
  void watch_ports();
  void set_time(uint64_t now) {
    ctx_.now = static_cast<uint32_t>(now / 1'000'000);
    ctx_.seconds = ctx_.now / 1000;
  }

  unsigned index_;
  const State* state_;
  Limits limits_;
  Pipeline pipeline_;
  FramePool pool_;
  ConnectionTable connections_;
  Crossings crossings_;
  Helpers helpers_;
  HitTable hits_;
  LookupMemo memo_;
  FragmentTable fragments_;
  Counters counters_;
  LogRing log_;
  std::unique_ptr<FlowLog> flow_log_;
  Outputs outputs_;
  Tracer tracer_;
  Prober prober_;  // the first worker's asks
  Steering steering_;
  std::vector<Worker*> peers_;
  std::shared_ptr<const Generation> generation_;
  Context ctx_;

  Frame* frames_[kBatch];     // the batch's own
  Frame* working_[kBatch];    // what is left of it on the way
  std::vector<int> watched_;  // descriptor by port; -1: none
  std::vector<std::shared_ptr<AttachedPort>> watched_ports_;

  bool fragments_restored_ = false;
  bool ageing_behind_ = false;  // connections are due that the last round did not look at

  int epoll_ = -1;
  int wake_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> has_tasks_{false};
  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<std::function<void(Worker&)>> tasks_;
  bool working_on_tasks_ = false;
};

uint64_t clock_now();

}  // namespace headgate
