// Traces: what a record says of a frame's way, that simulating changes nothing, and that frames beside a traced one
// keep their order and their fate.
#include "pipeline/trace.h"

#include <doctest/doctest.h>

#include <pcap/pcap.h>

#include "pipeline/simulate.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

constexpr uint32_t kTrace = 7;

std::vector<bpf_insn> compile(const char* expression) {
  pcap_t* pcap = pcap_open_dead(DLT_EN10MB, kMaxFrame);
  bpf_program program;
  REQUIRE(pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) == 0);
  std::vector<bpf_insn> copy(program.bf_insns, program.bf_insns + program.bf_len);
  pcap_freecode(&program);
  pcap_close(pcap);
  return copy;
}

// A bed with a trace on its worker.
struct Traced : Bed {
  explicit Traced(TraceFilter filter = {}, Action default_action = Action::kAllow) : Bed(default_action) {
    start(std::move(filter));
  }
  void start(TraceFilter filter) {
    worker().tracer().start(0, kTrace, std::make_shared<TraceFilter>(std::move(filter)));
  }
  TakenTraces take_traces(size_t most = SIZE_MAX, size_t bytes = SIZE_MAX) {
    return worker().tracer().take(0, most, bytes);
  }
  std::unique_ptr<TraceRecord> trace(const std::string& from, const Packet& packet) {
    send(from, packet);
    run();
    TakenTraces taken = take_traces();
    REQUIRE(taken.records.size() == 1);
    return std::move(taken.records[0]);
  }
  uint32_t serial(const std::string& name) { return worker().generation()->workloads[place(name)]->serial; }
};

Packet answer_to(Packet p) {
  std::swap(p.source, p.destination);
  std::swap(p.source_mac, p.destination_mac);
  std::swap(p.source_port, p.destination_port);
  return p;
}

TEST_CASE("a record follows a frame from its port to the one it leaves by") {
  Traced bed;
  const auto first = bed.trace("a", tcp_packet(kSyn));
  CHECK(first->stage == std::string("transmit"));
  CHECK(first->workload == bed.serial("a"));
  CHECK(first->destination == bed.serial("b"));
  CHECK(first->parsed);
  CHECK(first->source_mac == kTestSource);
  REQUIRE(first->connection);
  CHECK(first->connection->is_new);
  CHECK(std::string(first->connection->before) == "none");
  CHECK(std::string(first->connection->after) == "syn-sent");
  REQUIRE(first->verdicts.size() == 2);
  CHECK(first->verdicts[0].workload == bed.serial("a"));
  CHECK(first->verdicts[0].direction == Direction::kOut);
  CHECK(first->verdicts[0].is_new);
  CHECK(first->verdicts[1].direction == Direction::kIn);
  REQUIRE(first->outputs.size() == 1);
  CHECK(first->outputs[0].workload == bed.serial("b"));
  CHECK_FALSE(first->outputs[0].answer);
  CHECK(first->drops.empty());

  const auto reply = bed.trace("b", answer_to(tcp_packet(kSyn | kAck)));
  REQUIRE(reply->connection);
  CHECK_FALSE(reply->connection->is_new);
  CHECK(reply->connection->reply);
  CHECK(std::string(reply->connection->after) == "syn-received");
  REQUIRE(reply->verdicts.size() == 2);
  CHECK(reply->verdicts[0].workload == bed.serial("b"));
  CHECK(reply->verdicts[0].direction == Direction::kIn);
  CHECK_FALSE(reply->verdicts[0].is_new);
}

TEST_CASE("a record names the stage, the reason and the workload of a drop, and what answers it") {
  Traced bed;
  bed.index("b", {{rule("no", Action::kReject)}}, {{}});
  const auto refused = bed.trace("a", tcp_packet(kSyn));
  CHECK(refused->stage == std::string("classify"));
  REQUIRE(refused->drops.size() == 1);
  CHECK(refused->drops[0].reason == Reason::kPolicyReject);
  CHECK(refused->drops[0].workload == bed.serial("b"));
  CHECK(refused->drops[0].direction == Direction::kIn);
  REQUIRE(refused->verdicts.size() == 2);
  CHECK(refused->verdicts[1].action == Action::kReject);
  CHECK(refused->verdicts[1].entry != 0);
  REQUIRE(refused->outputs.size() == 1);
  CHECK(refused->outputs[0].answer);
  CHECK(refused->outputs[0].workload == bed.serial("a"));

  Packet spoofed;
  spoofed.source_mac[5] = 77;
  const auto guarded = bed.trace("a", spoofed);
  CHECK(guarded->stage == std::string("guard"));
  REQUIRE(guarded->drops.size() == 1);
  CHECK(guarded->drops[0].reason == Reason::kSpoofedMac);
  CHECK(guarded->verdicts.empty());

  bed.port("b").vanish("gone");
  bed.index("b", {{rule("yes", Action::kAllow)}}, {{}});
  const auto lost = bed.trace("a", tcp_packet(kSyn));
  CHECK(lost->stage == std::string("transmit"));
  REQUIRE(lost->drops.size() == 1);
  CHECK(lost->drops[0].reason == Reason::kOutputDown);
}

