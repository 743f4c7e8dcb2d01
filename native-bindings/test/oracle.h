// The slow judges of property tests, written without a look at how the packet path does it.
//
// Policy            walks entries in order, on the texts that control sent
// Firewall          a model of the stateful firewall: records in a std::map, one frame at a time
#pragma once

#include <map>
#include <set>
#include <tuple>

#include "packet/parse.h"
#include "packet/wire.h"
#include "tables/connections.h"
#include "tables/delta.h"
#include "test/frames.h"

namespace headgate::test {

// A set as it came to be: ranges that were put in and taken out, one after the other.
struct SetStep {
  bool put_in;
  std::string range;
};
using Sets = std::map<std::string, std::vector<SetStep>>;  // by name
using Rules = std::map<std::string, RuleChange>;
using Entries = std::map<std::string, EntryChange>;
using Scopes = std::map<std::string, std::set<std::string>>;  // workloads

inline bool oracle_in(const Sets& sets, const std::optional<std::vector<std::string>>& names, const Address& address) {
  if (!names) return true;
  for (const std::string& name : *names) {
    bool in = false;
    for (const SetStep& step : sets.at(name)) {
      const AddressRange range = *parse_address_range(step.range);
      if (is_ipv4(range.first) == is_ipv4(address) && !(address < range.first) && !(range.last < address))
        in = step.put_in;
    }
    if (in) return true;
  }
  return false;
}

inline bool oracle_matches(const Sets& sets, const RuleChange& rule, const FlowHeaders& flow) {
  if (!oracle_in(sets, rule.sources, flow.source) || !oracle_in(sets, rule.destinations, flow.destination))
    return false;
  if (!rule.services) return true;
  const auto within = [](const std::vector<PortRange>& ranges, int port) {
    if (ranges.empty()) return true;
    for (const PortRange& range : ranges)
      if (port >= range.first && port <= range.last) return true;
    return false;
  };
  for (const ServiceMatch& s : *rule.services) {
    const bool has_ports = flow.protocol == 6 || flow.protocol == 17 || flow.protocol == 132;
    const bool has_type = flow.protocol == 1 || flow.protocol == 58;
    if (s.protocol >= 0 && s.protocol != flow.protocol) continue;
    if ((!s.ports.empty() || !s.source_ports.empty()) && !has_ports) continue;
    if ((s.icmp_type >= 0 || s.icmp_code >= 0) && !has_type) continue;
    if (has_ports && (!within(s.ports, flow.destination_port) || !within(s.source_ports, flow.source_port))) continue;
    if (has_type && s.icmp_type >= 0 && s.icmp_type != flow.icmp_type) continue;
    if (has_type && s.icmp_code >= 0 && s.icmp_code != flow.icmp_code) continue;
    return true;
  }
  return false;
}

struct OracleDecision {
  Action action;
  OnChange on_change = OnChange::kReevaluate;
  std::string entry;  // "": the default
  bool operator==(const OracleDecision&) const = default;
};

struct Policy {
  Sets sets;
  Rules rules;
  Scopes scopes;
  Entries entries;
  Action default_action = Action::kAllow;

  OracleDecision decides(const std::string& workload, Direction direction, const FlowHeaders& flow) const {
    std::map<std::pair<uint32_t, uint64_t>, const EntryChange*> table;
    for (const auto& [id, entry] : entries)
      if ((direction == Direction::kIn ? entry.in : entry.out) && scopes.at(entry.scope).count(workload))
        table[{entry.category, entry.order}] = &entry;
    int passed = -1;  // category
    for (const auto& [place, entry] : table) {
      const RuleChange& rule = rules.at(entry->rule);
      if (static_cast<int>(place.first) <= passed || rule.observe || !oracle_matches(sets, rule, flow)) continue;
      if (rule.action != Action::kPass) return {rule.action, rule.on_change, entry->id};
      passed = static_cast<int>(place.first);
    }
    return {default_action, OnChange::kReevaluate, ""};
  }
};

// What the firewall makes of one frame.
struct Outcome {
  bool passes = false;
  int to_sender = 0;  // answers
  int to_receiver = 0;
  bool operator==(const Outcome&) const = default;
};

// The stateful firewall of workloads in one segment, each frame with one receiver. Only what decides over frames is
// modelled; a table that is full is not.
class Firewall {
 public:
  Policy policy;
  int version = 0;  // of the policy: another one means that records are judged again
  Timeouts timeouts;

