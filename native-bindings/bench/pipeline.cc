// The pipeline alone: established UDP flows between two memory-like ports that do no work of their own, so that what is
// measured is the stages, the tables and the worker's round.
//
//   bench_pipeline FLOWS SECONDS        frames a second, as JSON
//   bench_pipeline FLOWS FRAMES count   so many frames in steady state, for callgrind (--collect-atstart=no), which is
//                                       switched on around them and off inside the ports: what it collects, divided by
//                                       the "frames" printed, is the pipeline's instructions a frame
//   bench_pipeline FLOWS FRAMES count EXPRESSION   the same while a live trace is on whose filter is this one
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#error "valgrind's headers are missing: install valgrind"
#endif

#include "packet/checksum.h"
#include "packet/wire.h"
#include "pipeline/worker.h"
#include "tables/publisher.h"

using namespace headgate;

namespace {

constexpr uint32_t kFrame = 60;  // 18 bytes of UDP payload
const Mac kMacs[2] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

// The ports' own work is not counted. Toggled by the counting run only: nothing is collected while it warms up.
bool counting_now = false;
struct NotCounted {
  NotCounted() { toggle(); }
  ~NotCounted() { toggle(); }
  static void toggle() {
    if (counting_now) CALLGRIND_TOGGLE_COLLECT;
  }
};

// Gives frames of `flows` flows in turn and takes what it is sent.
class FlowPort final : public Port {
 public:
  FlowPort(bool sender, uint32_t flows) : sender_(sender), flows_(flows) {
    for (uint32_t i = 0; i <= flows >> 12; ++i) frames_.push_back(make_frame(sender, 0x0a000001 + i));
  }
  PortCapabilities capabilities() const override { return {true, true, true, 1}; }
  int descriptor(unsigned) const override { return -1; }
  std::string failure() const override { return ""; }

  size_t receive(unsigned, std::span<Frame* const> frames) override {
    NotCounted port;
    for (Frame* frame : frames) {
      fill(*frame, next_);
      if (++next_ == flows_) next_ = 0;
    }
    return frames.size();
  }
  void transmit(unsigned, std::span<Frame* const> frames, std::span<Reason> outcomes) override {
    NotCounted port;
    for (size_t i = 0; i < frames.size(); ++i) outcomes[i] = Reason::kNone;
    sent += frames.size();
  }
  uint64_t sent = 0;

 private:
  // Flows differ in the client's address and port; the frame of each client address is made beforehand.
  void fill(Frame& frame, uint32_t flow) {
    frame.data = frame.buffer + kHeadroom;
    frame.length = kFrame;
    frame.offload = {};
    frame.offload.checksum_valid = true;  // as the kernel says of frames that never left the machine
    memcpy(frame.data, frames_[flow >> 12].data(), kFrame);
    store16(frame.data + (sender_ ? 34 : 36), static_cast<uint16_t>(10000 + (flow & 0xfff)));
  }

  static std::array<uint8_t, kFrame> make_frame(bool sender, uint32_t client) {
    std::array<uint8_t, kFrame> bytes{};
    uint8_t* d = bytes.data();
    memcpy(d, kMacs[sender ? 1 : 0].data(), 6);
    memcpy(d + 6, kMacs[sender ? 0 : 1].data(), 6);
    store16(d + 12, kEtherIpv4);
    uint8_t* ip = d + 14;
    constexpr uint32_t kServer = 0x0b000001;
    ip[0] = 0x45;
    store16(ip + 2, kFrame - 14);
    ip[8] = 64;
    ip[9] = kUdp;
    store32(ip + 12, sender ? client : kServer);
    store32(ip + 16, sender ? kServer : client);
    checksum_ipv4(ip);
    store16(ip + (sender ? 22 : 20), 53);
    store16(ip + 24, kFrame - 34);
    return bytes;
  }

