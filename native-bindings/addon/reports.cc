#include "addon/reports.h"

#include <chrono>
#include <cmath>
#include <ctime>

namespace headgate {
namespace {

double number(uint64_t n) {
  return static_cast<double>(n);
}

template <class List, class Write>
Napi::Array write_list(Napi::Env env, const List& list, Write write) {
  Napi::Array out = Napi::Array::New(env, list.size());
  uint32_t i = 0;
  for (const auto& item : list) {
    Napi::HandleScope scope(env);
    out.Set(i++, write(item));
  }
  return out;
}

Napi::Object write_names(Napi::Env env, const std::map<std::string, std::string>& names) {
  Napi::Object out = Napi::Object::New(env);
  for (const auto& [name, digest] : names) out.Set(name, digest);
  return out;
}

Napi::Array write_pair(Napi::Env env, const uint64_t (&pair)[2]) {
  Napi::Array out = Napi::Array::New(env, 2);
  out.Set(0u, number(pair[0]));
  out.Set(1u, number(pair[1]));
  return out;
}

Napi::Object write_workload(Napi::Env env, const WorkloadReport& w) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("workload", w.workload);
  out.Set("sentPackets", number(w.counters.sent_packets));
  out.Set("sentBytes", number(w.counters.sent_bytes));
  out.Set("receivedPackets", number(w.counters.received_packets));
  out.Set("receivedBytes", number(w.counters.received_bytes));
  Napi::Object drops = Napi::Object::New(env);
  for (size_t r = 1; r < kReasons; ++r)
    if (w.counters.drops[r]) drops.Set(kReasonTexts[r].name, number(w.counters.drops[r]));
  out.Set("drops", drops);
  out.Set("connections", w.connections);
  out.Set("halfOpen", w.half_open);
  out.Set("begun", number(w.begun));
  Napi::Object limits = Napi::Object::New(env);
  limits.Set("connections", w.limits.connections);
  limits.Set("halfOpen", w.limits.half_open);
  limits.Set("newPerSecond", w.limits.new_per_second);
  out.Set("limits", limits);
  return out;
}

Napi::Object write_hit(Napi::Env env, const HitReport& hit) {
  Napi::Object out = Napi::Object::New(env);
  if (!hit.entry.empty()) out.Set("rule", hit.entry);
  out.Set("workload", hit.workload);
  out.Set("direction", name_of(hit.direction));
  out.Set("flows", number(hit.flows));
  out.Set("packets", number(hit.packets));
  out.Set("bytes", number(hit.bytes));
  out.Set("idle", hit.idle);
  return out;
}

Napi::Array write_drops(Napi::Env env, const StatsReport& stats) {
  Napi::Array out = Napi::Array::New(env);
  for (size_t r = 1; r < kReasons; ++r)
    for (auto direction : {Direction::kOut, Direction::kIn}) {
      Napi::Object drop = Napi::Object::New(env);
      drop.Set("reason", kReasonTexts[r].name);
      drop.Set("text", kReasonTexts[r].text);
      drop.Set("direction", name_of(direction));
      drop.Set("packets", number(stats.drops[r][static_cast<int>(direction)]));
      out.Set(out.Length(), drop);
    }
  return out;
}

Napi::Object write_verdict(Napi::Env env, const VerdictReport& verdict) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("workload", verdict.workload);
  out.Set("direction", name_of(verdict.direction));
  out.Set("action", name_of(verdict.action));
  if (!verdict.entry.empty()) out.Set("rule", verdict.entry);
  return out;
}

bool has_ports(uint8_t protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kSctp;
}

Napi::Object write_connection(Napi::Env env, const Connection& c, const FlowHeaders& flow, const std::string& tracker,
                              const std::vector<VerdictReport>& verdicts) {
  Napi::Object out = write_flow_headers(env, flow);
  out.Set("tracker", tracker);
  out.Set("state", is_denied(c) ? "denied" : state_of(c));
  out.Set("verdicts", write_list(env, verdicts, [&](const VerdictReport& v) { return write_verdict(env, v); }));
  out.Set("packets", write_pair(env, {c.packets(0), c.packets(1)}));
  out.Set("bytes", write_pair(env, c.bytes));
  return out;
}

Napi::Object write_portal(Napi::Env env, const PortalReport& portal) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("portal", portal.portal);
  out.Set("state", portal.state);
  if (*portal.fault) out.Set("fault", portal.fault);
  out.Set("probes", number(portal.probes));
  out.Set("failures", number(portal.failures));
  out.Set("changes", number(portal.changes));
  if (portal.since >= 0) out.Set("since", portal.since);
  return out;
}

Napi::Object write_leg(Napi::Env env, const LegReport& leg) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("tag", leg.tag);
  out.Set("hop", leg.hop);
  out.Set("portal", leg.portal);
  out.Set("key", leg.key);
  out.Set("sentPackets", write_pair(env, leg.counters.sent_packets));
  out.Set("sentBytes", write_pair(env, leg.counters.sent_bytes));
  out.Set("returnedPackets", write_pair(env, leg.counters.returned_packets));
  out.Set("returnedBytes", write_pair(env, leg.counters.returned_bytes));
  out.Set("bypassedPackets", number(leg.counters.bypassed));
  out.Set("refusedPackets", number(leg.counters.refused));
  return out;
}

