// Packets from a hostile underlay: every encapsulation's reader, joining, the whole pipeline behind it, and the way
// back out through the sender.
//
// Input: any number of outer packets, each
//   byte    encapsulation (3 bits), whether it is of a remote that is known (1 bit, mostly), whether time passes (2
//   bits),
//           whether more come before the worker looks (1 bit)
//   2       length, little-endian, then so many bytes of what stands behind the outer headers
//   2       length of the parts that the kernel joined; 0: it is one packet
//
// One workload's port throws what it gets back where it came from: so frames go out by tunnels too, cut and
// encapsulated, and what goes out comes in again, as in a loop. A frame that carries UDP is taken as a tunnel's packet
// once more, as deep as it goes.
//
// Invariants: what is sent is read again without a fault, and is no longer than the kernel takes; what a port without
// offloads gets parses and needs no work; no frame of the pool is lost, no table grows beyond its limit.
#include <algorithm>
#include <deque>

#include "fuzz/fuzz.h"
#include "packet/parse.h"
#include "packet/wire.h"
#include "pipeline/worker.h"
#include "tables/publisher.h"
#include "test/memory_underlay.h"

namespace headgate::fuzz {
namespace {

using test::Bytes;
using test::MemoryUnderlay;
using test::Packet;

constexpr uint32_t kConnections = 512, kVni = 0x42, kMost = 1464;
constexpr size_t kDeepest = 3, kLoops = 4;
uint64_t packets_in = 0, frames_out = 0, packets_out = 0;

const EncapsulationOptions kGeneveOptions{{0x01, 0x02, 0x83, 0x01, 1, 2, 3, 4}};
const EncapsulationOptions kNshOptions{{0x00, 0x01, 0x02, 0x05, 1, 2, 3, 4, 5, 0, 0, 0}};

EncapsulationOptions options_of(const Encapsulation& encapsulation) {
  if (&encapsulation == &kGeneve) return kGeneveOptions;
  return &encapsulation == &kNsh ? kNshOptions : EncapsulationOptions{};
}

uint32_t key_of(const Encapsulation& encapsulation) {
  return &encapsulation == &kNsh || &encapsulation == &kNshEthernet ? kVni << 8 | 255 : kVni;
}

class FuzzTunnel final : public TunnelPort {
 public:
  explicit FuzzTunnel(const Encapsulation& encapsulation)
      : encapsulation_(encapsulation), underlay_(encapsulation, options_of(encapsulation)) {}

  PortCapabilities capabilities() const override { return {true, true, false, 1}; }
  int descriptor(unsigned) const override { return -1; }
  std::string failure() const override { return {}; }
  uint32_t most_to(const Address&) override { return kMost; }
  bool has_more(unsigned) const override { return underlay_.receiver->has_more(); }
  size_t receive(unsigned, std::span<Frame* const> frames) override {
    const size_t count = underlay_.receiver->receive(frames, kMost);
    for (size_t i = 0; i < count; ++i) look_deeper(*frames[i]);
    return count;
  }

  void transmit(unsigned, std::span<Frame* const> frames, std::span<Reason> outcomes) override {
    MemoryUnderlay::sent().clear();
    underlay_.sender->transmit(frames, outcomes);
    for (auto& message : MemoryUnderlay::sent()) {
      check(message);
      if (loops_ < kLoops && ++loops_) take(std::move(message.bytes), message.segment, known_);
    }
  }

  void take(Bytes bytes, uint32_t segment, const Address& from) {
    known_ = from;
    held_.push_back(std::move(bytes));
    const Bytes& kept = held_.back();
    underlay_.receiver->take(kept.data(), static_cast<uint32_t>(kept.size()), segment, from);
  }
  // Nothing of what was taken is left.
  void settle() {
    held_.clear();
    loops_ = 0;
  }