  bool sender_;
  uint32_t flows_;
  std::vector<std::array<uint8_t, kFrame>> frames_;
  uint32_t next_ = 0;
};

Delta policy() {
  Delta delta;
  delta.default_action = Action::kDrop;
  delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
  delta.set_address_sets.push_back({"clients", "1", {"10.0.0.0/8"}});
  RuleChange rule;
  rule.key = "dns";
  rule.sources = {{"clients"}};
  rule.services = std::vector<ServiceMatch>{{kUdp, -1, -1, {{53, 53}}, {}}};
  rule.action = Action::kAllow;
  delta.set_rules.push_back(rule);
  const char* macs[2] = {"02:00:00:00:00:01", "02:00:00:00:00:02"};
  const char* ranges[2] = {"10.0.0.0/8", "11.0.0.1"};
  const char* names[2] = {"client", "server"};
  for (int i = 0; i < 2; ++i) {
    delta.set_workloads.push_back({names[i], "1", "lan", false, macs[i], std::vector<std::string>{ranges[i]}});
  }
  delta.set_scopes.push_back({"both", "1", {names[0], names[1]}});
  delta.set_entries.push_back({"dns", "1", "dns", 3, 0, true, true, "both"});
  return delta;
}

// A live trace by a pcap-filter(7) expression.
void trace(Worker& worker, const char* expression) {
  pcap_t* pcap = pcap_open_dead(DLT_EN10MB, kMaxFrame);
  bpf_program program;
  if (pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
    fprintf(stderr, "bench_pipeline: %s\n", pcap_geterr(pcap));
    exit(2);
  }
  auto filter = std::make_shared<TraceFilter>();
  filter->program.assign(program.bf_insns, program.bf_insns + program.bf_len);
  worker.ask([&](Worker& w) { w.tracer().start(0, 1, filter); });
  pcap_freecode(&program);
  pcap_close(pcap);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: bench_pipeline FLOWS SECONDS | bench_pipeline FLOWS FRAMES count [EXPRESSION]\n");
    return 2;
  }
  uint32_t flows = static_cast<uint32_t>(atoi(argv[1]));
  bool counting = argc > 3 && strcmp(argv[3], "count") == 0;

  Publisher publisher;
  if (Refusal refusal = publisher.apply(policy())) {
    fprintf(stderr, "bench_pipeline: %s\n", refusal.message.c_str());
    return 1;
  }
  FlowPort* ports[2];
  const char* names[2] = {"client", "server"};
  for (int i = 0; i < 2; ++i) {
    auto attached = std::make_shared<AttachedPort>();
    attached->port = std::unique_ptr<Port>(ports[i] = new FlowPort(i == 0, flows));
    publisher.bind(names[i], attached);
  }
  uint32_t limit = flows + 1024;
  std::vector<uint8_t> memory(ConnectionTable::bytes_for(limit));
  WorkerOptions options;
  options.connection_memory = memory.data();
  options.connections = limit;
  options.secret = 0x1234567890abcdefull;
  Worker worker(options);
  auto generation = publisher.build();
  worker.ask([&](Worker& w) { w.adopt(generation); });
  if (counting && argc > 4) trace(worker, argv[4]);

  uint64_t time = 1'000'000'000;
  auto round = [&] { return worker.run(time += 1000); };
  uint64_t warm = 0;
  while (warm < 4ull * flows + 1024) warm += round();  // both directions of every flow
  uint64_t before = ports[0]->sent + ports[1]->sent, frames = 0;

  if (counting) {
    uint64_t wanted = strtoull(argv[2], nullptr, 10);
    counting_now = true;
    NotCounted::toggle();
    while (frames < wanted) frames += round();
    NotCounted::toggle();
    printf("{\"flows\": %u, \"frames\": %lu}\n", flows, frames);
  } else {
    double seconds = atof(argv[2]);
    uint64_t begin = clock_now(), end = begin + static_cast<uint64_t>(seconds * 1e9), now;
    do {
      for (int i = 0; i < 64; ++i) frames += round();
      now = clock_now();
    } while (now < end);
    double taken = static_cast<double>(now - begin) / 1e9;
    printf("{\"flows\": %u, \"frames\": %lu, \"seconds\": %.3f, \"mpps\": %.3f}\n", flows, frames, taken,
           static_cast<double>(frames) / taken / 1e6);
  }
  if (ports[0]->sent + ports[1]->sent - before != frames) {
    fprintf(stderr, "bench_pipeline: %lu of %lu frames came out\n", ports[0]->sent + ports[1]->sent - before, frames);
    return 1;
  }
  return 0;
}