Napi::Object write_flow(Napi::Env env, const FlowReport& flow) {
  Napi::Object out = write_connection(env, flow.connection, flow.flow, flow.tracker, flow.verdicts);
  out.Set("age", flow.age);
  out.Set("idle", flow.idle);
  out.Set("expires", flow.expires);
  if (!flow.service.tag.empty()) {
    Napi::Object service = Napi::Object::New(env);
    service.Set("tag", flow.service.tag);
    service.Set("portals", write_list(env, flow.service.portals,
                                      [&](const std::string& name) { return Napi::String::New(env, name); }));
    out.Set("service", service);
  }
  return out;
}

}  // namespace

Napi::Object write_flow_headers(Napi::Env env, const FlowHeaders& flow) {
  const bool ports = has_ports(flow.protocol);
  Napi::Object out = Napi::Object::New(env);
  out.Set("protocol", flow.protocol);
  out.Set("source", format_address(flow.source));
  out.Set("sourcePort", ports ? flow.source_port : 0);
  out.Set("destination", format_address(flow.destination));
  out.Set("destinationPort", ports ? flow.destination_port : 0);
  if (flow.protocol == kIcmp || flow.protocol == kIcmp6) {
    out.Set("icmpType", flow.icmp_type);
    out.Set("icmpCode", flow.icmp_code);
  }
  return out;
}

Napi::Object write_inventory(Napi::Env env, const Publisher::InventoryView& inventory, uint64_t generation) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("generation", number(generation));
  if (inventory.default_action) out.Set("defaultAction", name_of(*inventory.default_action));
  out.Set("addressSets", write_names(env, inventory.address_sets));
  out.Set("rules",
          write_list(env, inventory.rules, [&](const std::string& key) { return Napi::String::New(env, key); }));
  out.Set("segments", write_names(env, inventory.segments));
  out.Set("workloads", write_names(env, inventory.workloads));
  out.Set("scopes", write_names(env, inventory.scopes));
  out.Set("portals", write_names(env, inventory.portals));
  out.Set("tags", write_names(env, inventory.tags));
  Napi::Object entries = Napi::Object::New(env);
  for (const auto& [id, entry] : inventory.entries) {
    Napi::HandleScope scope(env);
    Napi::Array one = Napi::Array::New(env, 3);
    one.Set(0u, entry.digest);
    one.Set(1u, entry.category);
    one.Set(2u, number(entry.order));
    entries.Set(id, one);
  }
  out.Set("entries", entries);
  return out;
}

Napi::Object write_stats(Napi::Env env, const StatsReport& stats) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("generation", number(stats.generation));
  out.Set("connections", stats.connections);
  out.Set("connectionsLimit", stats.connections_limit);
  out.Set("drops", write_drops(env, stats));
  out.Set("workloads",
          write_list(env, stats.workloads, [&](const WorkloadReport& w) { return write_workload(env, w); }));
  out.Set("hits", write_list(env, stats.hits, [&](const HitReport& hit) { return write_hit(env, hit); }));
  out.Set("workers", write_list(env, stats.workers, [&](const auto& worker) {
            Napi::Object one = Napi::Object::New(env);
            one.Set("batches", number(worker.first));
            one.Set("frames", number(worker.second));
            return one;
          }));
  out.Set("portals", write_list(env, stats.portals, [&](const PortalReport& p) { return write_portal(env, p); }));
  out.Set("legs", write_list(env, stats.legs, [&](const LegReport& leg) { return write_leg(env, leg); }));
  return out;
}

Napi::Object write_flows(Napi::Env env, const std::vector<FlowReport>& flows, uint64_t total) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("flows", write_list(env, flows, [&](const FlowReport& flow) { return write_flow(env, flow); }));
  out.Set("total", number(total));
  return out;
}

Napi::Object write_flow_log(Napi::Env env, const FlowLogReport& log) {
  const auto wall =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  const auto now = static_cast<uint32_t>(log.now / 1'000'000);
  const int64_t behind = wall - static_cast<int64_t>(log.now % 1'000'000);  // that millisecond's begin, by the wall
  auto time_of = [&](uint32_t milliseconds) {
    return std::floor(static_cast<double>(behind) / 1e6 - static_cast<double>(now - milliseconds));
  };
  Napi::Object out = Napi::Object::New(env);
  out.Set("records", write_list(env, log.records, [&](const FlowRecordReport& record) {
            Napi::Object one = write_connection(env, record.connection, record.flow, record.tracker, record.verdicts);
            one.Set("start", time_of(record.start));
            one.Set("end", time_of(record.connection.last_seen));
            one.Set("reason", name_of(record.end));
            return one;
          }));
  out.Set("lost", number(log.lost));
  return out;
}

Napi::Array write_logs(Napi::Env env, const std::vector<LogReport>& logs) {
  double now = static_cast<double>(time(nullptr)) * 1000;
  return write_list(env, logs, [&](const LogReport& log) {
    const FlowHeaders& flow = log.line.flow;
    bool ports = has_ports(flow.protocol);
    Napi::Object out = Napi::Object::New(env);
    out.Set("time", now - log.age * 1000);
    if (!log.entry.empty()) out.Set("rule", log.entry);
    out.Set("workload", log.workload);
    out.Set("direction", name_of(log.line.direction));
    out.Set("action", name_of(log.line.action));
    out.Set("mode", log.line.observe ? "observe" : "enforce");
    out.Set("protocol", flow.protocol);
    out.Set("source", format_address(flow.source));
    out.Set("sourcePort", ports ? flow.source_port : 0);
    out.Set("destination", format_address(flow.destination));
    out.Set("destinationPort", ports ? flow.destination_port : 0);
    out.Set("suppressed", log.line.suppressed);
    return out;
  });
}

}  // namespace headgate