TEST_CASE("a flooded frame is told by its receivers") {
  Traced bed;
  bed.add(workload("c", Mac{2, 0, 0, 0, 0, 3}));
  bed.index("c", {{rule("no", Action::kDrop)}}, {{}});
  Packet p;
  p.destination_mac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  const auto record = bed.trace("a", p);
  CHECK(record->flooded);
  CHECK(record->destination == 0);
  REQUIRE(record->outputs.size() == 1);
  CHECK(record->outputs[0].workload == bed.serial("b"));
  REQUIRE(record->drops.size() == 1);
  CHECK(record->drops[0].workload == bed.serial("c"));
  CHECK(record->verdicts.size() == 3);  // the sender's, and each receiver's
}

TEST_CASE("a filter picks by program, workload, rule and drop") {
  const auto count = [](const TraceFilter& filter) {
    Traced bed(filter);
    bed.index("b", {{rule("no", Action::kDrop)}}, {{}});
    bed.send("a", tcp_packet(kSyn));
    Packet udp;
    udp.destination_port = 53;
    bed.send("b", answer_to(udp));
    bed.run();
    return bed.take_traces().records.size();
  };
  Traced bed;
  bed.index("b", {{rule("no", Action::kDrop)}}, {{}});
  CHECK(count({}) == 2);
  CHECK(count({.program = compile("tcp")}) == 1);
  CHECK(count({.program = compile("udp port 53")}) == 1);
  CHECK(count({.program = compile("port 54")}) == 0);
  CHECK(count({.dropped = true}) == 1);
  CHECK(count({.entry = 0}) == 2);
  CHECK(count({.entry = 4711}) == 0);
  CHECK(count({.workload = bed.serial("a"), .place = bed.place("a")}) == 2);
  CHECK(count({.workload = 4711, .place = bed.place("a")}) == 0);
}

TEST_CASE("a program that could run beyond its end is not valid") {
  CHECK(is_valid(compile("host 10.0.0.1 and tcp port 80")));
  CHECK_FALSE(is_valid({}));
  CHECK_FALSE(is_valid({BPF_STMT(BPF_LD | BPF_IMM, 1)}));
  CHECK_FALSE(is_valid({BPF_JUMP(BPF_JMP | BPF_JA, 9, 0, 0), BPF_STMT(BPF_RET | BPF_K, 0)}));
}

TEST_CASE("frames around a traced one keep their order") {
  Traced bed({.program = compile("udp port 5")});
  for (uint16_t port = 1; port <= 9; ++port) {
    Packet p;
    p.destination_port = port;
    p.payload = Bytes(port);
    bed.send("a", p);
  }
  bed.run();
  const auto frames = bed.take("b");
  REQUIRE(frames.size() == 9);
  for (size_t i = 1; i < frames.size(); ++i) CHECK(frames[i].bytes.size() == frames[i - 1].bytes.size() + 1);
  CHECK(bed.take_traces().records.size() == 1);
}

TEST_CASE("what finds no room is counted, and the bytes asked for are kept") {
  Traced bed({.bytes = 20});
  constexpr size_t kFrames = 17'000;
  for (size_t sent = 0; sent < kFrames; sent += 50) {
    for (int i = 0; i < 50; ++i) bed.send("a", Packet{});
    while (bed.run()) {
    }
    bed.take("b");
  }
  TakenTraces some = bed.take_traces(100);
  CHECK(some.records.size() == 100);
  CHECK(some.records[0]->bytes.size() == 20);
  TakenTraces rest = bed.take_traces();
  CHECK(rest.lost == 0);
  CHECK(some.lost + some.records.size() + rest.records.size() == kFrames);
  CHECK(some.lost > 0);
}

TEST_CASE("as many records are taken as have so many bytes, but one always") {
  Traced bed({.bytes = 20});
  for (int i = 0; i < 6; ++i) bed.send("a", Packet{});
  bed.run();
  CHECK(bed.take_traces(10, 59).records.size() == 2);
  CHECK(bed.take_traces(10, 0).records.size() == 1);
  CHECK(bed.take_traces(10, 60).records.size() == 3);
  CHECK(bed.take_traces().records.empty());
}

TEST_CASE("a trace that has ended holds nothing and costs nothing") {
  Traced bed;
  bed.worker().tracer().stop(0);
  CHECK_FALSE(bed.worker().tracer().active());
  CHECK(bed.reached("a", Packet{}, "b") == 1);
  CHECK(bed.take_traces().records.empty());
}

