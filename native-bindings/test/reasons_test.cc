// No drop without a reason, and no reason without a drop: every entry of reasons.def is caused here, through the whole
// pipeline, counted under its name, and named by a trace of the frame.
#include <doctest/doctest.h>

#include <functional>
#include <map>

#include "pipeline/engine.h"
#include "test/bad_frames.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

using Cause = std::function<uint64_t()>;  // the drops that were counted

// Traces every frame of a worker, and tells whether one was dropped for the reason.
class Watch {
 public:
  explicit Watch(Worker& worker) : worker_(worker) {
    worker.tracer().start(0, 1, std::make_shared<TraceFilter>(TraceFilter{.dropped = true}));
  }
  bool saw(Reason reason) {
    const TakenTraces taken = worker_.tracer().take(0, SIZE_MAX);
    return std::any_of(taken.records.begin(), taken.records.end(), [&](const auto& record) {
      return std::any_of(record->drops.begin(), record->drops.end(), [&](const auto& d) { return d.reason == reason; });
    });
  }

 private:
  Worker& worker_;
};

// A port that refuses every frame for one reason, as kernel ports do.
class RefusingPort final : public Port {
 public:
  explicit RefusingPort(Reason reason) : reason_(reason) {}
  PortCapabilities capabilities() const override { return {}; }
  int descriptor(unsigned) const override { return -1; }
  size_t receive(unsigned, std::span<Frame* const>) override { return 0; }
  void transmit(unsigned, std::span<Frame* const>, std::span<Reason> outcomes) override {
    for (Reason& outcome : outcomes) outcome = reason_;
  }
  std::string failure() const override { return ""; }

 private:
  Reason reason_;
};

uint64_t dropped(Reason reason, const std::function<void(Bed&)>& act, Action default_action = Action::kAllow) {
  Bed bed(default_action, 4);
  Watch watch(bed.worker());
  act(bed);
  while (bed.run()) {
  }
  CHECK_MESSAGE(watch.saw(reason), std::string(kReasonTexts[static_cast<size_t>(reason)].name));
  return bed.drops(reason);
}

// A bed in which the flows of "a" go through a service portal on a trunk, which `act` is given.
uint64_t serviced(Reason reason, const std::function<void(Bed&, MemoryPort&)>& act, bool by_record = false) {
  return dropped(reason, [&](Bed& bed) {
    Delta delta;
    delta.set_segments = {{"services", "1", 0, 0, "services"}, {"other", "1", 0, 0, "other"}};
    WorkloadChange wire = workload("wire", {}, {}, "services");
    wire.trunk = true;
    delta.set_workloads = {wire, workload("c", kTestSource, {}, "other"), workload("d", kTestDestination, {}, "other")};
    PortalChange portal{"fw", "1", "wire"};
    portal.by_record = by_record;
    delta.set_portals = {portal};
    delta.set_rules = {rule("any", Action::kAllow)};
    uint32_t key = 100;
    for (const char* segment : {"lan", "other"}) {
      ServiceTagChange tag;
      tag.name = segment;
      tag.digest = "1";
      tag.segment = segment;
      tag.hops = {{false, {{"fw", ++key}}}};
      delta.set_tags.push_back(tag);
      delta.set_scopes.push_back({segment, "1", {segment[0] == 'l' ? "a" : "c"}});
      EntryChange entry{segment, "1", "any", kInsertions, key, true, true, segment};
      entry.tag = segment;
      delta.set_entries.push_back(entry);
    }
    bed.publish(delta);
    auto memory = std::make_unique<MemoryPort>();
    MemoryPort& trunk = *memory;
    bed.attach("wire", std::move(memory), true);
    act(bed, trunk);
  });
}

Packet under_tag(uint16_t vlan) {
  Packet p;
  p.vlans = {vlan};
  return p;
}

// Five SYNs of one workload under these limits.
uint64_t limited(Reason reason, const Limits& limits) {
  return dropped(reason, [&](Bed& bed) {
    Delta delta;
    delta.limits = limits;
    bed.publish(delta);
    for (uint16_t i = 0; i < 5; ++i) {
      Packet p;
      p.source_port = i;
      bed.send("a", p);
    }
  });
}

uint64_t refused_by_port(Reason reason) {
  return dropped(reason, [&](Bed& bed) {
    Delta delta;
    delta.set_workloads.push_back(workload("c", Mac{2, 0, 0, 0, 0, 3}));
    bed.publish(delta);
    bed.attach("c", std::make_unique<RefusingPort>(reason));
    Packet p;
    p.destination_mac = {2, 0, 0, 0, 0, 3};
    bed.send("a", p);
  });
}

