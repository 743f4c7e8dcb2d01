#include "pipeline/worker.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <system_error>
#include <utility>

#include "pipeline/slices.h"
#include "pipeline/transmit.h"

namespace headgate {
namespace {

constexpr uint32_t kWakeEvent = UINT32_MAX;
constexpr uint32_t kIdleMilliseconds = 1000;  // connections age at least that often
constexpr uint32_t kAgedPerRound = 64;
constexpr size_t kSpareFrames = 192;  // answers and segments
// Per port and batch: each frame once, and answers to it in both directions.
constexpr size_t kOutputsPerPort = 3 * Worker::kBatch;

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

}  // namespace

uint64_t clock_now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

Worker::Worker(const WorkerOptions& options)
    : index_(options.index),
      state_(options.state),
      limits_(options.limits),
      pipeline_(options.pipeline),
      pool_(kBatch + kSpareFrames),
      connections_(state_ ? memory(Part::kConnections) : options.connection_memory, options.connections,
                   memory(Part::kAccounts)),
      crossings_(options.connections, memory(Part::kCrossings)),
      helpers_(options.connections, memory(Part::kHelpers)),
      hits_(HitTable::kMost, memory(Part::kHits)),
      fragments_(options.secret, [this](Frame& frame, Reason reason) { drop_held(frame, reason); }),
      counters_(memory(Part::kCounters)),
      log_(memory(Part::kLogLines)),
      generation_(std::make_shared<Generation>()),
      ctx_{generation_.get(),
           connections_,
           crossings_,
           helpers_,
           hits_,
           memo_,
           fragments_,
           counters_,
           log_,
           outputs_,
           pool_,
           options.expectations,
           nullptr,
           counters_.totals.answers,
           options.secret} {
  connections_.set_secret(options.secret);
  connections_.populate();
  for (Frame*& frame : frames_) frame = pool_.acquire();
  epoll_ = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  wake_ = check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = kWakeEvent;
  check(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event), "epoll_ctl");
}

Worker::~Worker() {
  stop();
  // Frames that will not go on give their records back.
  fragments_.retain(0, [](uint32_t) { return false; });
  for (auto& ring : steering_.in)
    while (ring && ring->pop(*frames_[0])) drop_unbound(*frames_[0]);
  close(epoll_);
  close(wake_);
}

uint32_t Worker::begin(const ConnectionTable::Known& known) {
  uint32_t forgotten = 0;
  counters_.begin();
  if (state_->left() == State::Left::kInDisorder) {
    hits_.recover();
    ConnectionTable::Known all = known;
    all.hit_owner = [this](uint32_t place) { return hits_.owner(place); };
    forgotten = connections_.recover(all);
  }
  if (auto log = make_flow_log(); log->begun()) {
    log->begin();
    swap_flow_log(log);
  }
  return forgotten;
}

std::unique_ptr<FlowLog> Worker::make_flow_log() const {
  return std::make_unique<FlowLog>(hits_, connections_.limit(), memory(Part::kFlowRecords), memory(Part::kFlowMarks));
}

void Worker::join(Steering steering, std::vector<Worker*> peers) {
  steering_ = std::move(steering);
  peers_ = std::move(peers);
  ctx_.steering = steering_.workers > 1 ? &steering_ : nullptr;
}

void Worker::start() {
  stopping_ = false;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), ("headgate-w" + std::to_string(index_)).c_str());
    take_short_slices();
    loop();
  });
}

void Worker::ask_to_stop() {
  stopping_ = true;
  wake();
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  ask_to_stop();
  thread_.join();
}

size_t Worker::flush() {
  return run_rings() + resume_frames([this](Frame& frame) { return fragments_.release(frame); });
}

void Worker::mark_changes(bool on) {
  connections_.mark_changes(on ? memory(Part::kMarks) : nullptr);
}

void Worker::save() {
  fragments_.save(memory(Part::kFragments));
}

void Worker::wake() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t n = write(wake_, &one, sizeof one);  // full means that it is awake
}

void Worker::post(std::function<void(Worker&)> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    has_tasks_ = true;
  }
  if (thread_.joinable())
    wake();
  else
    run_tasks();
}

void Worker::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return tasks_.empty() && !working_on_tasks_; });
}

void Worker::ask(const std::function<void(Worker&)>& task) {
  post(task);
  wait();
}

void Worker::run_tasks() {
  std::vector<std::function<void(Worker&)>> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
    has_tasks_ = false;
    working_on_tasks_ = true;
  }
  for (auto& task : tasks) task(*this);
  {
    std::lock_guard lock(mutex_);
    working_on_tasks_ = false;
  }
  done_.notify_all();
}

