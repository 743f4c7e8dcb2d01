// The connection table in the engine as it runs: UDP flows between two ports that do no work of their own, one worker,
// the table in a pool. It fills, is used, ages, and times out all at once; each batch is timed.
//
//   bench_conns engine CONNECTIONS [ipv6] [collect PHASE]   memory, frames a second as it fills, longest batches
//   bench_conns table CONNECTIONS [ipv6] [huge]             the table alone; `huge`: in huge pages
//   bench_conns map CONNECTIONS [ipv6]                      a std::unordered_map in its place
//
// Each prints one JSON object. `collect`, for callgrind (--collect-atstart=no): the batches of that phase (fill,
// answer, known, ageing, timeout) are collected, and "collected" says how many frames they had.
#include <unistd.h>

#include <cstring>
#include <filesystem>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#error "valgrind's headers are missing: install valgrind"
#endif

#include "bench/conns_flows.h"
#include "pipeline/engine.h"

namespace headgate::bench {
namespace {

constexpr uint32_t kUdpPayload = 18;
const Mac kMacs[2] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
enum Side { kClient, kServer };

// Gives the frames that were put into it, and counts what it is sent.
class BatchPort final : public Port {
 public:
  explicit BatchPort(Side side) : side_(side) {}
  PortCapabilities capabilities() const override { return {true, true, true, 1}; }
  int descriptor(unsigned) const override { return -1; }
  std::string failure() const override { return ""; }
  size_t receive(unsigned, std::span<Frame* const> frames) override {
    const size_t count = std::exchange(ready_, 0);
    for (size_t i = 0; i < count; ++i) {
      frames[i]->data = frames[i]->buffer + kHeadroom;
      frames[i]->length = length_;
      frames[i]->offload = {.checksum_valid = true};  // its UDP has none
      memcpy(frames[i]->data, frames_[i].data(), length_);
    }
    return count;
  }
  void transmit(unsigned, std::span<Frame* const> frames, std::span<Reason> outcomes) override {
    for (size_t i = 0; i < frames.size(); ++i) outcomes[i] = Reason::kNone;
    sent += frames.size();
  }

  void put(uint32_t number, bool ipv6) {
    const Client client(number);
    uint8_t* d = frames_[ready_++].data();
    memcpy(d, kMacs[side_ == kClient ? 1 : 0].data(), 6);
    memcpy(d + 6, kMacs[side_].data(), 6);
    const Address addresses[2] = {client_address(client.address, ipv6), server_address(ipv6)};
    const uint16_t ports[2] = {client.port, kServerPort};
    store16(d + 12, ipv6 ? kEtherIpv6 : kEtherIpv4);
    uint8_t* udp = ipv6 ? write_ipv6(d + 14, addresses) : write_ipv4(d + 14, addresses);
    store16(udp, ports[side_]);
    store16(udp + 2, ports[1 - side_]);
    store16(udp + 4, 8 + kUdpPayload);
    length_ = static_cast<uint32_t>(udp - d) + 8 + kUdpPayload;
  }
  uint64_t sent = 0;

 private:
  uint8_t* write_ipv4(uint8_t* ip, const Address (&addresses)[2]) const {
    ip[0] = 0x45;
    store16(ip + 2, 20 + 8 + kUdpPayload);
    ip[8] = 64;
    ip[9] = kUdp;
    memcpy(ip + 12, addresses[side_].bytes.data() + 12, 4);
    memcpy(ip + 16, addresses[1 - side_].bytes.data() + 12, 4);
    checksum_ipv4(ip);
    return ip + 20;
  }
  uint8_t* write_ipv6(uint8_t* ip, const Address (&addresses)[2]) const {
    ip[0] = 0x60;
    store16(ip + 4, 8 + kUdpPayload);
    ip[6] = kUdp;
    ip[7] = 64;
    memcpy(ip + 8, addresses[side_].bytes.data(), 16);
    memcpy(ip + 24, addresses[1 - side_].bytes.data(), 16);
    return ip + 40;
  }

  Side side_;
  uint32_t length_ = 0;
  size_t ready_ = 0;
  std::array<std::array<uint8_t, 80>, kConnsBatch> frames_{};
};

Delta policy() {
  Delta delta;
  delta.default_action = Action::kDrop;
  delta.limits = Limits{Account::kUnlimited, Account::kUnlimited, Account::kUnlimited};
  delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
  RuleChange rule;
  rule.key = "udp";
  rule.services = std::vector<ServiceMatch>{{kUdp, -1, -1, {}, {}}};
  rule.action = Action::kAllow;
  delta.set_rules.push_back(rule);
  const char* macs[2] = {"02:00:00:00:00:01", "02:00:00:00:00:02"};
  const std::vector<std::string> ranges[2] = {{"10.0.0.0/8", "2001:db8:1::/48"}, {"11.0.0.1", "2001:db8:2::/48"}};
  const char* names[2] = {"client", "server"};
  for (int i = 0; i < 2; ++i) delta.set_workloads.push_back({names[i], "1", "lan", false, macs[i], ranges[i]});
  delta.set_scopes.push_back({"both", "1", {names[0], names[1]}});
  delta.set_entries.push_back({"udp", "1", "udp", 3, 0, true, true, "both"});
  return delta;
}

class Bed {
 public:
  explicit Bed(const ConnsOptions& options) : options_(options) {
    EngineOptions engine;
    engine.workers = 0;
    engine.connections = options.count;
    engine.pool_directory = "/dev/shm/headgate-bench-conns-" + std::to_string(getpid());
    std::string error;
    engine_ = Engine::create(engine, error);
    std::filesystem::remove_all(engine.pool_directory);  // it is mapped, and goes with this process
    if (!engine_) fail(error);
    if (Refusal refusal = engine_->publish(policy())) fail(refusal.message);
    const char* names[2] = {"client", "server"};
    for (Side side : {kClient, kServer}) {
      ports_[side] = new BatchPort(side);
      if (Refusal refusal = engine_->attach(names[side], std::unique_ptr<Port>(ports_[side]), "", false))
        fail(refusal.message);
    }
  }
  [[noreturn]] static void fail(const std::string& why) {
    fprintf(stderr, "bench_conns: %s\n", why.c_str());
    exit(1);
  }