// What happens at the two remotes of a tunnel.
uint64_t at_tunnel(Reason reason, const std::function<void(Bed&)>& act) {
  return dropped(reason, [&](Bed& bed) {
    bed.add_remote("far", "192.0.2.2");
    bed.add_remote("farther", "192.0.2.3");
    act(bed);
  });
}

// That headers are refused for these is shown by encapsulation_test.cc, on real packets by fuzzing and netns tests.
uint64_t refused_by_tunnel(Reason reason) {
  return at_tunnel(reason, [&](Bed& bed) {
    bed.arrive("192.0.2.2", {});
    bed.tunnel().in.back().hop.refused = reason;
  });
}

Packet with(const std::function<void(Packet&)>& change) {
  Packet p;
  change(p);
  return p;
}

constexpr uint32_t kConnections = 64;

WorkerOptions options(uint32_t index, std::vector<uint8_t>& memory) {
  WorkerOptions options;
  options.index = index;
  options.connection_memory = memory.data();
  options.connections = kConnections;
  options.secret = 99;
  return options;
}

// Two workers of which one owns the frame's flow and never takes it: its ring fills up.
uint64_t ring_full() {
  Bed bed;
  std::vector<uint8_t> memory(ConnectionTable::bytes_for(kConnections));
  Worker worker(options(0, memory));
  auto ring = std::make_shared<FrameRing>(), back = std::make_shared<FrameRing>();
  Steering steering;
  steering.workers = 2;
  steering.out = {nullptr, ring};
  steering.in = {nullptr, back};
  steering.wake.resize(2);
  worker.join(std::move(steering), {&worker, &bed.worker()});
  auto generation = bed.publisher().build();
  worker.ask([&](Worker& w) { w.adopt(generation); });
  Watch watch(worker);
  for (uint16_t port = 1; port <= 2000; ++port) bed.send("a", with([&](Packet& p) { p.source_port = port; }));
  for (int i = 0; i < 100; ++i) worker.run(1'000'000'000);
  CHECK(watch.saw(Reason::kWorkerRingFull));
  // No worker is there that would take the records off.
  FramePool pool(1);
  for (Frame* frame = pool.acquire(); ring->pop(*frame);) delete std::exchange(frame->trace, nullptr);
  const auto& both = worker.counters().totals.drops[static_cast<size_t>(Reason::kWorkerRingFull)];
  return both[0] + both[1];
}

// A frame that waits in a ring while its sender is removed.
uint64_t sender_gone() {
  Bed bed;
  std::vector<uint8_t> memory(ConnectionTable::bytes_for(kConnections));
  Worker worker(options(1, memory));
  auto ring = std::make_shared<FrameRing>();
  FramePool pool(1);
  Frame* frame = pool.acquire();
  frame->source_workload = frame->destination_workload = 0;
  // It was picked by the worker that handed it over.
  auto record = std::make_unique<TraceRecord>();
  record->traces[0] = 1;
  frame->trace = record.release();
  REQUIRE(ring->push(*frame));
  Steering steering;
  steering.self = 1;
  steering.workers = 2;
  steering.in = {ring, nullptr};
  steering.out = {std::make_shared<FrameRing>(), nullptr};
  steering.wake.resize(2);
  worker.join(std::move(steering), {&worker, &worker});
  Watch watch(worker);
  worker.run(1'000'000'000);  // its generation is empty: no workload 0
  CHECK(watch.saw(Reason::kPortUnbound));
  const auto& both = worker.counters().totals.drops[static_cast<size_t>(Reason::kPortUnbound)];
  return both[0] + both[1];
}

std::map<Reason, Cause> causes() {
  using R = Reason;
  const auto send = [](Reason reason, const Bytes& bytes, Action default_action = Action::kAllow) {
    return [=] {
      return dropped(
          reason, [&](Bed& bed) { bed.send("a", bytes); }, default_action);
    };
  };
  const auto guarded = [](Reason reason, const Bytes& bytes) {
    return [=] {
      return dropped(reason, [&](Bed& bed) {
        Delta delta;
        delta.set_workloads.push_back(workload("a", kTestSource, {{"10.9.0.1", "fd00::1"}}));
        bed.publish(delta);
        bed.send("a", bytes);
      });
    };
  };
  const auto judged = [](Reason reason, Action action) {
    return [=] {
      return dropped(reason, [&](Bed& bed) {
        bed.index("b", {{rule("r", action)}}, {{}});
        bed.send("a", Packet{});
      });
    };
  };
  const auto after_syn = [](Reason reason, const Packet& then) {
    return [=] {
      return dropped(reason, [&](Bed& bed) {
        bed.send("a", tcp_packet(kSyn));
        bed.send("a", then);
      });
    };
  };
  const auto after_open = [](Reason reason, const Packet& then) {
    return [=] {
      return dropped(reason, [&](Bed& bed) {
        bed.reached("a", tcp_packet(kSyn), "b");
        bed.reached("b", tcp_packet(kSyn | kAck).reversed(), "a");
        bed.reached("a", tcp_packet(kAck), "b");
        bed.send("a", then);
      });
    };
  };
  Packet nd = neighbour_discovery(136, "fd00::1", "fe80::2", "fd00::9", 2);
  // The first fragment of a datagram, 24 bytes, and a later one.
  const auto fragments = [](Reason reason, uint32_t offset, size_t length) {
    return [=] {
      return dropped(reason, [&](Bed& bed) {
        bed.send("a", with([](Packet& p) { p.more = true, p.payload.resize(16); }));
        bed.send("a", with([&](Packet& p) { p.fragment_offset = offset, p.payload.resize(length); }));
        bed.send("a", with([&](Packet& p) { p.fragment_offset = offset, p.payload.resize(length); }));
      });
    };
  };
  std::map<Reason, Cause> all = {
      {R::kPortUnbound, sender_gone},
      {R::kVlanNotAllowed, send(R::kVlanNotAllowed, with([](Packet& p) { p.vlans = {5}; }).bytes())},
      {R::kVlanUnmapped,
       [] {
         return dropped(R::kVlanUnmapped, [](Bed& bed) {
           Delta delta;
           delta.set_segments.push_back({"red", "1", 10, 0, "red"});
           delta.set_workloads.push_back(workload("t", {}, {}, "red"));
           delta.set_workloads.back().trunk = true;
           bed.publish(delta);
           auto port = std::make_unique<MemoryPort>();
           port->push(with([](Packet& p) { p.vlans = {11}; }).bytes());
           bed.attach("t", std::move(port), true);
         });
       }},
      {R::kSpoofedMac, send(R::kSpoofedMac, with([](Packet& p) { p.source_mac[5] = 77; }).bytes())},
      {R::kSpoofedIpv4, guarded(R::kSpoofedIpv4, with([](Packet& p) { p.source = "10.9.0.7"; }).bytes())},
      {R::kSpoofedIpv6,
       guarded(R::kSpoofedIpv6, with([](Packet& p) { p.source = "fd00::7", p.destination = "fd00::2"; }).bytes())},
      {R::kSpoofedArp, guarded(R::kSpoofedArp, arp_frame(2, kTestSource, "10.9.0.7", "10.9.0.2"))},
      {R::kSpoofedNd, guarded(R::kSpoofedNd, nd.bytes())},
      {R::kMacLimit,
       [] {
         return dropped(R::kMacLimit, [](Bed& bed) {
           bed.add(workload("free"));
           for (uint8_t i = 0; i < 65; ++i)
             bed.send("free", with([&](Packet& p) { p.source_mac = {2, 7, 0, 0, 0, i}; }));
         });
       }},
      {R::kNoOtherPort, send(R::kNoOtherPort, with([](Packet& p) { p.destination_mac = kTestSource; }).bytes())},
      {R::kMacReserved,
       send(R::kMacReserved, with([](Packet& p) { p.destination_mac = {1, 0x80, 0xc2, 0, 0, 0}; }).bytes())},
      {R::kNoMember,
       [] {
         return dropped(R::kNoMember, [](Bed& bed) {
           Delta delta;
           delta.remove_workloads = {"b"};
           bed.publish(delta);
           bed.send("a", Packet{});
         });
       }},
      {R::kFloodLimited,
       [] {
         return dropped(R::kFloodLimited, [](Bed& bed) {
           for (int i = 0; i < 4001; ++i) bed.send("a", arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2"));
         });
       }},
      {R::kFragmentDuplicate, fragments(R::kFragmentDuplicate, 32, 8)},
      {R::kFragmentOverlap, fragments(R::kFragmentOverlap, 16, 24)},
      {R::kFragmentWrongEnd, fragments(R::kFragmentWrongEnd, 8, 8)},
      {R::kFragmentTimeout,
       [] {
         return dropped(R::kFragmentTimeout, [](Bed& bed) {
           bed.send("a", with([](Packet& p) { p.fragment_offset = 80; }));
           bed.run();
           bed.pass(FragmentTable::kTimeout);
         });
       }},
      {R::kFragmentsFull,
       [] {
         return dropped(R::kFragmentsFull, [](Bed& bed) {
           for (uint32_t id = 0; id < FragmentTable::kHeld; ++id)
             bed.send("a", with([&](Packet& p) { p.id = id, p.fragment_offset = 80; }));
         });
       }},
      {R::kIcmpErrorMalformed, send(R::kIcmpErrorMalformed, icmp_error(Packet{}.reversed(), 3, "10.9.0.1", 27).bytes())},
      {R::kIcmpErrorUnrelated, send(R::kIcmpErrorUnrelated, icmp_error(Packet{}.reversed(), 3, "10.9.0.1").bytes())},
      {R::kTcpMidStream, after_open(R::kTcpMidStream, with([](Packet& p) { p = tcp_packet(kSyn | kAck, 7); }))},
      {R::kTcpUnexpectedFlags, after_syn(R::kTcpUnexpectedFlags, tcp_packet(kSyn | kAck))},
      {R::kTcpOutOfWindow, after_open(R::kTcpOutOfWindow, with([](Packet& p) {
                                        p = tcp_packet(kAck), p.sequence = 100'000;
                                      }))},
      {R::kTcpBadAck, after_open(R::kTcpBadAck, with([](Packet& p) { p = tcp_packet(kAck), p.acknowledgement = 99; }))},
      {R::kTcpBadReset, after_open(R::kTcpBadReset, with([](Packet& p) {
                                     p = tcp_packet(kRst), p.sequence = 100'000;
                                   }))},
      {R::kSctpMidStream, send(R::kSctpMidStream, with([](Packet& p) {
                                                    p.protocol = kSctp, p.payload = {6, 0, 0, 4};
                                                  }).bytes())},
      {R::kSctpBadTag, send(R::kSctpBadTag, with([](Packet& p) { p.protocol = kSctp, p.sctp_tag = 0; }).bytes())},
      {R::kConnectionsQuota,
       [] {
         return limited(R::kConnectionsQuota, {2, 0, 0});
       }},
      {R::kConnectionsRate,
       [] {
         return limited(R::kConnectionsRate, {0, 0, 2});
       }},
      {R::kHalfOpenQuota,
       [] {
         return limited(R::kHalfOpenQuota, {0, 2, 0});
       }},
      {R::kConnectionsFull,
       [] {
         return dropped(R::kConnectionsFull, [](Bed& bed) {
           for (uint16_t i = 0; i < 5; ++i) bed.send("a", with([&](Packet& p) { p.source_port = i; }));
         });
       }},
      {R::kPolicyDrop, judged(R::kPolicyDrop, Action::kDrop)},
      {R::kPolicyReject, judged(R::kPolicyReject, Action::kReject)},
      {R::kDefaultDrop, send(R::kDefaultDrop, Packet{}.bytes(), Action::kDrop)},
      {R::kConnectionReset,
       [] {
         return dropped(R::kConnectionReset, [](Bed& bed) {
           RuleChange reset = rule("reset", Action::kAllow);
           reset.on_change = OnChange::kReset;
           bed.index("b", {{reset}}, {{}});
           bed.send("a", Packet{});
           bed.run();
           bed.index("b", {{rule("drop", Action::kDrop)}}, {{}});
           bed.send("a", Packet{});
         });
       }},
      {R::kServiceTagUnknown,
       [] {
         return serviced(R::kServiceTagUnknown, [](Bed&, MemoryPort& trunk) { trunk.push(under_tag(7).bytes()); });
       }},
      {R::kServiceNotTracked,
       [] {
         return serviced(R::kServiceNotTracked, [](Bed&, MemoryPort& trunk) {
           Bytes arp = arp_frame(1, kTestSource, "10.9.0.1", "10.9.0.2");
           const uint8_t tag[4] = {0x81, 0, 0, 101};
           arp.insert(arp.begin() + 12, tag, tag + 4);
           trunk.push(arp);
         });
       }},
      {R::kServicePortalDown,
       [] {
         return serviced(R::kServicePortalDown, [](Bed& bed, MemoryPort&) {
           bed.worker().generation()->services->portals[0]->health->up = false;
           bed.send("a", Packet{});
         });
       }},
      {R::kServiceNoConnection,
       [] {
         return serviced(R::kServiceNoConnection, [](Bed&, MemoryPort& trunk) { trunk.push(under_tag(101).bytes()); });
       }},
      {R::kServiceAmbiguous,
       [] {
         return serviced(
             R::kServiceAmbiguous,
             [](Bed& bed, MemoryPort& trunk) {
               auto memory = std::make_unique<MemoryPort>();
               memory->push(Packet{}.bytes());
               bed.attach("c", std::move(memory));
               bed.attach("d", std::make_unique<MemoryPort>());
               bed.send("a", Packet{});
               while (bed.run()) {
               }
               trunk.push(Packet{}.bytes());
             },
             true);
       }},
      {R::kServiceLoop,
       [] {
         return serviced(R::kServiceLoop, [](Bed& bed, MemoryPort& trunk) {
           bed.send("a", Packet{});
           bed.run();
           for (int i = 0; i < 100; ++i) trunk.push(under_tag(101).bytes());
         });
       }},
      {R::kWorkerRingFull, ring_full},
      {R::kOutputDetached,
       [] {
         return dropped(R::kOutputDetached, [](Bed& bed) {
           bed.detach("b");
           bed.send("a", Packet{});
         });
       }},
      {R::kOutputDown,
       [] {
         return dropped(R::kOutputDown, [](Bed& bed) {
           bed.port("b").vanish("gone");
           bed.send("a", Packet{});
         });
       }},
      {R::kOutputFull,
       [] {
         return dropped(R::kOutputFull, [](Bed& bed) {
           bed.add(workload("c", Mac{2, 0, 0, 0, 0, 3}), {}, 1);
           for (int i = 0; i < 2; ++i) bed.send("a", with([](Packet& p) { p.destination_mac = {2, 0, 0, 0, 0, 3}; }));
         });
       }},
      // Kernel ports say these; that they do is shown by port_contract_test.cc, packet_socket_test.cc and tap_test.cc.
      {R::kOutputTooBig, [] { return refused_by_port(R::kOutputTooBig); }},
      {R::kOutputUnsegmentable, [] { return refused_by_port(R::kOutputUnsegmentable); }},
  };
  for (R reason :
       {R::kTunnelTruncated, R::kTunnelNotEthernet, R::kTunnelControl, R::kVxlanNoVni, R::kVxlanGpeNotNsh,
        R::kGreBadVersion, R::kGreBadFlags, R::kGreNoKey, R::kGreBadChecksum, R::kGeneveBadVersion, R::kGeneveBadOption,
        R::kGeneveCriticalOption, R::kNshBadVersion, R::kNshBadLength, R::kNshBadMetadata, R::kNshExpired})
    all[reason] = [reason] { return refused_by_tunnel(reason); };
  all[R::kTunnelUnknownPeer] = [] {
    return at_tunnel(R::kTunnelUnknownPeer, [](Bed& bed) { bed.arrive("192.0.2.4", Packet{}.bytes()); });
  };
  all[R::kTunnelUnknownKey] = [] {
    return at_tunnel(R::kTunnelUnknownKey, [](Bed& bed) { bed.arrive("192.0.2.2", Packet{}.bytes(), 8); });
  };
  all[R::kSplitHorizon] = [] {
    return at_tunnel(R::kSplitHorizon, [](Bed& bed) {
      bed.arrive("192.0.2.3", with([](Packet& p) { p.source_mac = {2, 0, 0, 0, 0, 9}; }).bytes());
      bed.run();
      bed.arrive("192.0.2.2", with([](Packet& p) {
                                p.source_mac = {2, 0, 0, 0, 0, 8}, p.destination_mac = {2, 0, 0, 0, 0, 9};
                              }).bytes());
    });
  };
  all[R::kTunnelTooBig] = [] {
    return at_tunnel(R::kTunnelTooBig, [](Bed& bed) {
      bed.arrive("192.0.2.2", with([](Packet& p) { p.source_mac = {2, 0, 0, 0, 0, 9}; }).bytes());
      bed.run();
      bed.send("a", with([](Packet& p) { p.destination_mac = {2, 0, 0, 0, 0, 9}, p.payload = Bytes(1423); }));
    });
  };
  for (const BadFrame& bad : bad_frames())
    all[bad.reason] = [bad] { return dropped(bad.reason, [&](Bed& bed) { bed.send("a", bad.bytes, bad.offload); }); };
  return all;
}

TEST_CASE("every reason is caused, and counted under its name") {
  const auto all = causes();
  for (size_t r = 1; r < kReasons; ++r) {
    const auto cause = all.find(static_cast<Reason>(r));
    REQUIRE_MESSAGE(cause != all.end(), std::string(kReasonTexts[r].name));
    CHECK_MESSAGE(cause->second() > 0, std::string(kReasonTexts[r].name));
  }
}

TEST_CASE("names of reasons are fit for metrics, and all different") {
  std::map<std::string, int> names;
  for (size_t r = 0; r < kReasons; ++r) {
    const std::string name = kReasonTexts[r].name;
    CHECK(++names[name] == 1);
    CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos);
    CHECK(std::string(kReasonTexts[r].text).size() > 5);
  }
}

}  // namespace
}  // namespace headgate::test