void Worker::loop() {
  epoll_event events[64];
  while (!stopping_.load(std::memory_order_relaxed)) {
    int ready = epoll_wait(epoll_, events, 64, ageing_behind_ ? 0 : most_idle());
    set_time(clock_now());
    if (has_tasks_.load(std::memory_order_relaxed)) {
      run_tasks();
      continue;  // the ports may be others now
    }
    for (int i = 0; i < ready; ++i) {
      if (events[i].data.u32 != kWakeEvent) {
        run_port(static_cast<uint16_t>(events[i].data.u32));
        continue;
      }
      uint64_t count;
      [[maybe_unused]] ssize_t n = read(wake_, &count, sizeof count);
    }
    run_rings();
    end_round();
  }
  run_tasks();
}

// The time of the last round counts: it was just now.
int Worker::most_idle() const {
  return index_ == 0 ? static_cast<int>(prober_.wait(ctx_, kIdleMilliseconds)) : kIdleMilliseconds;
}

size_t Worker::run(uint64_t now) {
  set_time(now);
  size_t frames = 0;
  for (size_t port = 0; port < watched_ports_.size(); ++port)
    if (watched_ports_[port]) frames += run_port(static_cast<uint16_t>(port));
  frames += run_rings();
  end_round();
  return frames;
}

// Ages what is kept, lets go what was held, and wakes the workers that got frames.
void Worker::end_round() {
  fragments_.expire(ctx_.now);
  resume_frames([this](Frame& frame) { return fragments_.release(frame); });
  if (index_ == 0 && prober_.run(ctx_)) transmit_outputs(ctx_, index_);
  ageing_behind_ = connections_.expire(ctx_.now, generation_->profiles, kAgedPerRound);
  for (unsigned i = 0; i < peers_.size(); ++i)
    if (steering_.wake[i]) {
      steering_.wake[i] = false;
      peers_[i]->wake();
    }
}

size_t Worker::run_port(uint16_t port) {
  size_t count = receive_from(port);
  if (const TunnelPort* tunnel = generation_->ports[port].tunnel)
    while (tunnel->has_more(index_)) count += receive_from(port);
  return count;
}

size_t Worker::receive_from(uint16_t port) {
  const PortView& view = generation_->ports[port];
  const uint32_t workload = view.workload;
  const Workload* sender = view.sender;
  const Segment* segment = view.segment;
  size_t count = view.attached->port->receive(index_, frames_);
  if (!count) return 0;
  for (size_t i = 0; i < count; ++i) {
    Frame& frame = *frames_[i];
    frame.port = port;
    frame.source_workload = workload;
    frame.source = sender;
    frame.segment = segment;
    frame.bridge = nullptr;
    frame.joined = false;
    frame.passage = {};
  }
  counters_.totals.frames += count;
  run_batch(0, count, false);
  return count;
}

size_t Worker::run_rings() {
  size_t total = 0;
  for (auto& ring : steering_.in)
    if (ring) total += resume_frames([&](Frame& frame) { return ring->pop(frame); });
  counters_.totals.frames += total;
  return total;
}

// Frames that other workers handed over or that were held, which `next` swaps in. Workloads may have left meanwhile.
size_t Worker::resume_frames(auto&& next) {
  size_t total = 0;
  for (size_t count = kBatch; count == kBatch; total += count) {
    bool traced = false;
    count = 0;
    while (count < kBatch && next(*frames_[count])) {
      traced |= frames_[count]->trace != nullptr;
      if (find_workloads(*frames_[count]))
        ++count;
      else
        drop_unbound(*frames_[count]);
    }
    if (count) run_batch(kResumeStage, count, traced);
  }
  return total;
}

// Sets the frame's workloads to those of this worker's generation; false when they are not there.
bool Worker::find_workloads(Frame& frame) const {
  const auto& workloads = generation_->workloads;
  auto find = [&](uint32_t place) { return place < workloads.size() ? workloads[place].get() : nullptr; };
  frame.source = find(frame.source_workload);
  frame.destination = find(frame.destination_workload);
  if (!frame.source) return false;
  if (frame.bridge) return frame.destination && find_bridge(frame);
  frame.segment = &ctx_.segment_of(*frame.source);
  frame.tracker = frame.segment->tracker;
  return frame.destination || frame.destination_workload == kManyOutputs;
}

