// Service tags: sends the frames of a flow through its service portals, and on from where they left
// (tables/services.h).
//
//   client -> ... classify, advance -> services: first hop --------> portal
//                                      services: next hop, or on <-- guard <- the portal's port, under the leg's key
//                                        forward in the client's segment, or back to the gateway's entry
//
// A frame that comes in on a port where portals are passes the stages between guard and here as ARP does: its flow was
// judged where it left, and is not judged, counted or checked for its addresses once more. Here its connection is
// found, which says whether it is a reply, and so which hop is next. At a gateway the first frame under a tag begins
// it.
//
// A loop cannot last: a leg gives back at most twice what was sent to it, and some for appliances that speak first.
#include "packet/hash.h"
#include "packet/parse.h"
#include "packet/wire.h"
#include "pipeline/prober.h"
#include "pipeline/steering.h"
#include "pipeline/trace.h"
#include "stages/stage.h"

namespace headgate {
namespace {

constexpr int64_t kMostCredit = 4096;  // packets that a leg may give back beyond what it is sent from now on

// The workload of a port that a frame from a portal is from; kNoWorkload: it is from somebody else.
uint32_t find_portal(const PortView& port, const Frame& frame) {
  for (const ServiceMember& member : port.portals)
    if (!port.tunnel || member.remote == frame.hop.remote) return member.workload;
  return kNoWorkload;
}

// What such a frame is under: the key of a tunnel, or what VLAN tags say. 0: nothing but what its workload always has.
uint32_t key_of(const Frame& frame, const Context& ctx, const Workload& w) {
  const Headers& h = frame.headers;
  if (w.remote) {
    // The index that NSH has beside its path is the service functions' to count down (RFC 8300, 2.3).
    const bool nsh =
        ctx.generation->services->portals[ctx.generation->services->portals_of.at(frame.source_workload)[0]]->nsh;
    const uint32_t key = nsh ? frame.hop.key | 0xff : frame.hop.key;
    return key == w.remote->key ? 0 : key;
  }
  if (!h.tags) return 0;
  const Segment& own = ctx.segment_of(w);
  const uint16_t outer = h.vlan[0] & 0x0fff, inner = h.tags > 1 ? h.vlan[1] & 0x0fff : 0;
  if (outer == own.vlan[0] && inner == own.vlan[1]) return 0;
  return inner ? uint32_t{outer} << 12 | inner : outer;
}

bool loses_tags(const Services& services, uint32_t workload) {
  for (uint16_t place : services.portals_of.at(workload))
    if (services.portals[place]->by_record) return true;
  return false;
}

bool is_up(const Portal& portal, const Context& ctx) {
  return portal.health->up.load(std::memory_order_relaxed) && ctx.workload(portal.workload).port != kNoPort;
}

const Leg* choose_leg(const Hop& hop, const Context& ctx) {
  for (const Leg& leg : hop.legs)
    if (is_up(*ctx.generation->services->portals[leg.portal], ctx)) return &leg;
  return nullptr;
}

LegCounters& counters_of(const Leg& leg, Context& ctx) {
  LegCounters& counters = ctx.counters.legs[leg.place];
  if (counters.serial != leg.serial) {
    counters = {};
    counters.serial = leg.serial;
  }
  return counters;
}

void send_to(Frame& frame, Context& ctx, uint16_t tag, uint8_t hop, const Leg& leg) {
  const uint32_t workload = ctx.generation->services->portals[leg.portal]->workload;
  LegCounters& counters = counters_of(leg, ctx);
  const int64_t packets = frame.headers.wire_packets;
  counters.credit = std::min(kMostCredit, counters.credit + 2 * packets);
  counters.sent_packets[frame.reply] += frame.headers.wire_packets;
  counters.sent_bytes[frame.reply] += frame.length;
  if (frame.trace) [[unlikely]]
    note_service(*frame.trace, {tag, hop, leg.portal, leg.key, true});
  const bool by_client = !frame.passage.tag;
  frame.passage = {tag, hop, leg.key};
  const Workload& w = ctx.workload(workload);
  const uint32_t most = w.remote ? w.remote->most.load(std::memory_order_relaxed) : 0;
  if (w.port == kNoPort) {
    drop(ctx, frame, workload, Reason::kOutputDetached, Direction::kIn);
  } else if (most && longest_segment(frame) > most && !w.remote->fragment) {
    if (by_client) answer_too_big(ctx, frame, most);
    drop(ctx, frame, workload, Reason::kTunnelTooBig, Direction::kIn);
  } else if (!ctx.outputs.add(w.port, frame, workload)) {
    drop(ctx, frame, workload, Reason::kOutputFull, Direction::kIn);
  }
}

enum class Sent { kSent, kDropped, kPast };

// To the next hop from `hop` on that has a portal; kPast behind the last one.
Sent send_on(Frame& frame, Context& ctx, uint16_t place, const ServiceTag& tag, int hop) {
  const int step = frame.reply ? -1 : 1;
  for (; hop >= 0 && hop < static_cast<int>(tag.hops.size()); hop += step) {
    const Hop& at = tag.hops[static_cast<size_t>(hop)];
    if (const Leg* leg = choose_leg(at, ctx)) {
      send_to(frame, ctx, place, static_cast<uint8_t>(hop), *leg);
      return Sent::kSent;
    }
    LegCounters& counters = counters_of(at.legs[0], ctx);
    ++(at.open ? counters.bypassed : counters.refused);
    if (!at.open) {
      const uint32_t workload = ctx.generation->services->portals[at.legs[0].portal]->workload;
      drop(ctx, frame, workload, Reason::kServicePortalDown, Direction::kIn);
      return Sent::kDropped;
    }
  }
  return Sent::kPast;
}

int first_hop(const Frame& frame, const ServiceTag& tag) {
  return frame.reply ? static_cast<int>(tag.hops.size()) - 1 : 0;
}

// A frame that has lost its tag: the one connection of its 5-tuple that goes through the portal it comes from.
const Connection* find_by_record(Frame& frame, Context& ctx, Reason& reason) {
  const Services& services = *ctx.generation->services;
  const Connection* found = nullptr;
  reason = Reason::kServiceNoConnection;
  uint16_t known = 0;
  for (uint16_t place = 1; place < services.tags.size(); ++place) {
    const ServiceTag* tag = services.tags[place].get();
    if (!tag) continue;
    for (size_t hop = 0; hop < tag->hops.size(); ++hop)
      for (const Leg& leg : tag->hops[hop].legs) {
        const Portal& portal = *services.portals[leg.portal];
        if (!portal.by_record || portal.workload != frame.source_workload) continue;
        const Connection* c = ctx.connections.peek(frame.headers, tag->tracker);
        if (!c || c->service() != place) continue;
        if (found) {
          reason = known == place ? Reason::kServiceNoConnection : Reason::kServiceAmbiguous;
          return nullptr;
        }
        found = c;
        known = place;
        frame.passage = {place, static_cast<uint8_t>(hop), leg.key};
      }
  }
  return found;
}

// Notes that a leg gave the frame back; false when it gives back more than it was sent.
bool take_back(Frame& frame, Context& ctx, const Leg& leg) {
  LegCounters& counters = counters_of(leg, ctx);
  const int64_t packets = frame.headers.wire_packets;
  if (counters.credit < packets) return drop(ctx, frame, Reason::kServiceLoop);
  counters.credit -= packets;
  counters.returned_packets[frame.reply] += frame.headers.wire_packets;
  counters.returned_bytes[frame.reply] += frame.length;
  return true;
}

// The workload that the frame is from, if its segment knows; else it stays on the account of the portal's.
void find_sender_by_mac(Frame& frame, Context& ctx) {
  const uint32_t place = frame.segment->macs->find(frame.data + 6, ctx.seconds);
  if (place >= ctx.generation->workloads.size() || !ctx.generation->workloads[place]) return;
  frame.source_workload = place;
  frame.source = ctx.generation->workloads[place].get();
}

// Behind the last hop: back to where the frame came in, or on in the client's segment; true lets it go on to forward.
bool leave(Frame& frame, Context& ctx, uint16_t place, const ServiceTag& tag) {
  if (tag.entry) {
    send_to(frame, ctx, place, kEntryHop, *tag.entry);
    return false;
  }
  frame.passage = {};
  const auto& segments = ctx.generation->segments;
  frame.segment = segments[tag.segment].get();
  find_sender_by_mac(frame, ctx);
  return locate_stage(frame, ctx);
}

// A frame under a tag at a gateway: its connection is tracked here, in the client's tracker.
bool enter(Frame& frame, Context& ctx, uint16_t place) {
  if (!track_stage(frame, ctx)) return false;
  if (!frame.headers.icmp_error) frame.connection->set_service(place);
  return advance_stage(frame, ctx);
}

// Finds the connection of a frame that it has sent on before. (An ICMP error is about one.)
bool come_back(Frame& frame, Context& ctx, uint16_t place) {
  if (frame.headers.icmp_error) {
    if (!track_stage(frame, ctx)) return false;
  } else {
    frame.connection = ctx.connections.find(frame.headers, frame.tracker, frame.bucket, ctx.now,
                                            ctx.generation->profiles, frame.reply);
  }
  Connection* c = frame.connection;
  if (c && c->service() == place && !is_denied(*c)) return true;
  frame.connection = nullptr;
  return drop(ctx, frame, Reason::kServiceNoConnection);
}

const Leg* leg_of(const ServiceTag& tag, const Frame& frame, const Context& ctx) {
  const Services& services = *ctx.generation->services;
  if (frame.passage.hop == kEntryHop) return tag.entry.get();
  if (frame.passage.hop >= tag.hops.size()) return nullptr;
  for (const Leg& leg : tag.hops[frame.passage.hop].legs)
    if (leg.key == frame.passage.key && services.portals[leg.portal]->workload == frame.source_workload) return &leg;
  return nullptr;
}

// A frame that guard let in from a portal or, at a gateway, from a client's switch.
[[gnu::noinline]] bool pass_on(Frame& frame, Context& ctx) {
  Headers& h = frame.headers;
  h.hash = hash_of(frame, ctx);
  if (ctx.steering)
    if (unsigned owner = ctx.steering->owner(h.hash); owner != ctx.steering->self)
      return ctx.steering->hand_over(frame, owner) ? false : drop(ctx, frame, Reason::kWorkerRingFull);
  h.tracked = true;
  const Services* services = ctx.generation->services.get();
  if (!services) return drop(ctx, frame, Reason::kServiceTagUnknown);
  if (frame.passage.tag == kTagByRecord) {
    Reason reason;
    if (!find_by_record(frame, ctx, reason)) return drop(ctx, frame, reason);
  }
  const uint16_t place = frame.passage.tag;
  const uint8_t hop = frame.passage.hop;
  const ServiceTag* tag = services->tag(place);
  const Leg* leg = tag ? leg_of(*tag, frame, ctx) : nullptr;
  if (!leg) return drop(ctx, frame, Reason::kServiceTagUnknown);
  frame.tracker = tag->tracker;
  frame.bucket = ctx.connections.prefetch(h.hash, frame.tracker);
  if (!(hop == kEntryHop ? enter(frame, ctx, place) : come_back(frame, ctx, place))) return false;
  if (frame.trace) [[unlikely]]
    note_service(*frame.trace, {place, hop, leg->portal, leg->key, false});
  if (hop == kEntryHop) {
    LegCounters& counters = counters_of(*leg, ctx);
    counters.returned_packets[frame.reply] += h.wire_packets;
    counters.returned_bytes[frame.reply] += frame.length;
  } else if (!take_back(frame, ctx, *leg)) {
    return false;
  }
  const int next = hop == kEntryHop ? first_hop(frame, *tag) : hop + (frame.reply ? -1 : 1);
  return send_on(frame, ctx, place, *tag, next) == Sent::kPast && leave(frame, ctx, place, *tag);
}

// A frame of a client whose flow has a tag. One that nobody else is to get either goes on as ever.
[[gnu::noinline]] bool set_out(Frame& frame, Context& ctx) {
  const uint16_t place = frame.connection->service();
  const ServiceTag* tag = ctx.generation->services ? ctx.generation->services->tag(place) : nullptr;
  if (!tag) return drop(ctx, frame, Reason::kServiceTagUnknown);
  if (is_group(frame.data)) return true;
  return send_on(frame, ctx, place, *tag, first_hop(frame, *tag)) == Sent::kPast;
}

}  // namespace

Served admit_serviced(Frame& frame, Context& ctx) {
  const PortView& port = ctx.generation->ports[frame.port];
  if (port.portals.empty()) return Served::kNot;
  const uint32_t workload = find_portal(port, frame);
  if (workload == kNoWorkload) return Served::kNot;
  const Services& services = *ctx.generation->services;
  Headers& h = frame.headers;
  frame.source_workload = workload;
  frame.source = &ctx.workload(workload);
  frame.segment = &ctx.segment_of(*frame.source);
  const uint32_t key = key_of(frame, ctx, *frame.source);
  const Arrival* arrival = key ? services.find(workload, key) : nullptr;
  // Hosts may have segments in common beside services.
  if (port.tunnel && key && !arrival) return Served::kNot;
  if (h.tags && port.tunnel) return drop(ctx, frame, Reason::kVlanNotAllowed), Served::kDone;
  if (h.tags) strip_tags(frame);
  if (answers_probe(frame, ctx, key)) return Served::kDone;
  if (!arrival && (key || !loses_tags(services, workload)))
    return drop(ctx, frame, Reason::kServiceTagUnknown), Served::kDone;
  if (!is_tracked(h)) return drop(ctx, frame, Reason::kServiceNotTracked), Served::kDone;
  frame.passage = arrival ? Passage{arrival->tag, arrival->hop, key} : Passage{kTagByRecord, 0, 0};
  frame.destination_workload = kManyOutputs;  // until it leaves services
  frame.destination = nullptr;
  frame.connection = nullptr;
  h.tracked = false;
  // Each hop's copy of a fragment is a datagram of its own.
  h.fragment_id ^= key * 0x9e3779b1u;
  WorkloadCounters& counters = ctx.counters.workloads[workload];
  counters.sent_packets += h.wire_packets;
  counters.sent_bytes += frame.length;
  return Served::kYes;
}

bool services_stage(Frame& frame, Context& ctx) {
  if (!frame.connection) return !frame.passage.tag || pass_on(frame, ctx);
  // A flow that is served at a workload may cross an edge pair as well.
  return !frame.connection->service() || frame.bridge || set_out(frame, ctx);
}

void choose_service(const Frame& frame, Context& ctx, Connection& c) {
  const FlowHeaders flow = ctx.connections.flow_of(c);
  c.set_service(0);
  for (const Direction direction : {Direction::kOut, Direction::kIn}) {
    const bool at_source = (direction == Direction::kOut) != frame.reply;
    if (!at_source && !frame.destination) continue;
    const uint32_t place = at_source ? frame.source_workload : frame.destination_workload;
    const Workload& w = ctx.workload(place);
    const IndexEntry* entry = ctx.generation->lookup->first_match(place, direction, flow, kFirstInsertion);
    const ServiceTag* tag = entry ? ctx.generation->services->tag(entry->tag) : nullptr;
    if (!tag || tag->segment != w.segment) continue;
    c.set_service(entry->tag);
    return;
  }
}

}  // namespace headgate
