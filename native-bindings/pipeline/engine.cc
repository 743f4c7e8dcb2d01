#include "pipeline/engine.h"

#include <sys/random.h>

#include <algorithm>

#include "pipeline/convert.h"
#include "pools/memory.h"
#include "ports/tap.h"
#include "tables/decide.h"

namespace headgate {
namespace {

constexpr uint32_t kFlowsPerTask = 1024;    // records copied between two batches
constexpr uint32_t kRecordsPerTask = 2048;  // likewise of records of flow logs
constexpr uint32_t kHitsPerTask = 4096;     // likewise of hit counters
constexpr size_t kMostFlowRecords = 65536;  // about what one call gives
// All places are looked at so often within an active timeout: a part is late by no more than that share of it.
constexpr uint32_t kWalksPerActive = 4;
constexpr const char* kRemovedEntry = "removed";  // no id is without a slash

uint64_t random_secret() {
  uint64_t secret = 0;
  if (getrandom(&secret, sizeof secret, 0) != sizeof secret) secret = clock_now() * 0x9e3779b97f4a7c15ull;
  return secret | 1;
}

void add_accounts(std::vector<WorkloadReport>& reports, const Accounts& accounts) {
  for (uint32_t place = 0; place < reports.size(); ++place) {
    WorkloadReport& report = reports[place];
    const Account& account = accounts[accounts.number_of(place)];
    report.connections += account.open();
    report.half_open += account.half_open();
    report.begun += account.begun;
    report.limits.connections += account.limits.connections;
    report.limits.half_open += account.limits.half_open;
    report.limits.new_per_second += account.limits.new_per_second;
  }
}

void add_leg(LegCounters& sum, const LegCounters& one) {
  if (one.serial > sum.serial) sum = LegCounters{.serial = one.serial};
  if (one.serial != sum.serial) return;  // of what was at that place before
  for (int side = 0; side < 2; ++side) {
    sum.sent_packets[side] += one.sent_packets[side];
    sum.sent_bytes[side] += one.sent_bytes[side];
    sum.returned_packets[side] += one.returned_packets[side];
    sum.returned_bytes[side] += one.returned_bytes[side];
  }
  sum.bypassed += one.bypassed;
  sum.refused += one.refused;
}

}  // namespace

std::unique_ptr<Engine> Engine::create(const EngineOptions& options, std::string& error) {
  const std::string directory = pool_directory(options.pool_directory, error);
  if (directory.empty()) return nullptr;
  const unsigned workers = std::max(1u, options.workers);
  const StateShape shape{workers, std::max(1u, options.connections / workers)};
  auto state = options.follow ? State::attach(directory, shape, error) : State::open(directory, shape, error);
  if (!state) return nullptr;
  std::unique_ptr<Engine> engine(new Engine(options, std::move(state), shape));
  if (!options.follow) engine->begin();
  return engine;
}

Engine::Engine(const EngineOptions& options, std::unique_ptr<State> state, const StateShape& shape)
    : shape_(shape),
      state_(std::move(state)),
      names_(state_->memory(Part::kNames).data()),
      publisher_(options.rules, 1, &names_, state_->memory(Part::kMacs)),
      threads_(options.workers > 0),
      last_run_(options.now) {
  if (!names_.secret()) names_.set_secret(random_secret());
  secret_ = names_.secret();
  expectations_ = std::make_unique<Expectations>(state_->memory(Part::kExpectations).data(), secret_);
  make_workers(options);
  connect_workers();
  current_ = workers_[0]->generation();
}

void Engine::make_workers(const EngineOptions& options) {
  for (unsigned i = 0; i < shape_.workers; ++i) {
    WorkerOptions worker;
    worker.index = i;
    worker.state = state_.get();
    worker.connections = shape_.connections;
    worker.limits = limits_of_table(options.connections);
    worker.secret = secret_;
    worker.expectations = expectations_.get();
    workers_.push_back(std::make_unique<Worker>(worker));
  }
}

void Engine::connect_workers() {
  const unsigned count = shape_.workers;
  std::vector<std::vector<std::shared_ptr<FrameRing>>> rings(count, std::vector<std::shared_ptr<FrameRing>>(count));
  std::vector<Worker*> peers;
  for (unsigned from = 0; from < count; ++from) {
    peers.push_back(workers_[from].get());
    for (unsigned to = 0; to < count; ++to)
      if (from != to) rings[from][to] = std::make_shared<FrameRing>();
  }
  for (unsigned i = 0; i < count; ++i) {
    Steering steering;
    steering.self = i;
    steering.workers = count;
    steering.out = rings[i];
    for (unsigned from = 0; from < count; ++from) steering.in.push_back(rings[from][i]);
    steering.wake.resize(count);
    workers_[i]->join(std::move(steering), peers);
  }
}

// The state is owned: it is looked over, and threads run.
void Engine::begin() {
  names_.begin();
  if (state_->left() == State::Left::kInDisorder) expectations_->recover();
  start_ = {state_->left(), 0, 0, state_->alarms()};
  const std::vector<bool> tags = publisher_.known_tags();
  std::vector<bool> trackers(UINT16_MAX + 1);
  for (uint32_t i = 0; i <= UINT16_MAX; ++i) trackers[i] = !publisher_.tracker_name(static_cast<uint16_t>(i)).empty();
  const ConnectionTable::Known known{now_milliseconds(),
                                     [&trackers](uint16_t tracker) { return trackers[tracker]; },
                                     [&tags](uint16_t place) { return tags[place]; },
                                     {}};
  for (auto& worker : workers_) {
    start_.forgotten += worker->begin(known);
    start_.connections += worker->context().connections.size();
  }
  // Of an engine that follows, workers know no policy yet.
  for (auto& worker : workers_)
    if (worker->generation() != current_) worker->adopt(current_);
  if (threads_)
    for (auto& worker : workers_) worker->start();
}

uint64_t Engine::let_go() {
  const uint64_t began = clock_now();
  for (auto& worker : workers_) worker->ask_to_stop();
  for (auto& worker : workers_) worker->stop();
  // What one worker has yet to take may be for another.
  for (bool more = true; more;) {
    more = false;
    for (auto& worker : workers_) more |= worker->flush() > 0;
  }
  for (auto& worker : workers_) worker->save();
  state_->release(true);
  return began;
}

bool Engine::take_over(std::string& error) {
  if (!state_->acquire(error)) return false;
  begin();
  return true;
}

void Engine::mark_changes(bool on) {
  for (unsigned i = 0; i < shape_.workers; ++i) {
    const auto marks = state_->memory(Part::kMarks, i);
    workers_[i]->ask([](Worker& w) { w.mark_changes(false); });
    wipe(marks.data(), marks.size());
    if (on) workers_[i]->ask([](Worker& w) { w.mark_changes(true); });
  }
}

uint32_t Engine::convert() {
  return state_->converts() ? state_->update_copy() : 0;
}

bool Engine::convert_for(uint32_t layout, uint32_t& records, std::string& error) {
  mark_changes(true);
  if (!state_->convert_for(layout, error)) return false;
  records = state_->update_copy();
  return true;
}

void Engine::forget_upgrade() {
  mark_changes(false);
  state_->drop_copy();
  state_->clean_up();
}

Refusal Engine::follow(const Delta& policy, const Publisher::Numbering& numbering) {
  if (Refusal refusal = publisher_.apply(policy)) return refusal;
  publisher_.continue_as(numbering);
  spread();
  return {};
}

Engine::~Engine() {
  stop();
}

void Engine::await_workers() {
  for (auto& worker : workers_) worker->post([](Worker&) {});
  for (auto& worker : workers_) worker->wait();
}

void Engine::stop() {
  for (auto& worker : workers_) worker->stop();
  if (!state_->owned()) return;
  for (auto& worker : workers_) worker->save();
  state_->release(true);
}

// Builds the next generation and waits until every worker judges by it.
void Engine::spread() {
  auto next = publisher_.build();
  if (state_->owned())
    for (auto& worker : workers_) worker->post([next](Worker& w) { w.adopt(next); });
  if (state_->owned())
    for (auto& worker : workers_) worker->wait();
  current_ = next;  // the last one goes here, with the ports that only it held
  publisher_.settled();
}

Refusal Engine::publish(const Delta& delta) {
  if (Refusal refusal = publisher_.apply(delta)) return refusal;
  spread();
  if (!delta.remove_entries.empty() || !delta.remove_workloads.empty()) forget_hits();
  return {};
}

// Counters of entries and workloads that are gone, once they take up half the room.
void Engine::forget_hits() {
  auto gone = [this](const Hit& hit) {
    return publisher_.workload_name(hit.workload).empty() || (hit.entry && publisher_.entry_id(hit.entry).empty());
  };
  for (auto& worker : workers_) {
    uint32_t from = 0;
    do
      worker->ask([&](Worker& w) {
        HitTable& hits = w.context().hits;
        from = from || hits.crowded() ? hits.forget(from, kHitsPerTask, gone) : 0;
      });
    while (from);
  }
}

Refusal Engine::attach(const std::string& workload, std::unique_ptr<Port> port, const std::string& device, bool trunk) {
  auto attached = std::make_shared<AttachedPort>();
  attached->port = std::move(port);
  attached->device = device;
  attached->trunk = trunk;
  return attach(workload, std::move(attached));
}

Refusal Engine::attach(const std::string& workload, std::unique_ptr<TunnelPort> port, const std::string& device) {
  auto attached = std::make_shared<AttachedPort>();
  attached->tunnel = port.get();
  attached->port = std::move(port);
  attached->device = device;
  return attach(workload, std::move(attached));
}

Refusal Engine::attach(const std::string& workload, std::shared_ptr<AttachedPort> attached) {
  if (Refusal refusal = publisher_.bind(workload, std::move(attached))) return refusal;
  attached_ = true;
  if (!together_) end_attaching();
  return {};
}

void Engine::attach_together(bool more) {
  together_ = more;
  if (!more && attached_) end_attaching();
}

void Engine::end_attaching() {
  attached_ = false;
  spread();
  ask_path_mtus();
}

void Engine::ask_path_mtu(const Workload& workload) {
  if (!workload.remote || workload.port == kNoPort) return;
  TunnelPort* tunnel = current_->ports[workload.port].tunnel;
  workload.remote->most.store(tunnel->most_to(workload.remote->address), std::memory_order_relaxed);
}

void Engine::ask_path_mtus() {
  for (const auto& workload : current_->workloads)
    if (workload) ask_path_mtu(*workload);
}

bool Engine::attach_to_shared(const std::string& workload, const std::string& device, bool tunnel, Refusal& refusal) {
  auto open = publisher_.find_shared(device, tunnel);
  if (!open) return false;
  refusal = attach(workload, std::move(open));
  return true;
}

void Engine::detach(const std::string& workload, bool remove) {
  auto last = publisher_.unbind(workload);
  spread();
  if (last && remove)
    if (auto* tap = dynamic_cast<TapPort*>(last->port.get())) tap->remove();
}

Port* Engine::port_of(const std::string& workload) const {
  auto found = publisher_.find_workload(workload);
  if (!found || (*found)->port == kNoPort) return nullptr;
  return current_->ports[(*found)->port].attached->port.get();
}

std::vector<Failure> Engine::failures() const {
  std::vector<Failure> failures;
  for (const auto& workload : current_->workloads) {
    if (!workload || workload->port == kNoPort) continue;
    std::string detail = current_->ports[workload->port].attached->port->failure();
    if (!detail.empty()) failures.push_back({workload->name, detail});
  }
  return failures;
}

StatsReport Engine::stats() {
  StatsReport report{};
  report.generation = current_->number;
  uint32_t now = now_milliseconds();
  for (const auto& workload : current_->workloads)
    report.workloads.push_back({workload ? workload->name : "", {}, 0, 0, 0, {}});
  std::vector<LegCounters> legs(current_->services ? current_->services->legs : 0);
  for (auto& worker : workers_) {
    CounterTotals totals{};
    std::vector<WorkloadCounters> workloads;
    std::vector<LegCounters> worker_legs;
    worker->ask([&](Worker& w) {
      worker_legs.assign(w.counters().legs.begin(), w.counters().legs.end());
      totals = w.counters().totals;
      workloads.assign(w.counters().workloads.begin(), w.counters().workloads.end());
      add_accounts(report.workloads, w.context().connections.accounts());
      report.connections += w.context().connections.size();
      report.connections_limit += w.context().connections.limit();
    });
    report.workers.emplace_back(totals.batches, totals.frames);
    for (size_t i = 0; i < legs.size() && i < worker_legs.size(); ++i) add_leg(legs[i], worker_legs[i]);
    for (size_t r = 0; r < kReasons; ++r)
      for (int d = 0; d < 2; ++d) report.drops[r][d] += totals.drops[r][d];
    for (size_t i = 0; i < report.workloads.size() && i < workloads.size(); ++i) {
      WorkloadCounters& sum = report.workloads[i].counters;
      const WorkloadCounters& one = workloads[i];
      sum.sent_packets += one.sent_packets;
      sum.sent_bytes += one.sent_bytes;
      sum.received_packets += one.received_packets;
      sum.received_bytes += one.received_bytes;
      for (size_t r = 0; r < kReasons; ++r) sum.drops[r] += one.drops[r];
    }
    for (const Hit& hit : hits_of(*worker)) {
      std::string workload = publisher_.workload_name(hit.workload);
      std::string entry = hit.entry ? publisher_.entry_id(hit.entry) : "";
      if (workload.empty() || (hit.entry && entry.empty())) continue;
      report.hits.push_back(
          {entry, workload, hit.direction, hit.flows, hit.packets, hit.bytes, (now - hit.last_seen) / 1000.0});
    }
  }
  std::erase_if(report.workloads, [](const WorkloadReport& w) { return w.workload.empty(); });
  report_services(report, legs);
  return report;
}

std::vector<Hit> Engine::hits_of(Worker& worker) const {
  std::vector<Hit> hits;
  uint32_t from = 0;
  do {
    hits.reserve(hits.size() + kHitsPerTask);
    worker.ask([&](Worker& w) {
      from = w.context().hits.walk(from, kHitsPerTask, [&](const Hit& hit) { hits.push_back(hit); });
    });
  } while (from);
  return hits;
}

VerdictReport Engine::verdict_report(const Hit& hit, Action action) const {
  return {publisher_.workload_name(hit.workload), hit.entry ? publisher_.entry_id(hit.entry) : "", hit.direction,
          action};
}

std::vector<FlowReport> Engine::flows(size_t limit, bool denied, uint64_t& total) {
  std::vector<FlowReport> flows;
  uint32_t now = now_milliseconds();
  total = 0;
  for (auto& worker : workers_) {
    uint32_t from = 0;
    do {
      worker->ask([&](Worker& w) {
        if (from == 0) total += w.context().connections.size();
        from = w.context().connections.walk(from, kFlowsPerTask, [&](const Connection& c) {
          if (flows.size() >= limit || (is_denied(c) && !denied)) return;
          FlowReport report{publisher_.tracker_name(c.tracker), w.context().connections.flow_of(c), c, {},
                            (now - c.created) / 1000.0,         (now - c.last_seen) / 1000.0,       0};
          uint32_t timeout = current_->profiles.idle(c.list);
          report.expires = std::max(0.0, (timeout - std::min(timeout, now - c.last_seen)) / 1000.0);
          for (int side = 0; side < 2; ++side)
            if (c.verdict[side].epoch)
              report.verdicts.push_back(verdict_report(w.context().hits[c.verdict[side].hit], c.verdict[side].action));
          report.service = service_report(c);
          flows.push_back(std::move(report));
        });
      });
    } while (from && flows.size() < limit);
  }
  return flows;
}

std::vector<LogReport> Engine::logs() {
  std::vector<LogReport> reports;
  for (auto& worker : workers_) {
    std::vector<LogLine> lines;
    worker->ask([&](Worker& w) { lines = w.context().log.drain(); });
    uint32_t now = now_milliseconds();
    for (const LogLine& line : lines)
      reports.push_back({line, line.entry ? publisher_.entry_id(line.entry) : "",
                         publisher_.workload_name(line.workload), (now - line.time) / 1000.0});
  }
  return reports;
}

void Engine::begin_flow_log(Worker& worker) {
  auto log = worker.make_flow_log();
  log->begin();
  worker.ask([&](Worker& w) { w.swap_flow_log(log); });
}

void Engine::end_flow_log() {
  for (auto& worker : workers_) {
    std::unique_ptr<FlowLog> log;
    worker->ask([&](Worker& w) { w.swap_flow_log(log); });
    if (log) log->end();
  }
  flow_records_ = {};
}

FlowLogReport Engine::flow_log(uint32_t active) {
  FlowLogReport report;
  flow_records_.reserve(kRecordsPerTask);
  const uint64_t elapsed = now_milliseconds() - flow_log_walked_;
  flow_log_walked_ = now_milliseconds();
  for (auto& worker : workers_) {
    if (!worker->flow_log()) begin_flow_log(*worker);
    const uint64_t places = worker->context().connections.limit();
    uint64_t left = std::min(places, places * elapsed * kWalksPerActive / active + 1);
    bool more = false, waiting = false;
    do {
      const uint32_t count = static_cast<uint32_t>(std::min<uint64_t>(left, kFlowsPerTask));
      worker->ask([&](Worker& w) {
        more = w.flow_log()->report_lasting(w.context().connections, count, w.context().now, active);
        waiting = w.flow_log()->take(flow_records_, kRecordsPerTask);
        report.lost += w.flow_log()->take_lost();
      });
      left -= count;
      for (const FlowRecord& record : flow_records_) report.records.push_back(flow_record_report(record));
      flow_records_.clear();
    } while ((waiting || (more && left)) && report.records.size() < kMostFlowRecords);
  }
  report.now = now();
  return report;
}

FlowRecordReport Engine::flow_record_report(const FlowRecord& record) const {
  const Connection& c = record.connection;
  FlowRecordReport report{publisher_.tracker_name(c.tracker), record.flow, c, {}, record.end, record.start};
  for (int side = 0; side < 2; ++side) {
    const FlowRecord::Judge& judge = record.judges[side];
    if (!judge.workload) continue;
    const std::string entry = publisher_.entry_id(judge.entry);
    report.verdicts.push_back({publisher_.workload_name(judge.workload),
                               judge.entry && entry.empty() ? kRemovedEntry : entry, judge.direction,
                               c.verdict[side].action});
  }
  return report;
}

bool Engine::classify(const std::string& name, Direction direction, const FlowHeaders& flow, Action& action,
                      std::string& entry) const {
  uint32_t workload = publisher_.find_place(name);
  if (workload == kNoWorkload) return false;
  const IndexEntry* decides =
      deciding_entry([&](uint64_t from) { return current_->lookup->first_match(workload, direction, flow, from); },
                     [](const IndexEntry&) {});
  const bool is_remote = current_->workloads[workload]->remote != nullptr;
  action = decides ? decides->rule->action : is_remote ? Action::kAllow : current_->default_action;
  entry = decides ? decides->id : "";
  return true;
}

size_t Engine::run(uint64_t now) {
  last_run_ = now;
  size_t frames = 0;
  for (auto& worker : workers_) frames += worker->run(now);
  return frames;
}

}  // namespace headgate
