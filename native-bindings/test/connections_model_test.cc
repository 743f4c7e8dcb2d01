// Property test: the connection table against a model of std::map and std::list, under random finding, inserting,
// touching, removing, ageing and recycling.
#include <doctest/doctest.h>

#include <list>
#include <map>

#include "packet/hash.h"
#include "tables/connections.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

using Class = TimeoutClass;
constexpr uint64_t kSecret = 0x5eed;

// Records by flow number; for each class the order in which they were put there.
class Model {
 public:
  struct Record {
    Class timeout_class;
    uint32_t last;
    uint32_t placed;  // seconds
    bool back;        // begun by the other side
    int profile = 0;
  };

  Model(uint32_t limit, const Timeouts (&timeouts)[3]) : limit_(limit), timeouts_(timeouts) {}

  std::map<uint32_t, Record> records;

  Record* find(uint32_t flow, uint32_t now) {
    auto found = records.find(flow);
    if (found == records.end()) return nullptr;
    if (now - found->second.last >= idle(found->second)) {
      remove(flow);
      return nullptr;
    }
    return &found->second;
  }
  // The flow that went for it, or -1; `ok` tells whether there was room.
  void insert(uint32_t flow, bool back, uint32_t now, bool& ok) {
    ok = true;
    if (records.size() == limit_) {
      ok = false;
      for (Class c : {Class::kDenied, Class::kClosing, Class::kTcpOpening, Class::kUdpOneWay, Class::kIcmpOneWay,
                      Class::kOtherOneWay}) {
        const uint32_t* oldest = nullptr;
        for (int profile = 0; profile < 3; ++profile) {
          const auto& order = order_[{profile, c}];
          if (order.empty() || records.at(order.front()).last == now) continue;
          if (!oldest || now - records.at(order.front()).last > now - records.at(*oldest).last) oldest = &order.front();
        }
        if (!oldest) continue;
        remove(*oldest);
        ok = true;
        break;
      }
    }
    if (!ok) return;
    records[flow] = {Class::kOtherOneWay, now, now / 1000, back};
    order_[{0, Class::kOtherOneWay}].push_back(flow);
  }
  void touch(uint32_t flow, Class c, uint32_t now) {
    Record& r = records.at(flow);
    r.last = now;
    if (r.timeout_class != c) move(flow, c, r.profile, now);
  }
  void set_profile(uint32_t flow, int profile, uint32_t now) {
    const Record& r = records.at(flow);
    if (r.profile != profile) move(flow, r.timeout_class, profile, now);
  }
  void remove(uint32_t flow) {
    order_of(records.at(flow)).remove(flow);
    records.erase(flow);
  }
  void expire(uint32_t now, uint32_t most) {
    for (auto& [list, order] : order_)
      for (uint32_t looked = 0; looked < most && !order.empty(); ++looked) {
        const uint32_t flow = order.front();
        Record& r = records.at(flow);
        if ((now / 1000 - r.placed) * 1000 < idle(r)) break;
        if (now - r.last >= idle(r)) {
          remove(flow);
        } else {
          order.pop_front();
          order.push_back(flow);
          r.placed = now / 1000;
        }
      }
  }

 private:
  uint32_t idle(const Record& r) const { return timeout_of(r.timeout_class, timeouts_[r.profile]); }
  std::list<uint32_t>& order_of(const Record& r) { return order_[{r.profile, r.timeout_class}]; }
  void move(uint32_t flow, Class c, int profile, uint32_t now) {
    Record& r = records.at(flow);
    order_of(r).remove(flow);
    r.timeout_class = c;
    r.profile = profile;
    r.placed = now / 1000;
    order_of(r).push_back(flow);
  }
  uint32_t limit_;
  const Timeouts (&timeouts_)[3];
  std::map<std::pair<int, Class>, std::list<uint32_t>> order_;
};

