// A pipeline to test: one worker without a thread, memory ports, and a policy that tests change as they go. Time stands
// still until pass() moves it.
//
//   [memory port] -> worker: stages, tables -> [memory port]       one port per workload
#pragma once

#include <doctest/doctest.h>

#include <map>

#include "pipeline/worker.h"
#include "tables/publisher.h"
#include "test/memory_tunnel.h"
#include "test/policy.h"

namespace headgate::test {

using Category = std::vector<RuleChange>;

using Category = std::vector<RuleChange>;

class Bed {
 public:
  // Workloads "a" (kTestSource) and "b" (kTestDestination) in the segment "lan", free to use any address.
  explicit Bed(Action default_action = Action::kAllow, uint32_t connections = 1024) : Bed(connections) {
    Delta delta;
    delta.default_action = default_action;
    delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    publish(delta);
    add(workload("a", kTestSource));
    add(workload("b", kTestDestination));
  }

  // Nothing in it yet.
  explicit Bed(uint32_t connections)
      : memory_(ConnectionTable::bytes_for(connections)), worker_(options(memory_.data(), connections)) {}

  MemoryPort& add(const WorkloadChange& change, const PortCapabilities& can = {true, true, true, 1},
                  size_t capacity = 65536) {
    Delta delta;
    delta.set_workloads.push_back(change);
    publish(delta);
    auto port = std::make_unique<MemoryPort>(can, capacity);
    MemoryPort& memory = *port;
    attach(change.name, std::move(port));
    ports_[change.name] = &memory;
    return memory;
  }

  void attach(const std::string& name, std::unique_ptr<Port> port, bool trunk = false) {
    auto attached = std::make_shared<AttachedPort>();
    attached->port = std::move(port);
    attached->trunk = trunk;
    attached->device = name;
    const Refusal refusal = publisher_.bind(name, std::move(attached));
    REQUIRE_MESSAGE(!refusal, refusal.message);
    spread();
  }

  // The far side of segment `lan` behind a remote; all that are added stand on the one tunnel of the bed.
  MemoryTunnel& add_remote(const std::string& name, const std::string& address, uint32_t key = 7,
                           bool fragment = false) {
    Delta delta;
    delta.set_workloads.push_back(workload(name));
    delta.set_workloads.back().remote = {address, key, fragment};
    publish(delta);
    if (!tunnel_) {
      auto port = std::make_unique<MemoryTunnel>();
      tunnel_ = std::make_shared<AttachedPort>();
      tunnel_->tunnel = port.get();
      tunnel_->port = std::move(port);
      tunnel_->device = "tunnel";
    }
    const Refusal refusal = publisher_.bind(name, tunnel_);
    REQUIRE_MESSAGE(!refusal, refusal.message);
    spread();
    (*publisher_.find_workload(name))->remote->most = tunnel().most;
    return tunnel();
  }
  MemoryTunnel& tunnel() { return static_cast<MemoryTunnel&>(*tunnel_->tunnel); }
  void arrive(const std::string& remote, const Bytes& bytes, uint32_t key = 7, const Offload& offload = {}) {
    tunnel().in.push_back({bytes, {*parse_address(remote), key, false, Reason::kNone}, offload});
  }

  void detach(const std::string& name) {
    auto last = publisher_.unbind(name);
    spread();
    ports_.erase(name);
  }

  // Requires that it is accepted.
  void publish(const Delta& delta) {
    const Refusal refusal = publisher_.apply(delta);
    REQUIRE_MESSAGE(!refusal, refusal.message);
    spread();
  }