  // What a parsed frame does from one workload to another, at `now` milliseconds.
  Outcome frame(const Frame& frame, const std::string& from, const std::string& to, uint32_t now) {
    const Headers& h = frame.headers;
    if (is_error(h)) return {};  // about nothing that a connection has sent
    const Key forward{h.source, h.source_port, h.destination, h.destination_port, h.protocol};
    const Key backward{h.destination, h.destination_port, h.source, h.source_port, h.protocol};
    bool reply = false;
    auto found = records_.find(forward);
    if (found == records_.end()) {
      found = records_.find(backward);
      reply = found != records_.end();
    }
    const bool begins = h.protocol == 6 && (h.tcp_flags & 2) && !(h.tcp_flags & 16);
    if (found != records_.end()) {
      const Record& r = found->second;
      const bool over = r.ended || r.tcp.is_over();
      if (now - r.last >= idle_time(r, h.protocol) || (begins && over)) {
        records_.erase(found);
        found = records_.end();
        reply = false;
      }
    }
    if (found == records_.end()) {
      found = records_.emplace(forward, Record{}).first;
      found->second.last = now;
      found->second.flow = {h.source,   h.destination, h.source_port, h.destination_port,
                            h.protocol, h.icmp_type,   h.icmp_code};
    }
    Record& r = found->second;
    Outcome outcome;
    const std::string at[2] = {reply ? to : from, reply ? from : to};  // the initiator's workload and the responder's
    for (int step = 0; step < 2; ++step) {
      const int side = step == 0 ? (reply ? 1 : 0) : (reply ? 0 : 1);
      judge(r, side, at[side]);
      if (r.verdict[side].action == Action::kAllow && !r.ended) continue;
      r.denied = true;
      r.last = now;
      const bool tcp = h.protocol == 6, rst = tcp && (h.tcp_flags & 4);
      if (r.ended) {
        outcome.to_sender = outcome.to_receiver = tcp && !rst;
      } else if (r.verdict[side].action == Action::kReject) {
        outcome.to_sender = tcp ? !rst : !is_error(h);
      }
      return outcome;
    }
    if (h.protocol == 6) return follow_tcp(found, tcp_segment(frame), reply, now);
    if (h.protocol == 132) {
      // Of SCTP the frames of these worlds have a tag alone: the first of each side tells which.
      const uint32_t tag = load32(frame.data + h.layer4_offset + 4);
      uint32_t& known = r.tag[reply];
      if (tag == 0 || (known && known != tag)) {
        if (!r.heard[0] && !r.heard[1]) records_.erase(found);
        return outcome;
      }
      known = tag;
    }
    r.heard[reply] = true;
    r.denied = false;
    r.last = now;
    outcome.passes = true;
    return outcome;
  }

  size_t records() const { return records_.size(); }

 private:
  using Key = std::tuple<Address, uint16_t, Address, uint16_t, uint8_t>;
  struct Judged {
    std::string workload;
    int version = -1;
    Action action = Action::kDrop;
    OnChange on_change = OnChange::kReevaluate;
  };
  struct Record {
    FlowHeaders flow;
    TcpTracking tcp;
    uint32_t tag[2] = {};
    bool heard[2] = {false, false};
    bool denied = false, ended = false;
    uint32_t last = 0;
    Judged verdict[2];
  };

  void judge(Record& r, int side, const std::string& workload) {
    Judged& v = r.verdict[side];
    if (v.workload == workload && v.version == version) return;
    const bool was_allowed = v.workload == workload && v.action == Action::kAllow;
    if (was_allowed && v.on_change == OnChange::kKeep) {
      v.version = version;
      return;
    }
    const OracleDecision d = policy.decides(workload, side == 0 ? Direction::kOut : Direction::kIn, r.flow);
    if (was_allowed && d.action != Action::kAllow && v.on_change == OnChange::kReset) r.ended = true;
    v = {workload, version, d.action, d.on_change};
  }

  static bool is_error(const Headers& h) {
    if (h.protocol == 58) return h.icmp_type < 128;
    return h.protocol == 1 &&
           (h.icmp_type == 3 || h.icmp_type == 4 || h.icmp_type == 5 || h.icmp_type == 11 || h.icmp_type == 12);
  }

  using Records = std::map<Key, Record>;
  // TCP's own rules are judged by models of their own (tcp_state_model_test.cc).
  Outcome follow_tcp(Records::iterator found, const TcpSegment& segment, bool reply, uint32_t now) {
    Record& r = found->second;
    const TcpVerdict verdict = r.tcp.judge(segment, reply, TrackingMode::kPickup);
    Outcome outcome;
    outcome.passes = verdict == TcpVerdict::kOk || verdict == TcpVerdict::kUnchanged || verdict == TcpVerdict::kReopen;
    if (!outcome.passes && r.tcp.state == TcpState::kNone) records_.erase(found);
    if (verdict != TcpVerdict::kOk) return outcome;
    r.tcp.advance(segment, reply);
    r.denied = false;
    r.last = now;
    return outcome;
  }

  uint32_t idle_time(const Record& r, uint8_t protocol) const {
    if (r.denied) return timeouts.denied;
    const bool two_way = r.heard[0] && r.heard[1];
    if (protocol == 6) {
      using enum TcpState;
      const TcpState state = r.tcp.state;
      if (state == kEstablished || state == kFinWait || state == kCloseWait) return timeouts.tcp_established;
      return state == kLastAck || state == kTimeWait || state == kReset ? timeouts.tcp_closing : timeouts.tcp_opening;
    }
    if (protocol == 17) return two_way ? timeouts.udp_two_way : timeouts.udp_one_way;
    return protocol == 1 || protocol == 58 ? timeouts.icmp : timeouts.other;
  }

  std::map<Key, Record> records_;
};

}  // namespace headgate::test