// The same for the bridge by which it crosses an edge pair.
bool Worker::find_bridge(Frame& frame) const {
  if (frame.source->port == kNoPort) return false;
  const PortView& port = generation_->ports[frame.source->port];
  frame.bridge = port.edge ? port.find_bridge(frame.headers) : nullptr;
  if (!frame.bridge) return false;
  frame.segment = port.segment;
  frame.tracker = frame.bridge->tracker;
  return true;
}

void Worker::drop_unbound(Frame& frame) {
  drop(ctx_, frame, kNoWorkload, Reason::kPortUnbound, Direction::kOut);
  if (frame.trace) tracer_.finish({{&frame}});
}

void Worker::drop_held(Frame& frame, Reason reason) {
  drop(ctx_, frame, reason);
  if (frame.trace) tracer_.finish({{&frame}});
}

void Worker::inject(std::span<const uint8_t> bytes, uint32_t place, size_t trace, uint32_t id) {
  Frame& frame = *frames_[0];
  FramePool::clear(frame);
  frame.length = static_cast<uint32_t>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), frame.data);
  const PortView& view = generation_->ports[frame.port = generation_->workloads[place]->port];
  frame.source_workload = view.workload;
  frame.source = view.sender;
  frame.segment = view.segment;
  set_hop(frame, ctx_.workload(place));
  frame.trace = make_record(frame, ctx_, frame.length).release();
  frame.trace->traces[trace] = id;
  run_batch(0, 1, true);
  end_round();
}

void Worker::run_batch(size_t from, size_t count, bool traced) {
  std::copy(frames_, frames_ + count, working_);
  ctx_.located = {};
  const auto run = from ? pipeline_.resume : pipeline_.run;
  traced |= tracer_.active();
  if (traced)
    tracer_.run({working_, count}, ctx_, from, run);
  else
    run({working_, count}, ctx_);
  if (traced) note_outputs(ctx_);
  transmit_outputs(ctx_, index_);
  if (traced) tracer_.finish({frames_, count});
  if (connections_.marks_changes()) [[unlikely]]
    for (size_t i = 0; i < count; ++i) connections_.mark(frames_[i]->connection);
  ++counters_.totals.batches;
}

void Worker::adopt(std::shared_ptr<const Generation> next) {
  // Under the generation that they were guarded by.
  if (ctx_.steering) run_rings();
  resume_frames([this](Frame& frame) { return fragments_.release(frame); });
  const bool same_topology = next->topology == generation_->topology;
  if (!same_topology || next->limits != generation_->limits)
    connections_.accounts().adopt(*next, limits_, steering_.workers);
  if (!same_topology) retain_fragments(*next);
  generation_ = std::move(next);
  ctx_.generation = generation_.get();
  prober_ = Prober(ctx_.now);
  if (generation_->services) counters_.cover_legs(generation_->services->legs);
  if (same_topology) return;
  counters_.cover(generation_->workloads.size());
  for (size_t i = 0; i < generation_->workloads.size(); ++i) {
    uint32_t serial = generation_->workloads[i] ? generation_->workloads[i]->serial : 0;
    if (counters_.workloads[i].serial == serial) continue;
    counters_.workloads[i] = WorkloadCounters();
    counters_.workloads[i].serial = serial;
  }
  outputs_.resize(generation_->ports.size(), kOutputsPerPort);
  const bool first = !std::exchange(fragments_restored_, true);
  if (first && state_ && state_->left() == State::Left::kInOrder)
    fragments_.restore(memory(Part::kFragments), generation_->workloads.size());
  watch_ports();
}

void Worker::retain_fragments(const Generation& next) {
  auto at = [](const Generation& g, size_t place) {
    return place < g.workloads.size() ? g.workloads[place].get() : nullptr;
  };
  fragments_.retain(next.workloads.size(),
                    [&](uint32_t place) { return at(next, place) && at(next, place) == at(*generation_, place); });
}

void Worker::watch_ports() {
  size_t count = std::max(watched_ports_.size(), generation_->ports.size());
  watched_.resize(count, -1);
  watched_ports_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    auto wanted = i < generation_->ports.size() ? generation_->ports[i].attached : nullptr;
    if (wanted == watched_ports_[i]) continue;
    // A port that failed may have closed its descriptor already; then the kernel has taken it out of the set.
    if (watched_[i] >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, watched_[i], nullptr);
    watched_[i] = wanted ? wanted->port->descriptor(index_) : -1;
    watched_ports_[i] = wanted;
    if (watched_[i] < 0) continue;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(i);
    check(epoll_ctl(epoll_, EPOLL_CTL_ADD, watched_[i], &event), "epoll_ctl");
  }
}

}  // namespace headgate
