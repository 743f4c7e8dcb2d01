// The engine's part in traces: names become serials, MACs are filled in, and every worker is told.
#include <algorithm>
#include <chrono>
#include <thread>

#include "packet/wire.h"
#include "pipeline/engine.h"

namespace headgate {
namespace {

// One that nobody has: frames to it are flooded, as those to a MAC that was forgotten are.
constexpr Mac kUnknownMac = {0x02, 0x68, 0x67, 0xff, 0xff, 0xff};
// Of frames, at once: who takes them is busy with them meanwhile, and serves nobody else.
constexpr size_t kMostTakenBytes = 4 << 20;
constexpr int kInjectRounds = 50;  // of a millisecond, for a frame that was handed over to come out

Refusal unknown_workload(const std::string& name) {
  return {"unknown-workload", "There is no workload '" + name + "'."};
}

}  // namespace

std::string Engine::segment_of(const std::string& workload) const {
  const uint32_t place = publisher_.find_place(workload);
  if (place == kNoWorkload || current_->workloads[place]->segment == kNoSegment) return "";
  return current_->segments[current_->workloads[place]->segment]->name;
}

std::optional<Mac> Engine::mac_of(uint32_t place) const {
  const Workload& w = *current_->workloads[place];
  if (w.pinned_mac) return w.mac;
  if (w.segment == kNoSegment) return std::nullopt;
  return current_->segments[w.segment]->macs->last_of(place, now_milliseconds() / 1000);
}

Refusal Engine::prepare(const GivenFrame& given, std::vector<uint8_t>& bytes, uint32_t& place) const {
  place = publisher_.find_place(given.workload);
  if (place == kNoWorkload) return unknown_workload(given.workload);
  if (current_->workloads[place]->port == kNoPort)
    return {"not-attached", "Workload '" + given.workload + "' is not attached, so nothing can come from it."};
  bytes = given.bytes;
  if (bytes.size() > kMaxFrame) return {"frame-too-long", "The frame is longer than a buffer."};
  if (bytes.size() < 12) return {};
  if (!given.to_mac.empty()) {
    const uint32_t to = publisher_.find_place(given.to_mac);
    if (to == kNoWorkload) return unknown_workload(given.to_mac);
    const Mac mac = mac_of(to).value_or(kUnknownMac);
    std::copy(mac.begin(), mac.end(), bytes.begin());
  }
  if (given.own_mac) {
    const std::optional<Mac> mac = mac_of(place);
    if (!mac) return {"unknown-mac", "Workload '" + given.workload + "' was not heard from yet: name the source MAC."};
    std::copy(mac->begin(), mac->end(), bytes.begin() + 6);
  }
  return {};
}

Refusal Engine::simulate(const std::vector<GivenFrame>& frames, std::vector<std::unique_ptr<TraceRecord>>& records) {
  std::vector<std::vector<uint8_t>> bytes(frames.size());
  std::vector<uint32_t> places(frames.size());
  for (size_t i = 0; i < frames.size(); ++i)
    if (Refusal refusal = prepare(frames[i], bytes[i], places[i])) return refusal;
  if (frames.empty()) return {};
  std::vector<Worker*> workers;
  for (const auto& worker : workers_) workers.push_back(worker.get());
  Simulation simulation(*current_, workers, secret_, threads_ ? clock_now() : last_run_);
  for (size_t i = 0; i < frames.size(); ++i) records.push_back(simulation.run(bytes[i], places[i]));
  return {};
}

Refusal Engine::inject(const GivenFrame& given, std::unique_ptr<TraceRecord>& record) {
  std::vector<uint8_t> bytes;
  uint32_t place, id;
  if (Refusal refusal = prepare(given, bytes, place)) return refusal;
  // Picks nothing itself: the record that the frame carries is for it.
  auto filter = std::make_shared<TraceFilter>();
  filter->program = {BPF_STMT(BPF_RET | BPF_K, 0)};
  filter->bytes = kMaxFrame;
  if (Refusal refusal = start_trace(std::move(filter), id)) return refusal;
  const size_t at = static_cast<size_t>(std::find(traces_.begin(), traces_.end(), id) - traces_.begin());
  workers_[0]->ask([&](Worker& w) { w.inject(bytes, place, at, id); });
  for (int round = 0; round < kInjectRounds && !record; ++round) {
    TakenTraces taken;
    take_trace(id, 1, taken);
    if (!taken.records.empty())
      record = std::move(taken.records[0]);
    else
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  stop_trace(id);
  if (!record)
    return {"trace-lost", "The frame was sent, but its record did not come back: it may wait for fragments."};
  return {};
}

Refusal Engine::start_trace(const TraceRequest& request, uint32_t& id) {
  auto filter = std::make_shared<TraceFilter>();
  if (!request.program.empty() && !is_valid(request.program))
    return {"bad-program", "The filter's program could run beyond a frame or never end."};
  filter->program = request.program;
  filter->dropped = request.dropped;
  filter->bytes = request.bytes;
  if (!request.workload.empty()) {
    filter->place = publisher_.find_place(request.workload);
    if (filter->place == kNoWorkload) return unknown_workload(request.workload);
    filter->workload = current_->workloads[filter->place]->serial;
  }
  if (request.entry) {
    filter->entry = request.entry->empty() ? 0 : publisher_.entry_serial(*request.entry);
    if (!request.entry->empty() && *filter->entry == 0)
      return {"unknown-rule", "No workload's index table has a rule '" + *request.entry + "'."};
  }
  return start_trace(std::move(filter), id);
}

Refusal Engine::start_trace(std::shared_ptr<const TraceFilter> filter, uint32_t& id) {
  const auto room = std::find(traces_.begin(), traces_.end(), 0u);
  if (room == traces_.end())
    return {"traces-full", "There are " + std::to_string(kMostTraces) + " traces already: end one of them first."};
  id = *room = ++last_trace_;
  const size_t at = static_cast<size_t>(room - traces_.begin());
  for (auto& worker : workers_) worker->post([=](Worker& w) { w.tracer().start(at, id, filter); });
  for (auto& worker : workers_) worker->wait();
  return {};
}

bool Engine::take_trace(uint32_t id, size_t most, TakenTraces& taken) {
  const auto found = std::find(traces_.begin(), traces_.end(), id);
  if (found == traces_.end() || id == 0) return false;
  const size_t at = static_cast<size_t>(found - traces_.begin());
  size_t bytes = kMostTakenBytes;
  // Each time from another one on: one that has much must not keep the others waiting.
  ++taken_from_;
  for (size_t i = 0; i < workers_.size(); ++i) {
    TakenTraces theirs;
    workers_[(taken_from_ + i) % workers_.size()]->ask(
        [&](Worker& w) { theirs = w.tracer().take(at, most - taken.records.size(), bytes); });
    taken.lost += theirs.lost;
    for (const auto& record : theirs.records) bytes -= std::min(bytes, record->bytes.size());
    std::move(theirs.records.begin(), theirs.records.end(), std::back_inserter(taken.records));
  }
  std::stable_sort(taken.records.begin(), taken.records.end(),
                   [](const auto& a, const auto& b) { return static_cast<int32_t>(a->time - b->time) < 0; });
  return true;
}

void Engine::stop_trace(uint32_t id) {
  const auto found = std::find(traces_.begin(), traces_.end(), id);
  if (found == traces_.end() || id == 0) return;
  *found = 0;
  const size_t at = static_cast<size_t>(found - traces_.begin());
  for (auto& worker : workers_) worker->post([=](Worker& w) { w.tracer().stop(at); });
  for (auto& worker : workers_) worker->wait();
}

}  // namespace headgate