 private:
  void check(const test::OuterMessage& message) {
    ++packets_out;
    if (message.bytes.size() > 65535 - 48) fail("a message that no kernel takes");
    const size_t segment = message.segment ? message.segment : message.bytes.size();
    for (size_t at = 0; at < message.bytes.size(); at += segment) {
      Encapsulated found;
      const size_t length = std::min(segment, message.bytes.size() - at);
      if (encapsulation_.read(underlay_.own, {&message.bytes[at], length}, found) != Reason::kNone)
        fail("a packet that its own reader refuses");
      if (found.key != key_of(encapsulation_)) fail("a packet of another key");
    }
  }

  // Tunnels in tunnels: the payload of a datagram is read as this tunnel's packet.
  void look_deeper(const Frame& frame) {
    if (held_.size() > kDeepest || frame.length < 50 || load16(frame.data + 12) != 0x0800 || frame.data[23] != kUdp)
      return;
    Encapsulated found;
    const std::span<const uint8_t> inner(frame.data + 42, frame.length - 42);
    if (encapsulation_.read(underlay_.own, inner, found) == Reason::kNone)
      take(Bytes(inner.begin(), inner.end()), 0, known_);
  }

  const Encapsulation& encapsulation_;
  MemoryUnderlay underlay_;
  std::deque<Bytes> held_;
  Address known_;
  size_t loops_ = 0;
};

// A workload's port: checks what it gets; `throws_back`: and sends it back.
class FuzzPort final : public Port {
 public:
  FuzzPort(const PortCapabilities& can, bool throws_back) : can_(can), throws_back_(throws_back) {}
  PortCapabilities capabilities() const override { return can_; }
  int descriptor(unsigned) const override { return -1; }
  std::string failure() const override { return ""; }

  size_t receive(unsigned, std::span<Frame* const> frames) override {
    size_t count = 0;
    for (; count < frames.size() && !waiting_.empty(); ++count) {
      Frame& frame = *frames[count];
      const MemoryFrame& from = waiting_.front();
      frame.data = frame.buffer + kHeadroom;
      frame.length = static_cast<uint32_t>(from.bytes.size());
      frame.offload = from.offload;
      std::copy(from.bytes.begin(), from.bytes.end(), frame.data);
      waiting_.pop_front();
    }
    return count;
  }

  void transmit(unsigned, std::span<Frame* const> frames, std::span<Reason> outcomes) override {
    for (size_t i = 0; i < frames.size(); ++i) {
      outcomes[i] = Reason::kNone;
      check(*frames[i]);
      if (throws_back_ && waiting_.size() < 64) throw_back(*frames[i]);
    }
    frames_out += frames.size();
  }

 private:
  void check(const Frame& frame) const {
    if (frame.data < frame.buffer || frame.data + frame.length > frame.buffer + FramePool::kStride)
      fail("a frame outside of its buffer");
    if (can_.checksum) return;
    if (frame.offload.partial_checksum || frame.offload.kind != Offload::kNone)
      fail("work is left for a port that does none");
    Frame copy = frame;
    if (parse(copy) != Reason::kNone) fail("a frame that does not parse any more");
  }

  void throw_back(const Frame& frame) {
    MemoryFrame back{{frame.data, frame.data + frame.length}, frame.offload};
    std::swap_ranges(back.bytes.begin(), back.bytes.begin() + 6, back.bytes.begin() + 6);
    waiting_.push_back(std::move(back));
  }

  PortCapabilities can_;
  bool throws_back_;
  std::deque<MemoryFrame> waiting_;
};

const std::string kRemote = "192.0.2.2", kOverEthernet = "fe80::ff:fe00:2";

struct Bed {
  Publisher publisher;
  std::vector<uint8_t> memory = std::vector<uint8_t>(ConnectionTable::bytes_for(kConnections));
  std::unique_ptr<Worker> worker;
  std::vector<FuzzTunnel*> tunnels;
  uint64_t time = 1'000'000'000;

