// Frames from hostile guests through the whole pipeline: parse, guard, switch, firewall, and out by ports that can take
// everything, by one that can take nothing (so that super-frames are cut and checksums completed) and by a trunk.
//
// Input: any number of frames, each
//   byte    which port sends it (2 bits), whether time passes (2 bits), how many further bytes of header fields follow
//   10      the virtio-net header
//   2       length, little-endian, then so many bytes of frame
//
// Invariants: what comes out of the port without offloads is a whole frame that parses, needs no work any more, and has
// the checksum of its transport right if it was cut from a super-frame; no frame of the pool is lost, no table grows
// beyond its limit.

#include <algorithm>

#include "fuzz/fuzz.h"
#include "packet/virtio.h"
#include "pipeline/worker.h"
#include "tables/publisher.h"
#include "test/bad_frames.h"

namespace headgate::fuzz {
namespace {

using test::Bytes;
using test::Packet;

constexpr uint32_t kConnections = 512;
uint64_t frames_in = 0, frames_out = 0, segments = 0;
bool cut = false;  // the batch is one super-frame: what the port without offloads gets was made here

class FuzzPort final : public Port {
 public:
  explicit FuzzPort(const PortCapabilities& can) : can_(can) {}
  PortCapabilities capabilities() const override { return can_; }
  int descriptor(unsigned) const override { return -1; }
  std::string failure() const override { return ""; }
  size_t receive(unsigned, std::span<Frame* const> frames) override {
    size_t count = 0;
    for (; count < frames.size() && next_ < waiting.size(); ++count, ++next_) {
      const MemoryFrame& from = waiting[next_];
      Frame& frame = *frames[count];
      // At the end of the buffer would be best for the sanitizer, but the headroom has to be where ports put it.
      frame.data = frame.buffer + kHeadroom;
      frame.length = static_cast<uint32_t>(from.bytes.size());
      frame.offload = from.offload;
      std::copy(from.bytes.begin(), from.bytes.end(), frame.data);
    }
    if (next_ == waiting.size()) {
      waiting.clear();
      next_ = 0;
    }
    return count;
  }
  void transmit(unsigned, std::span<Frame* const> frames, std::span<Reason> outcomes) override {
    for (size_t i = 0; i < frames.size(); ++i) {
      check(*frames[i]);
      outcomes[i] = Reason::kNone;
    }
    frames_out += frames.size();
  }
  std::vector<MemoryFrame> waiting;

 private:
  void check(const Frame& frame) const {
    if (frame.length > kMaxFrame + 8 || frame.data < frame.buffer ||
        frame.data + frame.length > frame.buffer + FramePool::kStride)
      fail("a frame outside of its buffer");
    const Offload& o = frame.offload;
    if (o.partial_checksum) {
      if (!can_.checksum) fail("a partial checksum for a port that takes none");
      if (o.checksum_start + o.checksum_offset + 2u > frame.length) fail("a checksum place outside of the frame");
    }
    if (o.kind != Offload::kNone && !(o.kind == Offload::kUdp ? can_.udp_segmentation : can_.tcp_segmentation))
      fail("a super-frame for a port that takes none");
    if (can_.checksum || frame.length > 2000) return;
    Frame copy = frame;
    copy.offload.checksum_valid = true;  // what came in with a partial checksum may have come with a wrong one
    const Reason reason = parse(copy);
    if (reason != Reason::kNone)
      fail(std::string("a frame that does not parse any more: ") + kReasonTexts[static_cast<size_t>(reason)].text);
    if (!cut) return;
    const std::string fault = test::checksum_fault(Bytes(frame.data, frame.data + frame.length));
    if (!fault.empty()) fail("a segment whose checksum is wrong: " + fault);
    ++segments;
  }
  PortCapabilities can_;
  size_t next_ = 0;
};

struct Bed {
  Publisher publisher;
  std::vector<uint8_t> memory = std::vector<uint8_t>(ConnectionTable::bytes_for(kConnections));
  std::unique_ptr<Worker> worker;
  FuzzPort* ports[4];
  uint64_t time = 1'000'000'000;