// A simulation over the bed's worker alone.
struct Simulated : Bed {
  using Bed::Bed;
  std::unique_ptr<TraceRecord> simulate(const std::string& from, const Packet& packet) {
    return std::move(simulate(from, std::vector<Packet>{packet})[0]);
  }
  std::vector<std::unique_ptr<TraceRecord>> simulate(const std::string& from, const std::vector<Packet>& packets) {
    Worker* workers[] = {&worker()};
    Simulation simulation(*worker().generation(), workers, 0x1234567890abcdefull, uint64_t{now()} * 1'000'000);
    std::vector<std::unique_ptr<TraceRecord>> records;
    for (const Packet& packet : packets) records.push_back(simulation.run(packet.bytes(), place(from)));
    return records;
  }
};

TEST_CASE("a simulated frame changes nothing") {
  Simulated bed(Action::kDrop);
  bed.add(workload("free"));
  Packet p;
  p.source_mac = {2, 9, 9, 9, 9, 9};
  const auto record = bed.simulate("free", p);
  REQUIRE(record->drops.size() == 1);
  CHECK(record->drops[0].reason == Reason::kDefaultDrop);
  CHECK(bed.drops() == 0);
  CHECK(bed.connections().empty());
  CHECK(bed.counters("free").sent_packets == 0);
  CHECK(bed.hit("", "free", Direction::kOut) == nullptr);
  CHECK(bed.context().segment_of(bed.context().workload(bed.place("free"))).macs->find(p.source_mac.data(), 1000) ==
        kNoWorkload);
  CHECK(bed.take("b").empty());
}

TEST_CASE("a simulated frame meets the connection that is there, and its verdicts") {
  Simulated bed;
  RuleChange keep = rule("keep", Action::kAllow);
  keep.on_change = OnChange::kKeep;
  bed.index("b", {{keep}}, {{}});
  REQUIRE(bed.reached("a", tcp_packet(kSyn), "b") == 1);
  bed.index("b", {{rule("no", Action::kDrop)}}, {{}});
  // Kept: what is under way goes on, a new one does not.
  const auto reply = bed.simulate("b", answer_to(tcp_packet(kSyn | kAck)));
  CHECK(reply->drops.empty());
  REQUIRE(reply->connection);
  CHECK_FALSE(reply->connection->is_new);
  CHECK(std::string(reply->connection->before) == "syn-sent");
  CHECK(std::string(reply->connection->after) == "syn-received");
  CHECK(bed.connections()[0].tcp.state == TcpState::kSynSent);
  for (const TraceVerdict& verdict : reply->verdicts) CHECK_FALSE(verdict.is_new);
  Packet other = tcp_packet(kSyn);
  other.source_port = 999;
  const auto fresh = bed.simulate("a", other);
  REQUIRE(fresh->drops.size() == 1);
  CHECK(fresh->drops[0].reason == Reason::kPolicyDrop);
}

TEST_CASE("a connection that had a frame after the simulation began is there") {
  Simulated bed;
  REQUIRE(bed.reached("a", tcp_packet(kSyn), "b") == 1);
  Worker* workers[] = {&bed.worker()};
  Simulation simulation(*bed.worker().generation(), workers, 0x1234567890abcdefull, uint64_t{bed.now()} * 1'000'000);
  bed.pass(1);
  REQUIRE(bed.reached("b", answer_to(tcp_packet(kSyn | kAck)), "a") == 1);
  const auto record = simulation.run(tcp_packet(kAck).bytes(), bed.place("a"));
  REQUIRE(record->connection);
  CHECK_FALSE(record->connection->is_new);
}

TEST_CASE("frames of one simulation see what earlier ones began") {
  Simulated bed;
  const auto records = bed.simulate("a", std::vector<Packet>{tcp_packet(kSyn), tcp_packet(kSyn)});
  CHECK(records[0]->connection->is_new);
  CHECK_FALSE(records[1]->connection->is_new);
  CHECK(bed.simulate("a", tcp_packet(kSyn))->connection->is_new);
}

TEST_CASE("a simulated frame to a port that is gone says so") {
  Simulated bed;
  bed.port("b").vanish("gone");
  const auto record = bed.simulate("a", Packet{});
  REQUIRE(record->drops.size() == 1);
  CHECK(record->drops[0].reason == Reason::kOutputDown);
  CHECK(record->drops[0].stage == std::string("transmit"));
}

TEST_CASE("an injected frame is sent, and its record comes back") {
  Bed bed;
  bed.worker().tracer().start(3, kTrace,
                              std::make_shared<TraceFilter>(TraceFilter{.program = {BPF_STMT(BPF_RET | BPF_K, 0)}}));
  bed.worker().inject(tcp_packet(kSyn).bytes(), bed.place("a"), 3, kTrace);
  CHECK(bed.take("b").size() == 1);
  CHECK(bed.connections().size() == 1);
  TakenTraces taken = bed.worker().tracer().take(3, 10);
  REQUIRE(taken.records.size() == 1);
  CHECK(taken.records[0]->outputs.size() == 1);
  CHECK(bed.reached("a", tcp_packet(kSyn), "b") == 1);
  CHECK(bed.worker().tracer().take(3, 10).records.empty());
}

}  // namespace
}  // namespace headgate::test
