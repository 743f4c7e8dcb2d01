#include "pipeline/trace.h"

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>

#include "packet/embedded.h"
#include "packet/parse.h"
#include "stages/stage.h"

namespace headgate {
namespace {

uint32_t serial_of(const Context& ctx, uint32_t place) {
  const auto& workloads = ctx.generation->workloads;
  return place < workloads.size() && workloads[place] ? workloads[place]->serial : 0;
}

const std::string& device_of(const Context& ctx, uint16_t port) {
  static const std::string kNone;
  const auto& ports = ctx.generation->ports;
  return port < ports.size() && ports[port].attached ? ports[port].attached->device : kNone;
}

bool names(const TraceRecord& r, uint32_t workload) {
  if (r.workload == workload || r.destination == workload) return true;
  return std::any_of(r.outputs.begin(), r.outputs.end(), [&](const auto& o) { return o.workload == workload; }) ||
         std::any_of(r.drops.begin(), r.drops.end(), [&](const auto& d) { return d.workload == workload; });
}

bool fits(const TraceRecord& r, const TraceFilter& filter) {
  if (filter.dropped && r.drops.empty()) return false;
  if (filter.workload && !names(r, filter.workload)) return false;
  return !filter.entry || std::any_of(r.verdicts.begin(), r.verdicts.end(),
                                      [&](const TraceVerdict& v) { return v.entry == *filter.entry; });
}

// Whether the frame may be of the workload; false is certain.
bool may_concern(const Frame& frame, const Context& ctx, const TraceFilter& filter) {
  if (serial_of(ctx, filter.place) != filter.workload) return false;
  const Workload& w = ctx.workload(filter.place);
  if (!frame.source || frame.source == &w || frame.length < 6) return true;
  return !w.pinned_mac || is_group(frame.data) || same_mac(frame.data, w.mac.data());
}

bool picks(const TraceFilter& filter, const Frame& frame, const Context& ctx) {
  if (filter.workload && !may_concern(frame, ctx, filter)) return false;
  return filter.program.empty() || bpf_filter(filter.program.data(), frame.data, frame.length, frame.length);
}

// What a stage found, in the order in which a frame meets them.

void note_parsed(TraceRecord& r, const Frame& frame) {
  r.parsed = true;
  r.headers = frame.headers;
  r.tags = frame.headers.tags;
}

void note_sender(TraceRecord& r, const Frame& frame) {
  r.workload = frame.source ? frame.source->serial : 0;
}

void note_destination(TraceRecord& r, const Frame& frame) {
  r.destination = frame.destination ? frame.destination->serial : 0;
  r.flooded = !frame.destination;
}

// Of a connection, before the track stage has looked.
struct Before {
  bool held = false;
  uint32_t created = 0;
};

Before look_before(const Frame& frame, const Context& ctx) {
  Headers wanted;
  if (!connection_headers(frame, wanted)) return {};
  const Connection* c = ctx.connections.peek(wanted, frame.tracker);
  return c ? Before{true, c->created} : Before{};
}

void note_connection(TraceRecord& r, const Frame& frame, const Context& ctx, const Before& before) {
  if (!frame.connection) return;
  const Connection& c = *frame.connection;
  const bool is_new = !before.held || c.created != before.created;
  r.connection = {c.tracker, is_new, frame.reply, state_of(c), state_of(c), ctx.connections.flow_of(c)};
}

// A verdict before the classify stage has looked. One whose epoch is past may be reached again, or kept.
struct Former {
  bool has_epoch = true;
  uint32_t hit = 0;
  uint64_t flows = 0;  // verdicts that its place has counted
};
using Formers = std::array<Former, 2>;

Formers look_verdicts(const Frame& frame, const Context& ctx) {
  if (!frame.connection) return {};
  const auto look = [&](int side, uint32_t place) {
    const Verdict& v = frame.connection->verdict[side];
    const auto& epochs = ctx.generation->epochs;
    return Former{place >= epochs.size() || v.epoch == epochs[place], v.hit, ctx.hits[v.hit].flows};
  };
  if (frame.bridge) {
    const bool out = edge_direction(frame, frame.reply) == Direction::kOut;
    return {look(0, out ? frame.bridge->judge : kNoWorkload), look(1, out ? kNoWorkload : frame.bridge->judge)};
  }
  return {look(0, frame.reply ? frame.destination_workload : frame.source_workload),
          look(1, frame.reply ? frame.source_workload : frame.destination_workload)};
}

void note_verdicts(TraceRecord& r, const Frame& frame, Context& ctx, const Formers& formers) {
  if (!frame.connection) return;
  const Connection& c = *frame.connection;
  const auto note = [&](int side, const Workload& w) {
    const Verdict& v = c.verdict[side];
    const Former& former = formers[static_cast<size_t>(side)];
    const Hit& hit = ctx.hits[v.hit];
    const bool is_new = !former.has_epoch && (v.hit != former.hit || hit.flows != former.flows);
    r.verdicts.push_back({w.serial, hit.entry, side == 0 ? Direction::kOut : Direction::kIn, v.action, is_new});
  };
  if (frame.bridge) {
    note(edge_direction(frame, frame.reply) == Direction::kIn, ctx.workload(frame.bridge->judge));
    return;
  }
  note(frame.reply, *frame.source);
  const bool refused_there = !r.drops.empty() && r.drops.back().workload == frame.source->serial;
  if (frame.destination && !refused_there) note(!frame.reply, *frame.destination);
}

void note_answers(TraceRecord& r, const Context& ctx, size_t before) {
  for (const Frame* answer : ctx.outputs.own().subspan(before))
    for (uint16_t port : ctx.outputs.ports()) {
      const OutputQueue queue = ctx.outputs.queue(port);
      for (size_t i = 0; i < queue.frames.size(); ++i)
        if (queue.frames[i] == answer)
          r.outputs.push_back({serial_of(ctx, queue.workloads[i]), device_of(ctx, port), true});
    }
}

}  // namespace

bool is_valid(const std::vector<bpf_insn>& program) {
  return bpf_validate(program.data(), static_cast<int>(program.size()));
}

void note_drop(const Context& ctx, TraceRecord& r, uint32_t workload, Reason reason, Direction direction) {
  if (r.drops.size() < kMostReceivers) r.drops.push_back({serial_of(ctx, workload), reason, direction, r.stage});
}

void note_decision(const Context& ctx, TraceRecord& r, uint32_t workload, const Decision& d) {
  if (r.verdicts.size() < kMostReceivers)
    r.verdicts.push_back({serial_of(ctx, workload), ctx.hits[d.hit].entry, Direction::kIn, d.action, true});
}

void note_service(TraceRecord& r, const TraceService& service) {
  r.services.push_back(service);
}

std::unique_ptr<TraceRecord> make_record(const Frame& frame, const Context& ctx, uint32_t bytes) {
  auto record = std::make_unique<TraceRecord>();
  record->time = ctx.now;
  record->device = device_of(ctx, frame.port);
  record->length = frame.length;
  record->workload = frame.source ? frame.source->serial : serial_of(ctx, frame.source_workload);
  record->bytes.assign(frame.data, frame.data + std::min(bytes, frame.length));
  if (frame.length >= 12) {
    memcpy(record->destination_mac.data(), frame.data, 6);
    memcpy(record->source_mac.data(), frame.data + 6, 6);
  }
  return record;
}

bool run_traced(Frame& frame, Context& ctx, size_t from, size_t to) {
  TraceRecord& r = *frame.trace;
  const auto stages = pipeline_stages();
  for (size_t i = from; i < to; ++i) {
    const Stage& stage = stages[i];
    const auto is = [&](std::string_view name) { return stage.name == name; };
    const Before before = is("track") ? look_before(frame, ctx) : Before{};
    const Formers formers = is("classify") ? look_verdicts(frame, ctx) : Formers{};
    const size_t answers = ctx.outputs.own().size();
    r.stage = stage.name;
    const bool goes_on = stage.run(frame, ctx);
    if (frame.trace != &r) return false;  // it is with another worker now
    if (is("classify")) {
      note_verdicts(r, frame, ctx, formers);
      note_answers(r, ctx, answers);
    }
    if (is("services") && !r.connection)
      note_connection(r, frame, ctx, {true, frame.connection ? frame.connection->created : 0});
    if (is("guard")) note_sender(r, frame);
    if (!goes_on) return false;
    if (is("parse")) note_parsed(r, frame);
    if (is("locate")) note_destination(r, frame);
    if (is("fragments")) r.headers = frame.headers;
    if (is("track")) note_connection(r, frame, ctx, before);
    if (is("advance") && frame.connection) r.connection->after = state_of(*frame.connection);
  }
  return true;
}

void note_outputs(const Context& ctx) {
  for (uint16_t port : ctx.outputs.ports()) {
    const OutputQueue queue = ctx.outputs.queue(port);
    for (size_t i = 0; i < queue.frames.size(); ++i) {
      TraceRecord* r = queue.frames[i]->trace;
      if (!r) continue;
      r->stage = "transmit";
      if (r->outputs.size() < kMostReceivers)
        r->outputs.push_back({serial_of(ctx, queue.workloads[i]), device_of(ctx, port), false});
    }
  }
}

void Tracer::start(size_t place, uint32_t id, std::shared_ptr<const TraceFilter> filter) {
  traces_[place] = {id, std::move(filter), {}, 0, 0};
  on_ |= 1u << place;
}

void Tracer::stop(size_t place) {
  traces_[place] = {};
  on_ &= ~(1u << place);
}

TakenTraces Tracer::take(size_t place, size_t most, size_t most_bytes) {
  Trace& trace = traces_[place];
  TakenTraces taken;
  taken.lost = std::exchange(trace.lost, 0);
  auto end = trace.records.begin();
  for (size_t bytes = 0; most && end != trace.records.end(); ++end, --most) {
    bytes += (*end)->bytes.size();
    if (bytes > most_bytes && end != trace.records.begin()) break;
    trace.bytes -= (*end)->bytes.size();
  }
  taken.records.assign(std::make_move_iterator(trace.records.begin()), std::make_move_iterator(end));
  trace.records.erase(trace.records.begin(), end);
  return taken;
}

void Tracer::pick(Frame& frame, const Context& ctx) const {
  for (uint32_t left = on_; left; left &= left - 1) {
    const auto i = static_cast<size_t>(std::countr_zero(left));
    const Trace& trace = traces_[i];
    if (!picks(*trace.filter, frame, ctx)) continue;
    if (!frame.trace) frame.trace = make_record(frame, ctx, 0).release();
    frame.trace->traces[i] = trace.id;
    const uint32_t bytes = std::min(trace.filter->bytes, frame.length);
    if (bytes > frame.trace->bytes.size()) frame.trace->bytes.assign(frame.data, frame.data + bytes);
  }
}

void Tracer::run(std::span<Frame*> frames, Context& ctx, size_t from, void (*run)(std::span<Frame*>, Context&)) {
  size_t untraced = 0;  // where the run of frames begins that nobody asked about
  for (size_t i = 0; i < frames.size(); ++i) {
    if (from == 0 && !frames[i]->trace) pick(*frames[i], ctx);
    if (!frames[i]->trace) continue;
    if (i > untraced) run(frames.subspan(untraced, i - untraced), ctx);
    ctx.ahead = {};
    run_traced(*frames[i], ctx, from, pipeline_stages().size());
    untraced = i + 1;
  }
  if (untraced < frames.size()) run(frames.subspan(untraced), ctx);
}

void Tracer::finish(std::span<Frame* const> frames) {
  for (Frame* frame : frames) {
    if (!frame->trace) continue;
    const std::unique_ptr<TraceRecord> record(std::exchange(frame->trace, nullptr));
    for (size_t i = 0; i < kMostTraces; ++i)
      if (traces_[i].id && traces_[i].id == record->traces[i]) keep(traces_[i], *record);
  }
}

void Tracer::keep(Trace& trace, const TraceRecord& record) {
  if (!fits(record, *trace.filter)) return;
  const size_t bytes = std::min<size_t>(trace.filter->bytes, record.bytes.size());
  if (trace.records.size() == kMostRecords || trace.bytes + bytes > kMostBytes) {
    ++trace.lost;
    return;
  }
  trace.records.push_back(std::make_unique<TraceRecord>(record));
  trace.records.back()->bytes.resize(bytes);  // another trace may have asked for more of it
  trace.bytes += bytes;
}

}  // namespace headgate