  // A frame of each flow that `numbers` gives, from one side, in batches. All have to come out, but for `may_miss`.
  void send(Side side, uint32_t frames, auto&& numbers, Stopwatch& watch, const char* phase, uint32_t may_miss = 0) {
    const bool collected = options_.collect == phase;
    const uint64_t before = ports_[1 - side]->sent;
    for (uint32_t done = 0; done < frames; done += kConnsBatch) {
      const uint32_t count = std::min(kConnsBatch, frames - done);
      for (uint32_t i = 0; i < count; ++i) ports_[side]->put(numbers.next(), options_.ipv6);
      if (collected) CALLGRIND_TOGGLE_COLLECT;
      watch.batch([&] { engine_->run(time += 20'000); });
      if (collected) CALLGRIND_TOGGLE_COLLECT;
    }
    if (collected) collected_ += frames;
    const uint64_t missing = frames - (ports_[1 - side]->sent - before);
    missed += missing;
    if (missing > may_miss)
      fail(std::to_string(missing) + " of " + std::to_string(frames) + " frames did not come out");
  }
  uint32_t connections() { return engine_->stats().connections; }
  uint32_t collected() const { return collected_; }

  uint64_t time = 1'000'000'000;
  uint64_t missed = 0;

 private:
  const ConnsOptions& options_;
  std::unique_ptr<Engine> engine_;
  BatchPort* ports_[2];
  uint32_t collected_ = 0;
};

constexpr uint64_t kSecond = 1'000'000'000;

// Requests and answers until the table is full; known flows in between.
void fill(Bed& bed, uint32_t count, Stopwatch& filling, Stopwatch& answering) {
  InOrder asking(0), answered(0);
  uint32_t filled = 0;
  printf("\"steps\": [");
  for (uint32_t step = 1; step <= kSteps; ++step) {
    const uint32_t flows = static_cast<uint32_t>(uint64_t{count} * step / kSteps) - filled;
    filled += flows;
    const double begun = filling.seconds();
    bed.send(kClient, flows, asking, filling, "fill");
    const double inserting = filling.seconds() - begun;
    bed.send(kServer, flows, answered, answering, "answer");
    const uint32_t looked = std::min(count, 200'000u);
    Stopwatch known(looked / kConnsBatch + 1);
    bed.send(kClient, looked, Jumbled(filled), known, "known");
    printf("%s{\"percent\": %u, \"insert\": %.0f, \"hit\": %.0f, \"resident\": %.0f}", step > 1 ? ", " : "",
           step * 100 / kSteps, flows / inserting, looked / known.seconds(), resident(filling, answering, known));
  }
  printf("], \"pageTables\": %.0f, ", page_tables());
}

}  // namespace

int conns_engine(const ConnsOptions& options) {
  const uint32_t count = options.count, batches = count / kConnsBatch + kSteps + 1;
  Bed bed(options);
  Stopwatch filling(batches), answering(batches), using_all(batches), ageing(batches), timeout(batches);
  printf("{\"connections\": %u, ", count);
  fill(bed, count, filling, answering);
  if (bed.connections() != count) Bed::fail("the table holds " + std::to_string(bed.connections()) + " connections");

  // All are used shortly before their time, then come due one after the other: each is looked at and stays.
  bed.time += 150 * kSecond;
  bed.send(kClient, count, Jumbled(count), using_all, "");
  bed.time += 40 * kSecond;
  bed.send(kClient, count, Jumbled(count), ageing, "ageing");
  if (bed.connections() != count) Bed::fail("connections at work were forgotten");

  // All are past their time at once, and as many others come.
  bed.time += 1000 * kSecond;
  bed.send(kClient, count, InOrder(count), timeout, "timeout", count);

  printf("\"fill\": %s, \"answer\": %s, ", filling.json().c_str(), answering.json().c_str());
  printf("\"ageing\": %s, \"timeout\": %s, ", ageing.json().c_str(), timeout.json().c_str());
  printf("\"refusedAtTimeout\": %lu, \"collected\": %u}\n", bed.missed, bed.collected());
  return 0;
}

}  // namespace headgate::bench

int main(int argc, char** argv) {
  using namespace headgate::bench;
  ConnsOptions options;
  const std::string mode = argc > 1 ? argv[1] : "";
  options.count = argc > 2 ? static_cast<uint32_t>(strtoul(argv[2], nullptr, 10)) : 0;
  bool understood = options.count >= 1000;
  for (int i = 3; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "ipv6")
      options.ipv6 = true;
    else if (word == "huge" && mode == "table")
      options.huge = true;
    else if (word == "collect" && mode == "engine" && i + 1 < argc)
      options.collect = argv[++i];
    else
      understood = false;
  }
  if (understood && mode == "engine") return conns_engine(options);
  if (understood && mode == "table") return conns_table(options);
  if (understood && mode == "map") return conns_map(options);
  fprintf(stderr,
          "usage: bench_conns engine CONNECTIONS [ipv6] [collect PHASE]\n"
          "       bench_conns table CONNECTIONS [ipv6] [huge] | map CONNECTIONS [ipv6]\n"
          "       CONNECTIONS: 1000 or more. PHASE: fill, answer, known, ageing, timeout\n");
  return 2;
}
