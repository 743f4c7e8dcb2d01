// The engine whole: worker threads over memory ports with a queue for each, steering, hand-over, reports, and a life
// cycle under traffic.
#include "pipeline/engine.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "pipeline/slices.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

EngineOptions options(unsigned workers, uint32_t connections, const std::string& folder) {
  EngineOptions options;
  options.workers = workers;
  options.connections = connections;
  options.pool_directory = folder;
  return options;
}

struct Running {
  std::string folder = "/dev/shm/hgtest-" + std::to_string(getpid()) + "-engine";
  std::unique_ptr<Engine> engine;
  MemoryPort* a = nullptr;
  MemoryPort* b = nullptr;
  unsigned queues;

  explicit Running(unsigned workers, uint32_t connections = 4096) : queues(std::max(1u, workers)) {
    std::string error;
    engine = Engine::create(options(workers, connections, folder), error);
    REQUIRE_MESSAGE(engine, error);
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.limits = {connections, connections, 1'000'000};
    delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
    delta.set_workloads = {workload("a", kTestSource), workload("b", kTestDestination)};
    delta.set_scopes = {{"a", "1", {"a"}}, {"b", "1", {"b"}}};
    REQUIRE_FALSE(engine->publish(delta));
    a = attach("a");
    b = attach("b");
  }
  ~Running() {
    engine.reset();
    std::filesystem::remove_all(folder);
  }
  MemoryPort* attach(const std::string& name) {
    auto port = std::make_unique<MemoryPort>(PortCapabilities{true, true, true, static_cast<uint16_t>(queues)});
    MemoryPort* memory = port.get();
    const Refusal refusal = engine->attach(name, std::move(port), name, false);
    REQUIRE_MESSAGE(!refusal, refusal.message);
    return memory;
  }
  // What has come out of the port by now, all its queues together.
  std::vector<MemoryFrame> take(MemoryPort* port) {
    std::vector<MemoryFrame> all;
    for (unsigned q = 0; q < queues; ++q)
      for (MemoryFrame& frame : port->take(q)) all.push_back(std::move(frame));
    return all;
  }
  // Waits until `count` frames came out, or were dropped because a worker was behind.
  std::vector<MemoryFrame> take(MemoryPort* port, size_t count) {
    std::vector<MemoryFrame> all;
    for (int tries = 0; tries < 20'000 && all.size() + drops(Reason::kWorkerRingFull) < count; ++tries) {
      for (MemoryFrame& frame : take(port)) all.push_back(std::move(frame));
      if (all.size() < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return all;
  }
  uint64_t drops(Reason reason) {
    const auto stats = engine->stats();
    return stats.drops[static_cast<size_t>(reason)][0] + stats.drops[static_cast<size_t>(reason)][1];
  }
};

Packet flow(uint16_t port) {
  Packet p;
  p.source_port = port;
  p.payload = {static_cast<uint8_t>(port >> 8), static_cast<uint8_t>(port)};
  return p;
}

TEST_CASE("both directions of a flow meet one record, whatever queues they come by") {
  Running r(2);
  constexpr uint16_t kFlows = 200;
  for (uint16_t i = 0; i < kFlows; ++i) r.a->push(flow(i).bytes(), {}, i % 2);
  CHECK(r.take(r.b, kFlows).size() == kFlows);
  for (uint16_t i = 0; i < kFlows; ++i) r.b->push(flow(i).reversed().bytes(), {}, (i / 2) % 2);
  CHECK(r.take(r.a, kFlows).size() == kFlows);
  uint64_t total = 0;
  const auto flows = r.engine->flows(1000, true, total);
  CHECK(total == kFlows);
  REQUIRE(flows.size() == kFlows);
  for (const FlowReport& f : flows) {
    CHECK(f.connection.packets(0) == 1);
    CHECK(f.connection.packets(1) == 1);
    CHECK(f.connection.plain.heard == 3);
    CHECK(f.verdicts.size() == 2);
  }
  const auto stats = r.engine->stats();
  REQUIRE(stats.workers.size() == 2);
  CHECK(stats.workers[0].second + stats.workers[1].second >= 2 * kFlows);
  CHECK(stats.workers[0].second > 20);
  CHECK(stats.workers[1].second > 20);
  CHECK(stats.connections == kFlows);
}

TEST_CASE("ports that are attached together are read from when all are there: the first frame finds them all") {
  for (const bool together : {true, false}) {
    Running r(0);
    for (const char* name : {"a", "b"}) r.engine->detach(name, false);
    if (together) r.engine->attach_together(true);
    r.a = r.attach("a");
    // Its device is up, and its workload asks at once.
    r.a->push(flow(1).bytes());
    r.engine->run(1'000'000'000);
    r.b = r.attach("b");
    if (together) r.engine->attach_together(false);
    r.engine->run(1'001'000'000);
    CHECK(r.take(r.b).size() == together);
    CHECK(r.drops(Reason::kOutputDetached) == !together);
  }
}

TEST_CASE("frames of one flow keep their order across the hand-over") {
  Running r(2);
  // Of a dozen flows some belong to the other worker than the one of queue 0.
  constexpr uint16_t kFrames = 100;
  for (uint16_t i = 0; i < kFrames; ++i)
    for (uint16_t f = 0; f < 12; ++f) {
      Packet p = flow(f);
      p.payload = {static_cast<uint8_t>(f), static_cast<uint8_t>(i)};
      r.a->push(p.bytes(), {}, 0);
    }
  const auto got = r.take(r.b, 12 * kFrames);
  CHECK(got.size() + r.drops(Reason::kWorkerRingFull) == 12 * kFrames);
  std::map<uint8_t, int> last;
  for (const MemoryFrame& frame : got) {
    const uint8_t f = frame.bytes[42];
    CHECK((!last.count(f) || last[f] < frame.bytes[43]));
    last[f] = frame.bytes[43];
  }
}

TEST_CASE("fragments that come by different queues are judged as one packet, in any order") {
  for (bool reversed : {false, true}) {
    CAPTURE(reversed);
    Running r(2);
    const auto push = [&](bool first) {
      for (uint32_t id = 1; id <= 100; ++id) {
        Packet p = flow(static_cast<uint16_t>(id));
        p.id = id;
        if (first)
          p.more = true, p.payload.resize(24);
        else
          p.fragment_offset = 32;
        r.a->push(p.bytes(), {}, first ? id % 2 : (id / 2) % 2);
      }
    };
    push(!reversed);
    if (!reversed) CHECK(r.take(r.b, 100).size() == 100);
    push(reversed);
    CHECK(r.take(r.b, reversed ? 200 : 100).size() == (reversed ? 200 : 100));
    uint64_t total = 0;
    for (const FlowReport& f : r.engine->flows(1000, true, total)) CHECK(f.connection.packets(0) == 2);
    CHECK(total == 100);
  }
}

TEST_CASE("packet threads ask for short slices of the processor") {
  Running r(2);
  r.engine->await_workers();
  size_t workers = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::ifstream(thread.path() / "comm") >> name;
    if (!name.starts_with("headgate-w")) continue;
    ++workers;
    CHECK(slice_of(std::stoi(thread.path().filename())) == (slice_of(0) == 0 ? 0 : kShortSlice));
  }
  CHECK(workers == 2);
}

TEST_CASE("policy and workloads change under traffic and no frame is lost for another reason") {
  Running r(2);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> sent{0}, received{0};
  std::thread traffic([&] {
    constexpr uint64_t kMostUnderWay = 10'000;  // no port gets full, whoever is kept waiting
    for (uint16_t i = 0; !stop; ++i) {
      if (sent - received < kMostUnderWay) sent += r.a->push(flow(i % 500).bytes(), {}, i % 2);
      if (i % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  });
  for (int round = 0; round < 60 || sent < 1000; ++round) {
    Delta delta;
    const std::string name = "w" + std::to_string(round);
    delta.set_workloads.push_back(
        workload(name, Mac{2, 1, 0, 0, static_cast<uint8_t>(round >> 8), static_cast<uint8_t>(round)}));
    if (round) delta.remove_workloads.push_back("w" + std::to_string(round - 1));
    delta.set_rules.push_back(rule("r" + std::to_string(round % 2), Action::kAllow));
    delta.set_entries.push_back(entry("e", delta.set_rules[0].key, 1, "b"));
    REQUIRE_FALSE(r.engine->publish(delta));
    r.attach(name);
    received += r.take(r.b).size();
    r.engine->detach(name, false);
  }
  stop = true;
  traffic.join();
  for (int tries = 0; tries < 20'000 && received + r.drops(Reason::kWorkerRingFull) < sent; ++tries) {
    received += r.take(r.b).size();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(received + r.drops(Reason::kWorkerRingFull) == sent);
  const auto stats = r.engine->stats();
  for (size_t reason = 1; reason < kReasons; ++reason)
    if (static_cast<Reason>(reason) != Reason::kWorkerRingFull)
      CHECK_MESSAGE(stats.drops[reason][0] + stats.drops[reason][1] == 0, kReasonTexts[reason].name);
}

// Two policies that each stop every frame, one at the sender, one at the receiver: only a frame that met half of the
// one and half of the other would pass.
TEST_CASE("no frame is judged by a mixture of two generations") {
  Running r(2);
  const auto policy = [](bool at_sender) {
    Delta delta;
    delta.set_rules = {rule("allow", Action::kAllow), rule("drop", Action::kDrop)};
    delta.set_entries = {{"at-a", "1", at_sender ? "drop" : "allow", 3, 1, false, true, "a"},
                         {"at-b", "1", at_sender ? "allow" : "drop", 3, 2, true, false, "b"}};
    return delta;
  };
  REQUIRE_FALSE(r.engine->publish(policy(true)));
  std::atomic<bool> stop{false};
  std::thread traffic([&] {
    for (uint16_t i = 0; !stop; ++i) {  // new flows and known ones
      r.a->push(flow(i % 3 ? i : i % 30).bytes(), {}, i % 2);
      if (i % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  const auto dropped = [&](Direction d) {
    return r.engine->stats().drops[static_cast<size_t>(Reason::kPolicyDrop)][static_cast<int>(d)];
  };
  size_t passed = 0;
  bool at_sender = true;
  for (int round = 0; round < 300 || dropped(Direction::kIn) < 1000 || dropped(Direction::kOut) < 1000; ++round) {
    REQUIRE_FALSE(r.engine->publish(policy(at_sender = !at_sender)));
    passed += r.take(r.b).size();
  }
  stop = true;
  traffic.join();
  CHECK(passed + r.take(r.b).size() == 0);
}

TEST_CASE("rules beyond the engine's limit are refused") {
  const std::string folder = "/dev/shm/hgtest-" + std::to_string(getpid()) + "-limit";
  EngineOptions limited = options(0, 64, folder);
  limited.rules = 2;
  std::string error;
  auto engine = Engine::create(limited, error);
  REQUIRE_MESSAGE(engine, error);
  Delta delta;
  delta.set_rules = {rule("r", Action::kAllow)};
  delta.set_scopes = {{"s", "1", {}}};
  delta.set_entries = {entry("a", "r", 1, "s"), entry("b", "r", 2, "s"), entry("c", "r", 3, "s")};
  CHECK(engine->publish(delta).code == "table-full");
  CHECK(engine->generation() == 0);
  delta.set_entries.pop_back();
  CHECK_FALSE(engine->publish(delta));
  CHECK(engine->generation() == 1);
  engine.reset();
  std::filesystem::remove_all(folder);
}

TEST_CASE("no frame passes before the first policy") {
  Running r(0);
  std::string error;
  const std::string folder = r.folder + "-closed";
  auto closed = Engine::create(options(0, 64, folder), error);
  REQUIRE_MESSAGE(closed, error);
  auto port = std::make_unique<MemoryPort>();
  port->push(flow(1).bytes());
  CHECK(closed->attach("a", std::move(port), "a", false).code == "unknown-workload");
  CHECK(closed->run(1'000'000'000) == 0);
  closed.reset();
  std::filesystem::remove_all(folder);
}

TEST_CASE("a second engine on the same pools is refused; after the first there is room") {
  std::string error;
  {
    Running r(1);
    CHECK_FALSE(Engine::create(options(1, 64, r.folder), error));
    CHECK(error.find("Another engine owns the pool") != std::string::npos);
  }
  Running again(1);
  CHECK(again.engine->generation() > 0);
}

TEST_CASE("reports name what people know: rules, workloads, flows, logs, failures") {
  Running r(0);
  RuleChange logged = rule("web", Action::kAllow);
  logged.log = true;
  Delta delta;
  delta.set_rules.push_back(logged);
  delta.set_entries.push_back({"policy/web", "1", "web", 3, 1, false, true, "a"});
  REQUIRE_FALSE(r.engine->publish(delta));
  r.a->push(flow(7).bytes());
  r.engine->run(5'000'000'000);
  r.engine->run(8'000'000'000);
  const auto stats = r.engine->stats();
  REQUIRE(stats.hits.size() == 2);
  const HitReport& hit = stats.hits[0].entry.empty() ? stats.hits[1] : stats.hits[0];
  CHECK(hit.entry == "policy/web");
  CHECK(hit.workload == "a");
  CHECK(hit.direction == Direction::kOut);
  CHECK(hit.packets == 1);
  CHECK(hit.idle == doctest::Approx(3.0));
  uint64_t total = 0;
  const auto flows = r.engine->flows(10, false, total);
  REQUIRE(flows.size() == 1);
  CHECK(flows[0].tracker == "lan");
  CHECK(flows[0].idle == doctest::Approx(3.0));
  CHECK(flows[0].expires == doctest::Approx(27.0));
  CHECK(flows[0].verdicts[0].entry == "policy/web");
  CHECK(flows[0].verdicts[1].entry == "");
  const auto logs = r.engine->logs();
  REQUIRE(logs.size() == 1);
  CHECK(logs[0].entry == "policy/web");
  CHECK(logs[0].workload == "a");
  CHECK(r.engine->logs().empty());
  FlowHeaders asked{address_of("10.9.0.1"), address_of("10.9.0.2"), 1, 2, kUdp, 0, 0};
  Action action;
  std::string id;
  REQUIRE(r.engine->classify("a", Direction::kOut, asked, action, id));
  CHECK(id == "policy/web");
  REQUIRE(r.engine->classify("b", Direction::kIn, asked, action, id));
  CHECK(id == "");
  CHECK_FALSE(r.engine->classify("nobody", Direction::kIn, asked, action, id));
  CHECK(r.engine->failures().empty());
  r.b->vanish("device gone");
  REQUIRE(r.engine->failures().size() == 1);
  CHECK(r.engine->failures()[0].workload == "b");
  CHECK(r.engine->failures()[0].detail == "device gone");
}

TEST_CASE("each worker has its share of a limit, rounded up; unset ones are shares of the table") {
  Running r(2, 4096);
  Delta delta;
  delta.limits = {11, 0, 0};
  REQUIRE_FALSE(r.engine->publish(delta));
  for (const WorkloadReport& w : r.engine->stats().workloads) CHECK(w.limits == Limits{12, 256, 512});
}

TEST_CASE("what a workload has begun is reported, and goes down when it ends") {
  Running r(0);
  for (uint16_t i = 0; i < 5; ++i) r.a->push(flow(i).bytes());
  r.engine->run(1'000'000'000);
  for (uint16_t i = 0; i < 2; ++i) r.b->push(flow(i).reversed().bytes());
  r.engine->run(1'001'000'000);
  const auto of_a = [&] { return r.engine->stats().workloads[0]; };
  CHECK(of_a().connections == 5);
  CHECK(of_a().half_open == 3);
  for (uint64_t seconds : {40u, 80u}) r.engine->run(seconds * 1'000'000'000);
  CHECK(of_a().connections == 2);
  CHECK(of_a().half_open == 0);
  CHECK(of_a().begun == 5);
}

// Denied flows do not hold on to their records, established ones do, and all of it within the limit.
TEST_CASE("the connection table stays within its limit under a flood of new flows") {
  Running r(0, 100);
  for (uint16_t i = 0; i < 50; ++i) r.a->push(flow(i).bytes());
  r.engine->run(1'000'000'000);
  for (uint16_t i = 0; i < 50; ++i) r.b->push(flow(i).reversed().bytes());
  r.engine->run(1'001'000'000);
  for (uint32_t t = 0; t < 100; ++t) {
    for (uint16_t i = 0; i < 40; ++i) r.a->push(flow(static_cast<uint16_t>(1000 + t * 40 + i)).bytes());
    r.engine->run(1'002'000'000 + t * 1'000'000);
    REQUIRE(r.engine->stats().connections <= 100);
  }
  CHECK(r.drops(Reason::kConnectionsFull) == 0);
  for (uint16_t i = 0; i < 50; ++i) r.a->push(flow(i).bytes());
  r.engine->run(1'200'000'000);
  uint64_t total = 0;
  int two_way = 0;
  for (const FlowReport& f : r.engine->flows(1000, true, total)) two_way += f.connection.plain.heard == 3;
  CHECK(two_way == 50);
}

}  // namespace
}  // namespace headgate::test