  Bed() {
    Delta delta;
    delta.default_action = Action::kAllow;
    delta.set_segments = {{"lan", "1", 0, 0, "lan"}};
    delta.set_workloads = {{"a", "1", "lan", false, "02:68:67:00:00:01", {}}, {"b", "1", "lan", false, {}, {}}};
    for (const Encapsulation* one : encapsulations()) {
      WorkloadChange& far = delta.set_workloads.emplace_back();
      far.name = one->name;
      far.digest = "1";
      far.segment = "lan";
      far.remote = {one->carrier == Carrier::kEthernet ? kOverEthernet : kRemote, key_of(*one), one == &kGre};
    }
    if (Refusal refusal = publisher.apply(delta)) fail(refusal.message);
    bind("a", std::make_unique<FuzzPort>(PortCapabilities{true, true, true, 1}, true), nullptr);
    bind("b", std::make_unique<FuzzPort>(PortCapabilities{}, false), nullptr);
    for (const Encapsulation* one : encapsulations()) {
      auto tunnel = std::make_unique<FuzzTunnel>(*one);
      tunnels.push_back(tunnel.get());
      bind(one->name, std::move(tunnel), tunnels.back());
      (*publisher.find_workload(one->name))->remote->most = kMost;
    }
    WorkerOptions options;
    options.connection_memory = memory.data();
    options.connections = kConnections;
    options.secret = 0x1234567890abcdefull;
    worker = std::make_unique<Worker>(options);
    auto generation = publisher.build();
    worker->ask([&](Worker& w) { w.adopt(generation); });
  }

  void bind(const std::string& name, std::unique_ptr<Port> port, TunnelPort* tunnel) {
    auto attached = std::make_shared<AttachedPort>();
    attached->port = std::move(port);
    attached->tunnel = tunnel;
    if (Refusal refusal = publisher.bind(name, attached)) fail(refusal.message);
  }

