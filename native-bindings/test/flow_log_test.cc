// Records of flow logs: why each connection ended, what it counted since the record before, and what is lost when
// nobody takes them.
#include "tables/flow_log.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "pipeline/engine.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

struct Logged {
  Bed bed;
  explicit Logged(Action default_action = Action::kAllow, uint32_t connections = 1024)
      : bed(default_action, connections) {
    auto log = std::make_unique<FlowLog>(bed.context().hits, connections);
    bed.worker().swap_flow_log(log);
  }
  FlowLog& log() { return *bed.worker().flow_log(); }
  std::vector<FlowRecord> take() {
    std::vector<FlowRecord> records;
    records.reserve(FlowLog::kRecords);
    while (log().take(records, FlowLog::kRecords)) {
    }
    return records;
  }
  // The one record that there is.
  FlowRecord one() {
    auto records = take();
    REQUIRE(records.size() == 1);
    return records[0];
  }
  bool report_lasting(uint32_t after) {
    return log().report_lasting(bed.context().connections, UINT32_MAX, bed.now(), after);
  }
  void send(const Packet& p) { bed.send("a", p), bed.run(); }
  void answer(const Packet& p) { bed.send("b", p.reversed()), bed.run(); }
  // A connection of TCP that is at work.
  Packet connect(uint16_t port = 40000) {
    Packet p = tcp_packet(kSyn, port);
    send(p);
    p.set_flags(kSyn | kAck), answer(p);
    p.set_flags(kAck), send(p);
    return p;
  }
  void age(uint64_t milliseconds) { bed.pass(milliseconds), bed.run(); }
};