  Bed() {
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.set_segments = {{"lan", "1", 0, 0, "lan"}, {"tagged", "1", 5, 6, "lan"}};
    delta.set_address_sets = {{"odd", "1", {"10.9.0.128/25", "fd00::8000/113"}}};
    const auto add_rule = [&](const char* key, Action action, int protocol, uint16_t first, uint16_t last) {
      RuleChange rule;
      rule.key = key;
      rule.action = action;
      rule.log = true;
      if (protocol) rule.services = std::vector<ServiceMatch>{{protocol, -1, -1, {}, {}}};
      if (last) (*rule.services)[0].ports = {{first, last}};
      delta.set_rules.push_back(rule);
    };
    add_rule("reject-tcp", Action::kReject, kTcp, 2100, 3000);
    add_rule("reject-udp", Action::kReject, kUdp, 2100, 3000);
    add_rule("reject-all", Action::kReject, 0, 0, 0);
    add_rule("drop", Action::kDrop, kSctp, 0, 0);
    delta.set_rules[2].sources = {{"odd"}};
    // "a" is pinned and bound to addresses, "b" has a port without offloads, "c" learns MACs, "t" is on a trunk, "u"
    // beside it.
    delta.set_workloads = {
        {"a", "1", "lan", false, "02:68:67:00:00:01", std::vector<std::string>{"10.9.0.0/16", "fd00::/16"}},
        {"b", "1", "lan", false, "02:68:67:00:00:02", {}},
        {"c", "1", "lan", false, {}, {}},
        {"t", "1", "tagged", true, {}, {}},
        {"t0", "1", "lan", true, {}, {}}};
    delta.set_scopes.push_back({"all", "1", {}});
    for (const auto& w : delta.set_workloads) delta.set_scopes[0].workloads.push_back(w.name);
    uint32_t order = 0;
    for (const auto& [rule, category] :
         {std::pair{"reject-tcp", 1u}, {"reject-udp", 1u}, {"drop", 2u}, {"reject-all", 3u}})
      delta.set_entries.push_back({rule, "1", rule, category, ++order, true, true, "all"});
    if (Refusal refusal = publisher.apply(delta)) fail(refusal.message);
    const PortCapabilities all{true, true, true, 1}, none{};
    const char* names[] = {"a", "b", "c", "t"};
    for (int i = 0; i < 4; ++i) {
      auto attached = std::make_shared<AttachedPort>();
      auto port = std::make_unique<FuzzPort>(i == 1 ? none : all);
      ports[i] = port.get();
      attached->port = std::move(port);
      attached->trunk = i == 3;
      if (Refusal refusal = publisher.bind(names[i], attached)) fail(refusal.message);
      if (i == 3)
        if (Refusal refusal = publisher.bind("t0", attached)) fail(refusal.message);
    }
    WorkerOptions options;
    options.connection_memory = memory.data();
    options.connections = kConnections;
    options.secret = 0x1234567890abcdefull;
    worker = std::make_unique<Worker>(options);
    auto generation = publisher.build();
    worker->ask([&](Worker& w) { w.adopt(generation); });
  }
};

// State goes on from input to input, as it does from frame to frame: a full table and old records are part of the game.
Bed& bed() {
  static Bed bed;
  return bed;
}

Bytes input_of(uint8_t port, const Bytes& frame, const Offload& offload) {
  Bytes input = {port};
  uint8_t header[kWireOffload];
  write_offload(offload, header);
  input.insert(input.end(), header, header + kWireOffload);
  input.push_back(static_cast<uint8_t>(frame.size()));
  input.push_back(static_cast<uint8_t>(frame.size() >> 8));
  input.insert(input.end(), frame.begin(), frame.end());
  return input;
}

}  // namespace

std::vector<Bytes> seeds() {
  std::vector<Bytes> all;
  for (const test::BadFrame& bad : test::bad_frames()) all.push_back(input_of(0, bad.bytes, bad.offload));
  for (bool v6 : {false, true})
    for (uint8_t protocol : {kTcp, kUdp, kIcmp, kIcmp6, kSctp}) {
      Packet p;
      if (v6) p.source = "fd00::1", p.destination = "fd00::2";
      p.protocol = protocol;
      if (v6) p.icmp_type = 128;
      p.partial = protocol == kTcp || protocol == kUdp;
      for (int flags : {kSyn + 0, kAck + 0, kFin | kAck, kRst + 0}) {
        p.tcp_flags = static_cast<uint8_t>(flags);
        all.push_back(input_of(0, p.bytes(), p.offload()));
        all.push_back(input_of(1, p.reversed().bytes(), p.reversed().offload()));
      }
      p.destination_port = 2500;
      all.push_back(input_of(0, p.bytes(), p.offload()));
      p.vlans = {5, 6};
      all.push_back(input_of(3, p.bytes(), p.offload()));
      p.vlans = {};
      if (!p.partial) continue;
      p.payload.resize(600);
      all.push_back(input_of(2, p.bytes(), p.super_offload(100)));
      p.vlans = {5, 6};
      all.push_back(input_of(3, p.bytes(), p.super_offload(100)));
      p.vlans = {};
      p.destination_port = 2000;
      all.push_back(input_of(0, p.bytes(), p.super_offload(100)));
    }
  Packet options, extensions, first, later;
  options.ip_options = {7, 7, 4, 1, 2, 3, 4, 0};
  extensions.source = "fd00::1", extensions.destination = "fd00::2";
  extensions.extensions = {{0}, {60, Bytes(14)}, {43, {2, 0, 0, 0, 0, 0}}, {51, Bytes(10)}};
  first.more = true, first.payload.resize(24), later.fragment_offset = 32;
  Packet first6 = extensions, later6 = extensions;
  first6.fragment = first6.more = later6.fragment = true;
  first6.payload.resize(24), later6.fragment_offset = 32;
  for (const Packet& p : {options, extensions, first, later, first6, later6}) all.push_back(input_of(0, p.bytes(), {}));
  for (uint8_t type : {133, 134, 135, 136, 137})
    all.push_back(
        input_of(0, test::neighbour_discovery(type, "fd00::1", "fe80::2", "fd00::1", type == 136 ? 2 : 1).bytes(), {}));
  all.push_back(input_of(0, test::arp_frame(1, test::kTestSource, "10.9.0.1", "10.9.0.2"), {}));
  // A flow that begins, is answered, and ends; and fragments in order.
  Bytes train;
  for (const Packet& p : {first, later}) {
    const Bytes one = input_of(0, p.bytes(), {});
    train.insert(train.end(), one.begin(), one.end());
  }
  all.push_back(train);
  return all;
}

std::string summary() {
  const auto& drops = bed().worker->counters().totals.drops;
  uint64_t dropped = 0, reasons = 0;
  for (const auto& both : drops) {
    dropped += both[0] + both[1];
    reasons += both[0] + both[1] > 0;
  }
  return std::to_string(frames_in) + " frames in, " + std::to_string(frames_out) + " out (" + std::to_string(segments) +
         " segments), " + std::to_string(dropped) + " drops for " + std::to_string(reasons) + " reasons, " +
         std::to_string(bed().worker->context().connections.size()) + " connections";
}

}  // namespace headgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headgate;
  fuzz::Bed& bed = fuzz::bed();
  fuzz::Reader in(data, size);
  uint64_t sent = 0, run_before = 0;
  while (!in.empty()) {
    const uint8_t control = in.byte();
    MemoryFrame frame;
    uint8_t header[kWireOffload];
    for (uint8_t& b : header) b = in.byte();
    frame.offload = read_offload(header);
    frame.bytes = in.take(in.word());
    // Mutation hardly ever makes a checksum right; every other frame gets that of IPv4, and the kernel's word for that
    // of its transport, so that what lies behind is reached.
    if ((control & 16) == 0) frame.offload.checksum_valid = true;
    if ((control & 16) == 0 && frame.bytes.size() >= 14) {
      size_t ip = 14;
      while (ip < 22 && ip + 20 <= frame.bytes.size() && test::get16(frame.bytes, ip - 2) != 0x0800) ip += 4;
      if (ip + 20 <= frame.bytes.size() && test::get16(frame.bytes, ip - 2) == 0x0800 &&
          ip + (frame.bytes[ip] & 15) * 4u <= frame.bytes.size() && (frame.bytes[ip] & 15) >= 5)
        test::fix_ipv4(frame.bytes, ip);
    }
    const bool super = frame.offload.kind != Offload::kNone;
    bed.ports[control & 3]->waiting.push_back(std::move(frame));
    ++sent;
    static constexpr uint64_t kSteps[] = {0, 1'000'000, 50'000'000, 40'000'000'000};
    bed.time += kSteps[(control >> 2) & 3];
    if (control & 32) continue;  // the next one is in the same batch
    fuzz::cut = super && sent == run_before + 1;
    run_before = sent;
    bed.worker->run(bed.time += 100'000);
    fuzz::cut = false;
  }
  bed.worker->run(bed.time += 100'000);
  fuzz::frames_in += sent;
  Context& ctx = bed.worker->context();
  if (bed.worker->counters().totals.frames != fuzz::frames_in) fuzz::fail("a frame was not received");
  if (ctx.pool.available() + Worker::kBatch != ctx.pool.size()) fuzz::fail("a frame of the pool is lost");
  if (ctx.connections.size() > fuzz::kConnections) fuzz::fail("more connections than the limit");
  static uint32_t inputs = 0;
  if (++inputs % 1024 == 0) ctx.log.drain();
  return 0;
}