  // Replaces a workload's index tables by these rules, by category; one list alone is the application category.
  void index(const std::string& name, const std::vector<Category>& in, const std::vector<Category>& out) {
    Delta delta;
    auto table = [&](const std::vector<Category>& categories) {
      RuleKeys keys(kCategories);
      for (size_t i = 0; i < categories.size(); ++i)
        for (const RuleChange& change : categories[i]) {
          keys[categories.size() == 1 ? kCategories - 1 : i].push_back(change.key);
          if (std::none_of(delta.set_rules.begin(), delta.set_rules.end(),
                           [&](const auto& r) { return r.key == change.key; }))
            delta.set_rules.push_back(change);
        }
      return keys;
    };
    const RuleKeys in_keys = table(in), out_keys = table(out);
    tables_.set(delta, name, in_keys, out_keys);
    publish(delta);
  }

  void spread() {
    auto next = publisher_.build();
    worker_.ask([&](Worker& w) { w.adopt(next); });
    publisher_.settled();
  }

  void send(const std::string& from, const Bytes& bytes, const Offload& offload = {}) {
    REQUIRE(ports_.at(from)->push(bytes, offload));
  }
  void send(const std::string& from, const Packet& packet) { send(from, packet.bytes(), packet.offload()); }
  size_t run() { return worker_.run(now_ * 1'000'000); }
  std::vector<MemoryFrame> take(const std::string& name) { return ports_.at(name)->take(); }

  // Sends, runs, and tells how many frames reached `to`.
  size_t reached(const std::string& from, const Packet& packet, const std::string& to) {
    send(from, packet);
    run();
    return take(to).size();
  }

  void pass(uint64_t milliseconds) { now_ += milliseconds; }
  uint32_t now() const { return static_cast<uint32_t>(now_); }

  uint64_t drops(Reason reason) { return drops(reason, Direction::kIn) + drops(reason, Direction::kOut); }
  uint64_t drops(Reason reason, Direction direction) {
    return worker_.counters().totals.drops[static_cast<size_t>(reason)][static_cast<int>(direction)];
  }
  uint64_t drops() {
    uint64_t sum = 0;
    for (const auto& both : worker_.counters().totals.drops) sum += both[0] + both[1];
    return sum;
  }
  const WorkloadCounters& counters(const std::string& name) { return worker_.counters().workloads[place(name)]; }
  uint32_t place(const std::string& name) {
    const auto& all = worker_.generation()->workloads;
    for (uint32_t i = 0; i < all.size(); ++i)
      if (all[i] && all[i]->name == name) return i;
    return kNoWorkload;
  }
  uint32_t epoch(const std::string& name) { return worker_.generation()->epochs[place(name)]; }

  // The counters of a rule (or of the default: "") at a workload; null when it has never decided there.
  const Hit* hit(const std::string& rule, const std::string& name, Direction direction) {
    const Hit* found = nullptr;
    const uint32_t serial = worker_.generation()->workloads[place(name)]->serial;
    context().hits.walk(0, UINT32_MAX, [&](const Hit& hit) {
      if (hit.workload == serial && hit.direction == direction && rule_of(hit) == rule) found = &hit;
    });
    return found;
  }
  // The rule that the counters are of, among those that index() has set.
  std::string rule_of(const Hit& hit) const { return hit.entry ? Tables::rule_of(publisher_.entry_id(hit.entry)) : ""; }
  std::vector<Connection> connections() {
    std::vector<Connection> all;
    uint32_t from = 0;
    do from = context().connections.walk(from, 1000, [&](const Connection& c) { all.push_back(c); });
    while (from);
    return all;
  }

  Publisher& publisher() { return publisher_; }
  Worker& worker() { return worker_; }
  Context& context() { return worker_.context(); }
  MemoryPort& port(const std::string& name) { return *ports_.at(name); }

 private:
  static WorkerOptions options(uint8_t* memory, uint32_t connections) {
    WorkerOptions options;
    options.connection_memory = memory;
    options.connections = connections;
    options.secret = 0x1234567890abcdefull;
    return options;
  }

  std::vector<uint8_t> memory_;
  Publisher publisher_;
  Tables tables_;
  Worker worker_;
  std::map<std::string, MemoryPort*> ports_;
  std::shared_ptr<AttachedPort> tunnel_;
  uint64_t now_ = 1'000'000;  // milliseconds
};

}  // namespace headgate::test
