#include "pipeline/engine.h"

#include <sys/random.h>

#include <algorithm>

#include "ports/tap.h"
#include "tables/decide.h"

namespace headgate {
namespace {

constexpr uint32_t kConnectionLayout = 1;
constexpr uint32_t kFlowsPerTask = 1024;    // records copied between two batches
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

uint64_t round_up(uint64_t n) {
  return (n + 4095) / 4096 * 4096;
}

}  // namespace

std::unique_ptr<Engine> Engine::create(const EngineOptions& options, std::string& error) {
  std::unique_ptr<Engine> engine(new Engine(options.rules));
  std::string directory = pool_directory(options.pool_directory, error);
  if (directory.empty()) return nullptr;
  unsigned count = std::max(1u, options.workers);
  uint32_t each = std::max(1u, options.connections / count);
  uint64_t bytes = round_up(ConnectionTable::bytes_for(each));
  engine->pool_ = Pool::open(directory + "/connections", kConnectionLayout, bytes * count, error);
  if (!engine->pool_) return nullptr;
  // Taking over an earlier engine's connections is a step of its own; until then each engine begins with none.
  if (engine->pool_->inherited() && !engine->pool_->clear(error)) return nullptr;

  const uint64_t secret = engine->secret_ = random_secret();
  for (unsigned i = 0; i < count; ++i) {
    WorkerOptions worker;
    worker.index = i;
    worker.connection_memory = engine->pool_->content() + bytes * i;
    worker.connections = each;
    worker.limits = limits_of_table(options.connections);
    worker.secret = secret;
    engine->workers_.push_back(std::make_unique<Worker>(worker));
  }
  std::vector<std::vector<std::shared_ptr<FrameRing>>> rings(count, std::vector<std::shared_ptr<FrameRing>>(count));
  std::vector<Worker*> peers;
  for (unsigned from = 0; from < count; ++from) {
    peers.push_back(engine->workers_[from].get());
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
    engine->workers_[i]->join(std::move(steering), peers);
  }
  engine->threads_ = options.workers > 0;
  if (engine->threads_)
    for (auto& worker : engine->workers_) worker->start();
  engine->current_ = engine->workers_[0]->generation();
  return engine;
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
  if (pool_) pool_->mark_clean();
}

// Builds the next generation and waits until every worker judges by it.
void Engine::spread() {
  auto next = publisher_.build();
  for (auto& worker : workers_) worker->post([next](Worker& w) { w.adopt(next); });
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
  if (Refusal refusal = publisher_.bind(workload, std::move(attached))) return refusal;
  spread();
  return {};
}

bool Engine::attach_to_trunk(const std::string& workload, const std::string& device, Refusal& refusal) {
  auto open = publisher_.find_trunk(device);
  if (!open) return false;
  refusal = publisher_.bind(workload, open);
  if (!refusal) spread();
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
  for (auto& worker : workers_) {
    Counters counters;
    worker->ask([&](Worker& w) {
      counters = w.counters();
      add_accounts(report.workloads, w.context().connections.accounts());
      report.connections += w.context().connections.size();
      report.connections_limit += w.context().connections.limit();
    });
    report.workers.emplace_back(counters.batches, counters.frames);
    for (size_t r = 0; r < kReasons; ++r)
      for (int d = 0; d < 2; ++d) report.drops[r][d] += counters.drops[r][d];
    for (size_t i = 0; i < report.workloads.size() && i < counters.workloads.size(); ++i) {
      WorkloadCounters& sum = report.workloads[i].counters;
      const WorkloadCounters& one = counters.workloads[i];
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
          FlowReport report{current_->trackers[c.tracker], w.context().connections.flow_of(c), c, {},
                            (now - c.created) / 1000.0,    (now - c.last_seen) / 1000.0,       0};
          uint32_t timeout = timeout_of(c.timeout_class, current_->timeouts);
          report.expires = std::max(0.0, (timeout - std::min(timeout, now - c.last_seen)) / 1000.0);
          for (int side = 0; side < 2; ++side)
            if (c.verdict[side].epoch)
              report.verdicts.push_back(verdict_report(w.context().hits[c.verdict[side].hit], c.verdict[side].action));
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
  auto log = std::make_unique<FlowLog>(worker.context().hits, worker.context().connections.limit());
  worker.ask([&](Worker& w) { w.swap_flow_log(log); });
}

void Engine::end_flow_log() {
  for (auto& worker : workers_) {
    std::unique_ptr<FlowLog> none;
    worker->ask([&](Worker& w) { w.swap_flow_log(none); });
  }
  flow_records_ = {};
}

FlowLogReport Engine::flow_log(uint32_t active) {
  FlowLogReport report;
  flow_records_.reserve(FlowLog::kRecords);
  const uint64_t elapsed = now_milliseconds() - flow_log_walked_;
  flow_log_walked_ = now_milliseconds();
  for (auto& worker : workers_) {
    if (!worker->flow_log()) begin_flow_log(*worker);
    const uint64_t places = worker->context().connections.limit();
    uint64_t left = std::min(places, places * elapsed * kWalksPerActive / active + 1);
    bool more = false;
    do {
      const uint32_t count = static_cast<uint32_t>(std::min<uint64_t>(left, kFlowsPerTask));
      worker->ask([&](Worker& w) {
        more = w.flow_log()->report_lasting(w.context().connections, count, w.context().now, active);
        w.flow_log()->swap(flow_records_);
        report.lost += w.flow_log()->take_lost();
      });
      left -= count;
      for (const FlowRecord& record : flow_records_) report.records.push_back(flow_record_report(record));
      flow_records_.clear();
    } while (more && left && report.records.size() < kMostFlowRecords);
  }
  report.now = now();
  return report;
}

FlowRecordReport Engine::flow_record_report(const FlowRecord& record) const {
  const Connection& c = record.connection;
  FlowRecordReport report{current_->trackers[c.tracker], record.flow, c, {}, record.end, record.start};
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
  action = decides ? decides->rule->action : current_->default_action;
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