  void run() {
    worker->run(time += 100'000);
    // What was thrown back, and what came of that.
    for (size_t i = 0; i < kLoops && worker->run(time += 100'000); ++i) {
    }
    for (FuzzTunnel* tunnel : tunnels)
      if (!tunnel->has_more(0)) tunnel->settle();
  }
};

Bed& bed() {
  static Bed bed;
  return bed;
}

Bytes input_of(uint8_t control, const Bytes& packet, uint16_t segment = 0) {
  Bytes input = {control, static_cast<uint8_t>(packet.size()), static_cast<uint8_t>(packet.size() >> 8)};
  input.insert(input.end(), packet.begin(), packet.end());
  input.push_back(static_cast<uint8_t>(segment));
  input.push_back(static_cast<uint8_t>(segment >> 8));
  return input;
}

Bytes encapsulate(const Encapsulation& encapsulation, const Bytes& frame) {
  Encapsulator own;
  std::string error;
  encapsulation.prepare(options_of(encapsulation), own, error);
  Bytes packet(own.length);
  encapsulation.write(own, key_of(encapsulation), packet.data());
  packet.insert(packet.end(), frame.begin(), frame.end());
  return packet;
}

void add_seeds(std::vector<Bytes>& all, uint8_t number) {
  const Encapsulation& encapsulation = *encapsulations()[number];
  const Mac far = {2, 0, 0, 0, 0, 9};
  Packet to_a;
  to_a.source_mac = far;
  to_a.destination_mac = test::kTestSource;
  for (uint8_t protocol : {kTcp, kUdp, kIcmp}) {
    to_a.protocol = protocol;
    to_a.tcp_flags = kSyn;
    all.push_back(input_of(number, encapsulate(encapsulation, to_a.bytes())));
  }
  all.push_back(input_of(number, encapsulate(encapsulation, test::arp_frame(1, far, "10.9.0.9", "10.9.0.1"))));
  // Segments that the kernel joined, to both workloads.
  for (const Mac& mac : {test::kTestSource, test::kTestDestination})
    for (bool ipv6 : {false, true}) {
      Bytes train;
      Packet p = to_a;
      p.destination_mac = mac;
      p.protocol = kTcp;
      p.tcp_flags = kAck;
      if (ipv6) p.source = "fd00::1", p.destination = "fd00::2";
      p.payload.resize(100);
      for (uint32_t i = 0; i < 4; ++i) {
        p.sequence = 1 + 100 * i;
        p.id = i;
        const Bytes one = encapsulate(encapsulation, p.bytes());
        train.insert(train.end(), one.begin(), one.end());
      }
      all.push_back(input_of(number, train, static_cast<uint16_t>(train.size() / 4)));
    }
  // From a tunnel device of the same kernel: no checksum, and too long.
  Packet undone = to_a;
  undone.protocol = kTcp;
  undone.tcp_flags = kSyn;
  undone.partial = true;
  undone.payload.resize(3000);
  all.push_back(input_of(number, encapsulate(encapsulation, undone.bytes())));
  // A tunnel in a tunnel in a tunnel.
  Packet nested = to_a;
  nested.protocol = kUdp;
  nested.destination_port = 4789;
  for (int depth = 0; depth < 3; ++depth) nested.payload = encapsulate(encapsulation, nested.bytes());
  all.push_back(input_of(number, encapsulate(encapsulation, nested.bytes())));
}

}  // namespace

std::vector<Bytes> seeds() {
  std::vector<Bytes> all;
  for (uint8_t i = 0; i < encapsulations().size(); ++i) add_seeds(all, i);
  // GRE with checksum and sequence number; critical Geneve options that nobody knows.
  const Bytes inner = Packet{}.bytes();
  Bytes gre{0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, kVni, 0, 0, 0, 9},
      geneve{4, 0x40, 0x65, 0x58, 0, 0, kVni, 0, 1, 2, 0x90, 1, 0, 0, 0, 0, 1, 3, 0x10, 1, 0, 0, 0, 0};
  gre.insert(gre.end(), inner.begin(), inner.end());
  geneve.insert(geneve.end(), inner.begin(), inner.end());
  all.push_back(input_of(2, gre));
  all.push_back(input_of(1, geneve));
  return all;
}

std::string summary() {
  const auto& drops = bed().worker->counters().totals.drops;
  uint64_t dropped = 0, reasons = 0;
  for (const auto& both : drops) {
    dropped += both[0] + both[1];
    reasons += both[0] + both[1] > 0;
  }
  return std::to_string(packets_in) + " packets in, " + std::to_string(bed().worker->counters().totals.frames) +
         " frames of them and thrown back, " + std::to_string(frames_out) + " to workloads, " +
         std::to_string(packets_out) + " packets out, " + std::to_string(dropped) + " drops for " +
         std::to_string(reasons) + " reasons";
}

}  // namespace headgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace headgate;
  fuzz::Bed& bed = fuzz::bed();
  fuzz::Reader in(data, size);
  static const Address known = *parse_address(fuzz::kRemote), stranger = *parse_address("203.0.113.9"),
                       over_ethernet = *parse_address(fuzz::kOverEthernet);
  while (!in.empty()) {
    const uint8_t control = in.byte();
    const size_t number = (control & 7) % encapsulations().size();
    test::Bytes packet = in.take(in.word());
    const uint16_t segment = in.word();
    const bool ethernet = encapsulations()[number]->carrier == Carrier::kEthernet;
    bed.tunnels[number]->take(std::move(packet), segment, control & 8 ? stranger : ethernet ? over_ethernet : known);
    ++fuzz::packets_in;
    static constexpr uint64_t kSteps[] = {0, 1'000'000, 50'000'000, 40'000'000'000};
    bed.time += kSteps[(control >> 4) & 3];
    if (control & 64) continue;
    bed.run();
  }
  bed.run();
  Context& ctx = bed.worker->context();
  if (ctx.pool.available() + Worker::kBatch != ctx.pool.size()) fuzz::fail("a frame of the pool is lost");
  if (ctx.connections.size() > fuzz::kConnections) fuzz::fail("more connections than the limit");
  return 0;
}