TEST_CASE("a flow that falls idle: when it began, what it counted both ways, and who judged it") {
  Logged l;
  const uint32_t began = l.bed.now();
  Packet p;
  p.protocol = kUdp;
  const size_t length = p.bytes().size();
  l.send(p);
  l.bed.pass(500);
  l.send(p);
  l.answer(p);
  l.age(100'000);
  CHECK(l.take().empty());
  l.age(90'000);
  const FlowRecord record = l.one();
  CHECK(record.end == FlowEnd::kIdle);
  CHECK(record.start == began);
  CHECK(record.connection.last_seen == began + 500);
  CHECK(record.connection.packets(0) == 2);
  CHECK(record.connection.packets(1) == 1);
  CHECK(record.connection.bytes[0] == 2 * length);
  CHECK(record.connection.bytes[1] == length);
  for (int side = 0; side < 2; ++side) {
    CHECK(record.judges[side].entry == 0);
    const auto& workload = l.bed.context().workload(l.bed.place(side ? "b" : "a"));
    CHECK(record.judges[side].workload == workload.serial);
    CHECK(record.judges[side].direction == (side ? Direction::kIn : Direction::kOut));
  }
}

TEST_CASE("a look-up that finds a flow past its time tells its end too") {
  Logged l;
  Packet p;
  p.protocol = kUdp;
  l.send(p);
  l.bed.pass(30'000);
  bool reply;
  const auto c = l.bed.connections()[0];
  Headers h;
  const FlowHeaders flow = l.bed.context().connections.flow_of(c);
  h.layer3 = Layer3::kIpv4;
  h.protocol = kUdp, h.source = flow.source, h.destination = flow.destination;
  h.source_port = c.source_port, h.destination_port = c.destination_port;
  h.hash = hash_flow(h.source, h.source_port, h.destination, h.destination_port, h.protocol, l.bed.context().secret);
  CHECK_FALSE(l.bed.context().connections.find(h, c.tracker, l.bed.now(), Profiles{}, reply));
  CHECK(l.one().end == FlowEnd::kIdle);
}

TEST_CASE("closed by both ends, or reset: the end was detected, though the record times out") {
  for (bool reset : {false, true}) {
    Logged l;
    Packet p = l.connect();
    l.bed.pass(10);
    p.set_flags(reset ? kRst : kFin | kAck);
    l.send(p);
    if (!reset) l.answer(p);
    l.age(12'000);
    CHECK(l.one().end == FlowEnd::kEnd);
  }
}

TEST_CASE("a new connection in place of one that is over") {
  Logged l;
  Packet p = l.connect();
  p.set_flags(kRst);
  l.send(p);
  l.bed.pass(10);
  l.connect();
  const FlowRecord record = l.one();
  CHECK(record.end == FlowEnd::kEnd);
  CHECK(record.connection.packets(0) == 3);
}

TEST_CASE("a connection that a policy ends, by reset or by being judged anew, was forced to") {
  for (auto on_change : {OnChange::kReset, OnChange::kReevaluate}) {
    Logged l;
    RuleChange allow = rule("allow", Action::kAllow);
    allow.on_change = on_change;
    l.bed.index("b", {{allow}}, {{}});
    Packet p = l.connect();
    l.bed.index("b", {{rule("drop", Action::kDrop)}}, {{}});
    l.bed.pass(10);
    l.send(p);
    l.age(7'000);
    const FlowRecord record = l.one();
    CHECK(record.end == FlowEnd::kForced);
    CHECK(record.connection.verdict[1].action == Action::kDrop);
    CHECK(record.connection.packets(0) == 2);
  }
}

TEST_CASE("a denied flow: nothing was let through, and the rule is named") {
  Logged l;
  l.bed.index("b", {{rule("drop", Action::kDrop)}}, {{}});
  Packet p;
  p.protocol = kUdp;
  l.send(p);
  l.age(7'000);
  const FlowRecord record = l.one();
  CHECK(record.end == FlowEnd::kIdle);
  CHECK(record.connection.timeout_class() == TimeoutClass::kDenied);
  CHECK(record.connection.packets(0) == 0);
  CHECK(l.bed.publisher().entry_id(record.judges[1].entry).find("drop") != std::string::npos);
}

TEST_CASE("a flow that makes room for another") {
  Logged l(Action::kAllow, 8);
  Packet p;
  p.protocol = kUdp;
  for (uint16_t i = 0; i < 9; ++i) {
    p.source_port = static_cast<uint16_t>(1000 + i);
    l.send(p);
    l.bed.pass(1);
  }
  const FlowRecord record = l.one();
  CHECK(record.end == FlowEnd::kNoRoom);
  CHECK(record.connection.source_port == 1000);
}

TEST_CASE("a connection that lasts is reported in parts, which sum up to it; one without frames is not") {
  Logged l;
  const uint32_t began = l.bed.now();
  Packet p = l.connect();
  Packet idle = l.connect(50000);
  l.bed.pass(59'999);
  l.report_lasting(60'000);
  CHECK(l.take().empty());
  l.bed.pass(1);
  l.send(p);
  l.report_lasting(60'000);
  auto parts = l.take();
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].end == FlowEnd::kActive);
  CHECK(parts[0].start == began);
  CHECK(parts[0].connection.packets(0) == 3);
  CHECK(parts[0].connection.packets(1) == 1);
  l.report_lasting(60'000);
  CHECK(l.take().empty());

  l.bed.pass(60'000);
  l.send(p);
  l.answer(p);
  l.report_lasting(60'000);
  const FlowRecord second = l.one();
  CHECK(second.connection.source_port == p.source_port);
  CHECK(second.start == began + 60'000);
  CHECK(second.connection.packets(0) == 1);
  CHECK(second.connection.packets(1) == 1);
  CHECK(second.connection.bytes[0] == p.bytes().size());

  p.set_flags(kRst);
  l.bed.pass(10);
  l.send(p);
  l.age(12'000);
  const FlowRecord last = l.one();
  CHECK(last.end == FlowEnd::kEnd);
  CHECK(last.start == began + 120'000);
  CHECK(last.connection.packets(0) == 1);
  CHECK(last.connection.packets(1) == 0);
  // Its place is as good as new.
  l.bed.pass(1);
  p.set_flags(kSyn);
  l.send(p);
  l.age(22'000);
  CHECK(l.one().connection.packets(0) == 1);
}

TEST_CASE("a flow that ends without a frame since its last report begins at its last frame") {
  Logged l;
  Packet p;
  p.protocol = kUdp;
  l.send(p);
  const uint32_t sent = l.bed.now();
  l.bed.pass(10'000);
  l.report_lasting(5'000);
  CHECK(l.one().connection.packets(0) == 1);
  l.age(30'000);
  const FlowRecord end = l.one();
  CHECK(end.start == sent);
  CHECK(end.connection.last_seen == sent);
  CHECK(end.connection.packets(0) == 0);
}

TEST_CASE("the walk over lasting connections goes by slices") {
  Logged l;
  for (uint16_t i = 0; i < 10; ++i) l.connect(static_cast<uint16_t>(2000 + i));
  l.bed.pass(60'000);
  auto slice = [&] { return l.log().report_lasting(l.bed.context().connections, 4, l.bed.now(), 60'000); };
  CHECK(slice());
  CHECK(l.take().size() == 4);
  CHECK(slice());
  CHECK_FALSE(slice());
  CHECK(l.take().size() == 6);
}

TEST_CASE("what finds no room is counted; a part then comes with the next report") {
  Logged l(Action::kAllow, 65536);
  Packet lasting = l.connect();
  Packet p;
  p.protocol = kUdp;
  p.destination = "10.9.0.77";
  for (uint32_t i = 0; i < FlowLog::kRecords + 5; ++i) {
    p.source_port = static_cast<uint16_t>(1000 + i);
    l.send(p);
  }
  l.bed.take("b");
  l.bed.pass(60'000);
  for (int i = 0; i < 1000; ++i) l.bed.run();
  l.send(lasting);
  l.report_lasting(60'000);
  CHECK(l.take().size() == FlowLog::kRecords);
  CHECK(l.log().take_lost() == 5);
  CHECK(l.log().take_lost() == 0);
  l.report_lasting(60'000);
  CHECK(l.one().connection.packets(0) == 3);
}

TEST_CASE("an engine begins with the first call, names rules and workloads, and ends") {
  const std::string folder = "/dev/shm/hg-flow-log-test-" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  std::string error;
  EngineOptions options;
  options.workers = 0;
  options.connections = 1024;
  options.pool_directory = folder;
  auto engine = Engine::create(options, error);
  REQUIRE_MESSAGE(engine, error);
  Delta delta;
  delta.default_action = Action::kDrop;
  delta.set_segments.push_back({"lan", "1", 0, 0, "tracker"});
  delta.set_workloads = {workload("a", kTestSource), workload("b", kTestDestination)};
  delta.set_scopes = {{"both", "1", {"a", "b"}}};
  delta.set_rules = {rule("allow", Action::kAllow)};
  delta.set_entries = {entry("policy/allow", "allow", 1, "both")};
  REQUIRE_FALSE(engine->publish(delta));
  auto port = std::make_unique<MemoryPort>(PortCapabilities{true, true, true, 1});
  MemoryPort* a = port.get();
  REQUIRE_FALSE(engine->attach("a", std::move(port), "a", false));
  REQUIRE_FALSE(engine->attach("b", std::make_unique<MemoryPort>(PortCapabilities{true, true, true, 1}), "b", false));

  uint64_t seconds = 1000;
  auto run = [&](uint64_t pass) { engine->run((seconds += pass) * 1'000'000'000); };
  Packet p;
  p.protocol = kUdp;
  auto flow = [&] {
    REQUIRE(a->push(p.bytes(), p.offload()));
    run(0);
    run(40);
  };
  run(0);
  flow();
  CHECK(engine->flow_log(60'000).records.empty());
  flow();
  FlowLogReport report = engine->flow_log(60'000);
  REQUIRE(report.records.size() == 1);
  const FlowRecordReport& record = report.records[0];
  CHECK(record.tracker == "tracker");
  CHECK(record.start == 1'040'000);
  CHECK(record.connection.last_seen == 1'040'000);
  CHECK(report.now == 1'080'000'000'000);
  REQUIRE(record.verdicts.size() == 2);
  CHECK(record.verdicts[0].workload == "a");
  CHECK(record.verdicts[1].workload == "b");
  for (const auto& verdict : record.verdicts) {
    CHECK(verdict.entry == "policy/allow");
    CHECK(verdict.action == Action::kAllow);
  }

  flow();
  Delta removal;
  removal.remove_entries = {"policy/allow"};
  REQUIRE_FALSE(engine->publish(removal));
  report = engine->flow_log(60'000);
  REQUIRE(report.records.size() == 1);
  CHECK(report.records[0].verdicts[0].entry == "removed");

  engine->end_flow_log();
  flow();
  CHECK(engine->flow_log(60'000).records.empty());
  engine.reset();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace headgate::test