Headers headers(uint32_t flow, bool back) {
  Headers h;
  h.protocol = flow % 3 ? kUdp : kTcp;
  h.layer3 = flow % 2 ? Layer3::kIpv4 : Layer3::kIpv6;
  h.source = address_of(flow % 2 ? "10.0.0.9" : "fd00::9"),
  h.destination = address_of(flow % 2 ? "10.0.0.8" : "fd00::8");
  h.source_port = static_cast<uint16_t>(flow), h.destination_port = static_cast<uint16_t>(flow * 7);
  if (back) {
    std::swap(h.source, h.destination);
    std::swap(h.source_port, h.destination_port);
  }
  h.hash = hash_flow(h.source, h.source_port, h.destination, h.destination_port, h.protocol, kSecret);
  return h;
}

TEST_CASE("property: the connection table does what a map and lists do") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: the connection table does what a map and lists do"));
  std::mt19937 random(seed);
  uint64_t found = 0, refused = 0;
  Timeouts timeouts[3];
  timeouts[1].tcp_established = 9'000, timeouts[1].other = 2'000, timeouts[1].udp_two_way = 5'000;
  timeouts[2].denied = 60'000, timeouts[2].udp_one_way = 1'000;
  Profiles profiles;
  for (uint8_t i = 0; i < 3; ++i) profiles.set(i, {TrackingMode::kPickup, timeouts[i]});
  for (int round = 0; round < 40; ++round) {
    const uint32_t limit = 1 + random() % 40, flows = 1 + limit / 2 + random() % (3 * limit);
    std::vector<uint8_t> memory(ConnectionTable::bytes_for(limit));
    ConnectionTable table(memory.data(), limit);
    table.set_secret(kSecret);
    Model model(limit, timeouts);
    uint32_t now = random() % 2 ? 1'000'000 : 4'000'000'000;
    for (int step = 0; step < 3000; ++step) {
      if (random() % 3 == 0) now += random() % 4 ? random() % 5 : random() % 15'000;
      const uint32_t flow = random() % flows;
      const bool back = random() % 2;
      bool reply = false;
      Connection* c = table.find(headers(flow, back), 1, now, profiles, reply);
      Model::Record* r = model.find(flow, now);
      CAPTURE(round);
      CAPTURE(step);
      REQUIRE((c != nullptr) == (r != nullptr));
      if (c) {
        ++found;
        REQUIRE(reply == (back != r->back));
        REQUIRE(c->timeout_class() == r->timeout_class);
        REQUIRE(c->profile() == r->profile);
        REQUIRE(c->last_seen == r->last);
      } else {
        bool ok = false;
        model.insert(flow, back, now, ok);
        c = table.insert(headers(flow, back), 1, now);
        REQUIRE((c != nullptr) == ok);
        refused += !ok;
      }
      if (c) {
        const Class classes[] = {Class::kDenied,         Class::kClosing,     Class::kTcpOpening, Class::kUdpOneWay,
                                 Class::kIcmpOneWay,     Class::kOtherOneWay, Class::kUdpTwoWay,  Class::kIcmpTwoWay,
                                 Class::kTcpEstablished, Class::kOtherTwoWay};
        const Class wanted = classes[random() % 10];
        if (random() % 8 == 0) {
          table.remove(*c);
          model.remove(flow);
        } else {
          table.touch(*c, wanted, now);
          model.touch(flow, wanted, now);
          const uint8_t profile = static_cast<uint8_t>(random() % 3);
          if (random() % 4 == 0) table.set_profile(*c, profile, now), model.set_profile(flow, profile, now);
        }
      }
      if (random() % 5 == 0) {
        const uint32_t most = 1 + random() % 4;
        table.expire(now, profiles, most);
        model.expire(now, most);
      }
      REQUIRE(table.size() == model.records.size());
      REQUIRE(table.size() <= limit);
    }
    uint32_t walked = 0;
    table.walk(0, UINT32_MAX, [&](const Connection&) { ++walked; });
    REQUIRE(walked == table.size());
  }
  CHECK(found > 10'000);
  CHECK(refused > 100);
}

}  // namespace
}  // namespace headgate::test
