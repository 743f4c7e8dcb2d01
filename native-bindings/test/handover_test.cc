// One engine goes on in another's place: everything that the first one knew is there, nothing is judged or counted
// twice, and whatever fails on the way leaves the first one in charge.
#include "pipeline/handover.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "pipeline/engine.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// An engine without threads over memory ports, and the folder in which its pools are.
struct Side {
  std::unique_ptr<Engine> engine;
  MemoryPort *a = nullptr, *b = nullptr;

  static EngineOptions options(const std::string& folder, bool follow, unsigned workers = 0) {
    EngineOptions options;
    options.workers = workers;
    options.connections = 4096;
    options.pool_directory = folder;
    options.follow = follow;
    options.now = 1000 * kSecond;
    return options;
  }
  MemoryPort* attach(const std::string& name) {
    auto port = std::make_unique<MemoryPort>(PortCapabilities{true, true, true, 1});
    MemoryPort* memory = port.get();
    const Refusal refusal = engine->attach(name, std::move(port), name, false);
    REQUIRE_MESSAGE(!refusal, refusal.message);
    return memory;
  }
  void attach() { a = attach("a"), b = attach("b"); }
};

struct Folder {
  std::string path = "/dev/shm/hgtest-" + std::to_string(getpid()) + "-handover";
  Folder() { std::filesystem::remove_all(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

Delta policy() {
  Delta delta;
  delta.default_action = Action::kDrop;
  delta.limits = {4000, 4000, 1'000'000};
  delta.set_segments.push_back({"lan", "1", 0, 0, "shared"});
  delta.set_segments.push_back({"other", "1", 7, 0, "shared"});
  delta.set_workloads = {workload("a", kTestSource), workload("b", {}, {{"10.9.0.2", "fd00::2", "10.9.1.0/24"}})};
  delta.set_scopes = {{"both", "1", {"a", "b"}}};
  delta.set_address_sets = {{"net", "1", {"10.9.0.0/16", "fd00::/64"}}};
  RuleChange kept = rule("kept", Action::kAllow), logged = rule("logged", Action::kAllow);
  kept.services = {{6, -1, -1, {{90, 90}}, {}}};
  kept.on_change = OnChange::kKeep;
  kept.sources = {{"net"}};
  logged.services = {{17, -1, -1, {{2000, 2100}, {53, 53}}, {}}, {1, 8, -1, {}, {}}};
  logged.log = true;
  delta.set_rules = {kept, logged};
  delta.set_entries = {entry("p/kept", "kept", 1, "both"), entry("p/logged", "logged", 2, "both")};
  return delta;
}

Packet tcp(uint16_t port, uint8_t flags) {
  Packet p;
  p.protocol = kTcp;
  p.tcp_flags = flags;
  p.source_port = 1000, p.destination_port = port;
  p.sequence = flags & kSyn ? 1 : 2;
  p.acknowledgement = flags & kAck ? 2 : 0;
  p.payload.clear();
  return p;
}

// Has b send once, of another flow than the others are.
Packet word_of_b() {
  Packet p = Packet().reversed();
  p.source_port = 9, p.destination_port = 9;
  return p;
}

struct Two {
  Folder folder;
  Side first, second;
  uint64_t now = 1000 * kSecond;

  Two() {
    std::string error;
    first.engine = Engine::create(Side::options(folder.path, false), error);
    REQUIRE_MESSAGE(first.engine, error);
    REQUIRE_FALSE(first.engine->publish(policy()));
    first.attach();
  }
  // Sends it at `from`; how many frames come out at the other side.
  size_t send(Side& side, bool from_a, const Packet& p) {
    MemoryPort& in = from_a ? *side.a : *side.b;
    MemoryPort& out = from_a ? *side.b : *side.a;
    REQUIRE(in.push(p.bytes(), p.offload()));
    side.engine->run(now);
    return out.take().size();
  }
  void establish(Side& side, uint16_t port) {
    CHECK(send(side, true, tcp(port, kSyn)) == 1);
    CHECK(send(side, false, tcp(port, kSyn | kAck).reversed()) == 1);
    CHECK(send(side, true, tcp(port, kAck)) == 1);
  }
  void prepare() {
    std::string error;
    second.engine = Engine::create(Side::options(folder.path, true), error);
    REQUIRE_MESSAGE(second.engine, error);
    Delta handed = first.engine->policy();
    handed.set_segments = policy().set_segments;  // these JavaScript keeps
    handed.set_workloads = policy().set_workloads;
    const Refusal refusal = second.engine->follow(handed, first.engine->numbering());
    REQUIRE_MESSAGE(!refusal, refusal.message);
    second.attach();
  }
  void switch_over() {
    std::string error;
    first.engine->let_go();
    REQUIRE_MESSAGE(second.engine->take_over(error), error);
    first.engine.reset();
  }
};

// Everything that can be asked of an engine, as text.
std::string told(Engine& engine) {
  std::string text;
  const auto add = [&](auto... parts) { ((text += ' ', text += parts), ...), text += '\n'; };
  const auto n = [](uint64_t number) { return std::to_string(number); };
  StatsReport stats = engine.stats();
  add("stats", n(stats.generation), n(stats.connections), n(stats.connections_limit));
  for (const auto& both : stats.drops) add(n(both[0]), n(both[1]));
  for (const auto& w : stats.workloads) {
    add(w.workload, n(w.connections), n(w.half_open), n(w.begun), n(w.limits.connections), n(w.limits.half_open));
    add(n(w.counters.sent_packets), n(w.counters.received_packets), n(w.counters.received_bytes));
    for (uint64_t drops : w.counters.drops) add(n(drops));
  }
  std::ranges::sort(stats.hits, {}, [](const HitReport& h) { return std::tuple(h.entry, h.workload, h.direction); });
  for (const auto& h : stats.hits) add(h.entry, h.workload, name_of(h.direction), n(h.flows), n(h.packets), n(h.bytes));
  uint64_t total;
  for (const auto& f : engine.flows(1000, true, total)) {
    add(f.tracker, format_address(f.flow.source), n(f.flow.source_port), n(f.connection.created), n(f.expires * 1000));
    for (const auto& v : f.verdicts) add(v.workload, v.entry, name_of(v.action));
  }
  const auto inventory = engine.inventory();
  for (const auto& map : {inventory.address_sets, inventory.segments, inventory.workloads, inventory.scopes})
    for (const auto& [name, digest] : map) add(name, digest);
  for (const auto& [id, view] : inventory.entries) add(id, view.digest, n(view.category), n(view.order));
  return text;
}

// Verdicts that were reached.
uint64_t flows_of(Engine& engine) {
  uint64_t flows = 0;
  for (const HitReport& hit : engine.stats().hits) flows += hit.flows;
  return flows;
}

TEST_CASE("the follower knows all that the engine before it knew, and judges nothing again") {
  Two t;
  t.establish(t.first, 90);
  Packet udp;
  for (int i = 0; i < 3; ++i) CHECK(t.send(t.first, true, udp) == 1);
  CHECK(t.send(t.first, false, udp.reversed()) == 1);
  CHECK(t.send(t.first, true, tcp(80, kSyn)) == 0);  // denied
  Packet spoofed = udp.reversed();
  spoofed.source = "10.10.0.1";
  CHECK(t.send(t.first, false, spoofed) == 0);
  t.prepare();
  const std::string before = told(*t.first.engine);
  const uint64_t flows = flows_of(*t.first.engine);
  t.switch_over();
  CHECK(told(*t.second.engine) == before);
  const StartReport& start = t.second.engine->start_report();
  CHECK(start.left == State::Left::kInOrder);
  CHECK(start.connections == 3);
  CHECK(start.alarms.empty());

  CHECK(t.send(t.second, false, tcp(90, kAck).reversed()) == 1);
  CHECK(t.send(t.second, true, udp) == 1);
  CHECK(t.send(t.second, true, tcp(80, kSyn)) == 0);
  CHECK(flows_of(*t.second.engine) == flows);
}

TEST_CASE("verdicts that a rule keeps live on in the follower, where they would not be reached again") {
  Two t;
  t.establish(t.first, 90);
  Delta gone;
  gone.remove_entries = {"p/kept"};
  gone.remove_rules = {"kept"};
  REQUIRE_FALSE(t.first.engine->publish(gone));
  t.prepare();
  t.switch_over();
  CHECK(t.send(t.second, true, tcp(90, kAck)) == 1);
  Packet other = tcp(90, kSyn);
  other.source_port = 1001;
  CHECK(t.send(t.second, true, other) == 0);
}

TEST_CASE("learned MACs are known to the follower: no frame is flooded") {
  Two t;
  CHECK(t.send(t.first, false, word_of_b()) == 0);  // not allowed, but b's MAC is learned
  t.prepare();
  t.switch_over();
  CHECK(t.send(t.second, true, Packet()) == 1);
  const auto stats = t.second.engine->stats();
  CHECK(stats.drops[static_cast<size_t>(Reason::kFloodLimited)][0] == 0);
  CHECK(t.second.a->take().empty());
}

TEST_CASE("fragments that wait for their first one go on behind it in the follower") {
  Two t;
  CHECK(t.send(t.first, false, word_of_b()) == 0);
  Packet first;
  first.payload = Bytes(64, 1);
  first.fragment = first.more = true;
  first.id = 77;
  Packet later = first;
  later.fragment_offset = 72;
  later.more = false;
  later.payload = Bytes(40, 2);
  CHECK(t.send(t.first, true, later) == 0);
  t.prepare();
  t.switch_over();
  CHECK(t.send(t.second, true, first) == 2);
}

TEST_CASE("log lines and records of flow logs that nobody has taken yet are there for the follower") {
  Two t;
  t.first.engine->flow_log(60'000);
  CHECK(t.send(t.first, true, Packet()) == 1);
  t.now += 40 * kSecond;
  t.first.engine->run(t.now);
  t.prepare();
  t.switch_over();
  const auto lines = t.second.engine->logs();
  REQUIRE(lines.size() == 2);  // at both ends
  CHECK(lines[0].entry == "p/logged");
  t.second.engine->run(t.now);
  const auto log = t.second.engine->flow_log(60'000);
  REQUIRE(log.records.size() == 1);
  CHECK(log.records[0].connection.packets(0) == 1);
  CHECK(log.records[0].tracker == "shared");
}

TEST_CASE("while one engine owns the pools nobody else can") {
  Two t;
  std::string error;
  CHECK_FALSE(Engine::create(Side::options(t.folder.path, false), error));
  CHECK(error.find("Another engine owns the pool") != std::string::npos);
  t.prepare();
  CHECK_FALSE(t.second.engine->take_over(error));
  CHECK(error.find("Another engine owns the pool") != std::string::npos);
  t.establish(t.first, 90);  // and the first did not notice
}

TEST_CASE("an engine that let go and was not followed goes on as if nothing had been") {
  Two t;
  t.establish(t.first, 90);
  t.prepare();
  const std::string before = told(*t.first.engine);
  t.first.engine->let_go();
  std::string error;
  REQUIRE_MESSAGE(t.first.engine->take_over(error), error);
  CHECK(told(*t.first.engine) == before);
  CHECK(t.send(t.first, true, tcp(90, kAck)) == 1);
}

TEST_CASE("a name that comes back after an upgrade has a number of its own") {
  Two t;
  CHECK(t.send(t.first, true, Packet()) == 1);
  t.prepare();
  t.switch_over();
  Delta leaves, comes;
  leaves.edit_scopes = {{"both", "2", {}, {"a"}}};
  leaves.remove_workloads = {"a"};
  REQUIRE_FALSE(t.second.engine->publish(leaves));
  comes.set_workloads = {workload("a", kTestSource)};
  comes.edit_scopes = {{"both", "3", {"a"}, {}}};
  REQUIRE_FALSE(t.second.engine->publish(comes));
  for (const auto& report : t.second.engine->stats().workloads)
    if (report.workload == "a") CHECK(report.counters.sent_packets == 0);
  for (const auto& hit : t.second.engine->stats().hits) CHECK(hit.workload == "b");
}

// Between processes, with threads and the real moment of it.
TEST_CASE("handing over: the follower runs, or the one before goes on") {
  enum class Follower { kGood, kDies, kStuck, kDiesWithPools };
  for (const Follower how : {Follower::kGood, Follower::kDies, Follower::kStuck, Follower::kDiesWithPools}) {
    CAPTURE(static_cast<int>(how));
    Folder folder;
    std::string error;
    Side side;
    side.engine = Engine::create(Side::options(folder.path, false, 1), error);
    REQUIRE_MESSAGE(side.engine, error);
    REQUIRE_FALSE(side.engine->publish(policy()));
    side.attach();
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pair[0]);
      std::string why;
      auto engine = Engine::create(Side::options(folder.path, true, 0), why);
      if (!engine) _exit(2);
      if (how == Follower::kDies) _exit(0);
      if (how == Follower::kStuck) {
        char byte;
        while (recv(pair[1], &byte, 1, 0) > 0) {
        }
        for (;;) pause();
      }
      if (how == Follower::kDiesWithPools) {
        char message[16];
        if (recv(pair[1], message, sizeof message, MSG_WAITALL) > 0 && engine->take_over(why)) raise(SIGKILL);
        _exit(3);
      }
      const HandoverReport report = take_over(*engine, pair[1], 5000);
      _exit(report.error.empty() ? 0 : 4);
    }
    close(pair[1]);
    const HandoverReport report = hand_over(*side.engine, pair[0], 300, child);
    close(pair[0]);
    const bool taken = how == Follower::kGood;
    CHECK(report.error.empty() == taken);
    if (how == Follower::kStuck) {
      CHECK(report.error.find("in time") != std::string::npos);
      kill(child, SIGKILL);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (taken) CHECK(status == 0);
    if (!taken) {
      CHECK(side.engine->stats().connections == 0);
      side.engine->await_workers();
    }
  }
}

TEST_CASE("after a crash the next engine goes on with connections, but judges them anew") {
  Folder folder;
  const pid_t child = fork();
  if (child == 0) {
    std::string error;
    Side side;
    side.engine = Engine::create(Side::options(folder.path, false), error);
    side.engine->publish(policy());
    side.attach();
    const auto send = [&](bool from_a, const Packet& p) {
      (from_a ? side.a : side.b)->push(p.bytes(), p.offload());
      side.engine->run(1000 * kSecond);
    };
    send(true, tcp(90, kSyn));
    send(false, tcp(90, kSyn | kAck).reversed());
    send(true, tcp(90, kAck));
    Delta gone;
    gone.remove_entries = {"p/kept"};
    gone.remove_rules = {"kept"};
    side.engine->publish(gone);
    raise(SIGKILL);
  }
  waitpid(child, nullptr, 0);
  std::string error;
  Side side;
  side.engine = Engine::create(Side::options(folder.path, false), error);
  REQUIRE_MESSAGE(side.engine, error);
  CHECK(side.engine->start_report().left == State::Left::kInDisorder);
  CHECK(side.engine->start_report().connections == 1);
  CHECK(side.engine->start_report().forgotten == 0);
  Delta rest = policy();
  rest.set_entries = {entry("p/logged", "logged", 2, "both")};
  std::erase_if(rest.set_rules, [](const RuleChange& r) { return r.key == "kept"; });
  rest.set_address_sets.clear();
  REQUIRE_FALSE(side.engine->publish(rest));
  side.attach();
  const auto sent = [&](const Packet& p) {
    REQUIRE(side.a->push(p.bytes(), p.offload()));
    side.engine->run(1001 * kSecond);
    return side.b->take().size();
  };
  CHECK(sent(tcp(90, kAck)) == 1);  // kept
  Packet other = tcp(90, kSyn);
  other.source_port = 1001;
  CHECK(sent(other) == 0);
  const auto stats = side.engine->stats();
  CHECK(stats.connections == 2);
  CHECK(stats.workloads[0].connections == 1);
}

}  // namespace
}  // namespace headgate::test
