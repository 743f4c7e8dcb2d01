#include "pipeline/simulate.h"

#include "packet/embedded.h"
#include "packet/hash.h"
#include "packet/parse.h"
#include "pipeline/transmit.h"

namespace headgate {
namespace {

constexpr size_t kFrames = 8;  // one at a time, and what answers it
constexpr size_t kOutputsPerPort = 8;
constexpr uint32_t kHits = 1 << 14;

Generation copy_of(const Generation& from, std::shared_ptr<const Topology> topology) {
  Generation copy(std::move(topology), from.epochs_held);
  copy.number = from.number;
  copy.default_action = from.default_action;
  copy.profiles = from.profiles;
  copy.limits = from.limits;
  copy.lookup = from.lookup;
  copy.services = from.services;
  return copy;
}

// What the transmit of a port that is gone would say.
void note_failed_ports(Context& ctx) {
  for (uint16_t place : ctx.outputs.ports()) {
    if (ctx.generation->ports[place].attached->port->failure().empty()) continue;
    const OutputQueue queue = ctx.outputs.queue(place);
    for (size_t i = 0; i < queue.frames.size(); ++i)
      drop(ctx, *queue.frames[i], queue.workloads[i], Reason::kOutputDown, Direction::kIn);
  }
}

}  // namespace

Simulation::Simulation(const Generation& generation, std::span<Worker* const> workers, uint64_t secret, uint64_t now)
    : topology_(std::make_shared<Topology>(*generation.topology)),
      isolated_(topology_->segments.size()),
      generation_(copy_of(generation, topology_)),
      workers_(workers),
      connection_memory_(ConnectionTable::bytes_for(kConnections)),
      pool_(kFrames),
      connections_(connection_memory_.data(), kConnections),
      crossings_(kConnections),
      helpers_(kConnections),
      hits_(kHits),
      fragments_(secret, [](Frame& frame, Reason) { frame.trace = nullptr; }),  // its record was handed out
      ctx_{&generation_, connections_, crossings_, helpers_, hits_,   memo_,   fragments_,
           counters_,    log_,         outputs_,   pool_,    nullptr, nullptr, counters_.totals.answers,
           secret} {
  connections_.set_secret(secret);
  ctx_.now = static_cast<uint32_t>(now / 1'000'000);
  ctx_.seconds = ctx_.now / 1000;
  counters_.cover(generation_.workloads.size());
  if (generation_.services) counters_.cover_legs(generation_.services->legs);
  fragments_.retain(generation_.workloads.size(), [](uint32_t) { return true; });
  outputs_.resize(generation_.ports.size(), kOutputsPerPort);
}

std::unique_ptr<TraceRecord> Simulation::run(std::span<const uint8_t> bytes, uint32_t place) {
  Frame& frame = *pool_.acquire();
  frame.length = static_cast<uint32_t>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), frame.data);
  frame.port = generation_.workloads[place]->port;
  const PortView& view = generation_.ports[frame.port];
  isolate(view, place);
  frame.source_workload = view.workload;
  frame.source = view.sender;
  frame.segment = view.segment;
  set_hop(frame, *generation_.workloads[place]);
  frame.trace = make_record(frame, ctx_, frame.length).release();
  std::unique_ptr<TraceRecord> record(frame.trace);
  ctx_.located = {};
  if (run_traced(frame, ctx_, 0, kTrackStage)) {
    import_connection(frame);
    run_traced(frame, ctx_, kTrackStage, pipeline_stages().size());
  }
  note_outputs(ctx_);
  note_failed_ports(ctx_);
  for (Frame* own : outputs_.own()) pool_.release(own);
  outputs_.clear();
  pool_.release(&frame);
  return record;
}

// Gives the segments of the port's workloads MAC tables of their own, so that what a frame teaches stays here.
void Simulation::isolate(const PortView& view, uint32_t place) {
  if (view.edge) return;  // learns nothing
  const auto isolate_one = [&](uint32_t workload) {
    const uint32_t at = topology_->workloads[workload]->segment;
    if (isolated_[at]) return;
    isolated_[at] = true;
    auto segment = std::make_shared<Segment>(*topology_->segments[at]);
    segment->macs = std::make_shared<MacTable>(*segment->macs);
    for (PortView& port : topology_->ports)
      if (port.sender && port.sender->segment == at) port.segment = segment.get();
    topology_->segments[at] = std::move(segment);
  };
  isolate_one(place);
  for (const TrunkMember& member : view.members) isolate_one(member.workload);
  for (const TunnelMember& member : view.remotes) isolate_one(member.workload);
}

// Workers go on meanwhile: a record that one touched a moment ago must not seem to be of the future.
void Simulation::set_time(uint32_t now) {
  if (static_cast<int32_t>(now - ctx_.now) < 0) return;
  ctx_.now = now;
  ctx_.seconds = now / 1000;
}

// The record of the frame's flow, where a worker has one that is not past its time.
void Simulation::import_connection(const Frame& frame) {
  Headers wanted;
  if (!connection_headers(frame, wanted) || connections_.peek(wanted, frame.tracker)) return;
  for (Worker* worker : workers_) {
    Connection found;
    FlowHeaders flow;
    Hit hits[2];
    Parent parent;
    bool is_there = false;
    worker->ask([&](Worker& w) {
      Context& theirs = w.context();
      set_time(theirs.now);
      const Connection* c = theirs.connections.peek(wanted, frame.tracker);
      if (!c || ctx_.now - c->last_seen >= generation_.profiles.idle(c->list)) return;
      is_there = true;
      found = *c;
      flow = theirs.connections.flow_of(*c);
      for (int side = 0; side < 2; ++side) hits[side] = theirs.hits[c->verdict[side].hit];
      if (const auto* held = theirs.helpers.find(theirs.connections, *c)) parent = held->parent;
    });
    if (is_there) take_over(found, flow, hits, parent);
  }
}

void Simulation::take_over(const Connection& theirs, const FlowHeaders& flow, const Hit (&hits)[2],
                           const Parent& parent) {
  Headers first;
  first.layer3 = theirs.layer3;
  first.source = flow.source;
  first.destination = flow.destination;
  first.source_port = flow.source_port;
  first.destination_port = flow.destination_port;
  first.protocol = flow.protocol;
  first.icmp_type = flow.icmp_type;
  first.icmp_code = flow.icmp_code;
  first.hash =
      hash_flow(flow.source, flow.source_port, flow.destination, flow.destination_port, flow.protocol, ctx_.secret);
  Connection* mine = connections_.insert(first, theirs.tracker, ctx_.now);
  if (!mine) return;
  mine->created = theirs.created;
  mine->tcp = theirs.tcp;  // the widest of its kind
  if (theirs.verdict[0].expected) helpers_.of(connections_, *mine).parent = parent;
  for (int side = 0; side < 2; ++side) {
    mine->verdict[side] = theirs.verdict[side];
    if (theirs.verdict[side].epoch)
      mine->verdict[side].hit = hits_.place(hits[side].entry, hits[side].workload, hits[side].direction);
    mine->tally[side] = theirs.packets(side);  // on no account
    mine->bytes[side] = theirs.bytes[side];
  }
  connections_.set_profile(*mine, theirs.profile(), ctx_.now);
  connections_.touch(*mine, theirs.timeout_class(), theirs.last_seen);
}

}  // namespace headgate
