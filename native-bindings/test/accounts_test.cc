// What a workload may begin: limits refuse its own new connections alone, and what it has open is counted right through
// every way in which a record ends.
#include "tables/accounts.h"

#include <doctest/doctest.h>

#include <map>

#include "packet/hash.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

constexpr uint64_t kSecret = 0x5eed;

void limit(Bed& bed, const Limits& limits) {
  Delta delta;
  delta.limits = limits;
  bed.publish(delta);
}

const Account& account(Bed& bed, const std::string& name) {
  const Accounts& accounts = bed.context().connections.accounts();
  return accounts[accounts.number_of(bed.place(name))];
}

void establish(Bed& bed, const std::string& from, const std::string& to, uint16_t port) {
  const bool turned = from == "b";
  auto packet = [&](uint8_t flags) { return turned ? tcp_packet(flags, port).reversed() : tcp_packet(flags, port); };
  auto back = [&](uint8_t flags) { return turned ? tcp_packet(flags, port) : tcp_packet(flags, port).reversed(); };
  CHECK(bed.reached(from, packet(kSyn), to) == 1);
  CHECK(bed.reached(to, back(kSyn | kAck), from) == 1);
  CHECK(bed.reached(from, packet(kAck), to) == 1);
}

TEST_CASE("a workload at its limit of connections begins no more; others do, and its own go on") {
  Bed bed;
  limit(bed, {3, 0, 0});
  for (uint16_t port = 1; port <= 3; ++port) establish(bed, "a", "b", port);
  CHECK(bed.reached("a", tcp_packet(kSyn, 4), "b") == 0);
  CHECK(bed.drops(Reason::kConnectionsQuota) == 1);
  CHECK(bed.counters("a").drops[static_cast<size_t>(Reason::kConnectionsQuota)] == 1);
  establish(bed, "b", "a", 5);
  for (uint16_t port = 1; port <= 3; ++port) CHECK(bed.reached("a", tcp_packet(kAck, port), "b") == 1);

  bed.pass(1);
  CHECK(bed.reached("a", tcp_packet(kRst, 1), "b") == 1);
  CHECK(bed.reached("a", tcp_packet(kSyn, 4), "b") == 1);  // a closed one does not count
  CHECK(account(bed, "a").open() == 3);
  CHECK(account(bed, "b").open() == 1);
}

TEST_CASE("a connection that is begun anew in the place of one that is over counts once") {
  Bed bed;
  limit(bed, {2, 0, 0});
  for (int i = 0; i < 10; ++i) {
    CHECK(bed.reached("a", tcp_packet(kSyn, 7), "b") == 1);
    bed.pass(1);
    CHECK(bed.reached("b", tcp_packet(kRst | kAck, 7).reversed(), "a") == 1);
    bed.pass(1);
    CHECK(account(bed, "a").open() == 0);
  }
  CHECK(account(bed, "a").begun == 10);
}

TEST_CASE("connections that were denied are not open, and cost their token") {
  Bed bed(Action::kDrop);
  limit(bed, {2, 2, 5});
  for (uint16_t port = 0; port < 8; ++port) bed.reached("a", tcp_packet(kSyn, port), "b");
  CHECK(account(bed, "a").open() == 0);
  CHECK(bed.drops(Reason::kDefaultDrop) == 5);
  CHECK(bed.drops(Reason::kConnectionsRate) == 3);
}

TEST_CASE("new connections a second are limited, a second's worth at once") {
  Bed bed;
  limit(bed, {0, 0, 10});
  uint16_t port = 0;
  auto try_many = [&](int count) {
    size_t reached = 0;
    for (int i = 0; i < count; ++i) reached += bed.reached("a", tcp_packet(kSyn, port++), "b");
    return reached;
  };
  CHECK(try_many(30) == 10);
  CHECK(bed.drops(Reason::kConnectionsRate) == 20);
  bed.pass(500);
  CHECK(try_many(30) == 5);
  CHECK(bed.reached("b", tcp_packet(kSyn, 9999).reversed(), "a") == 1);
}

TEST_CASE("over the limit of half-open ones, the workload's own oldest gives way") {
  Bed bed;
  limit(bed, {0, 4, 0});
  bed.reached("b", tcp_packet(kSyn, 100).reversed(), "a");  // another's, and older
  establish(bed, "a", "b", 200);
  for (uint16_t port = 0; port < 50; ++port) {
    bed.pass(1);
    CHECK(bed.reached("a", tcp_packet(kSyn, port), "b") == 1);
    CHECK(account(bed, "a").half_open() <= 4);
  }
  CHECK(account(bed, "b").half_open() == 1);
  // The last four can still become connections.
  for (uint16_t port = 46; port < 50; ++port) {
    CHECK(bed.reached("b", tcp_packet(kSyn | kAck, port).reversed(), "a") == 1);
    CHECK(bed.reached("a", tcp_packet(kAck, port), "b") == 1);
  }
  CHECK(account(bed, "a").half_open() == 0);
  CHECK(account(bed, "a").open() == 5);
}

TEST_CASE("half-open ones that the running millisecond has used do not give way: the new one is refused") {
  Bed bed;
  limit(bed, {0, 4, 0});
  for (uint16_t port = 0; port < 6; ++port) bed.reached("a", tcp_packet(kSyn, port), "b");
  CHECK(bed.drops(Reason::kHalfOpenQuota) == 2);
  CHECK(account(bed, "a").half_open() == 4);
}

TEST_CASE("a workload's own limits count before the host's, each by itself") {
  Bed bed;
  limit(bed, {1, 0, 3});
  WorkloadChange a = workload("a", kTestSource);
  a.limits.connections = 5;
  Delta delta;
  delta.set_workloads = {a};
  bed.publish(delta);
  CHECK(account(bed, "a").limits == Limits{5, Account::kUnlimited, 3});
  CHECK(account(bed, "b").limits == Limits{1, Account::kUnlimited, 3});
  limit(bed, {});
  CHECK(account(bed, "b").limits.connections == Account::kUnlimited);
}

Headers headers(uint32_t flow) {
  Headers h;
  h.layer3 = flow % 2 ? Layer3::kIpv4 : Layer3::kIpv6;
  h.protocol = kUdp;
  h.source = address_of(flow % 2 ? "10.0.0.9" : "fd00::9");
  h.destination = address_of(flow % 2 ? "10.0.0.8" : "fd00::8");
  h.source_port = static_cast<uint16_t>(flow);
  h.hash = hash_flow(h.source, h.source_port, h.destination, h.destination_port, h.protocol, kSecret);
  return h;
}

// Workloads that come and go at places that are used again.
class Workloads {
 public:
  explicit Workloads(size_t places) : places_(places) {}
  void replace(std::mt19937& random, Accounts& accounts) {
    auto next = std::make_shared<Topology>(*topology_);
    next->workloads.resize(places_);
    auto& workload = next->workloads[random() % places_];
    if (workload && random() % 2) {
      workload = nullptr;
    } else {
      auto fresh = std::make_shared<Workload>();
      fresh->serial = next_serial_++;
      workload = fresh;
    }
    topology_ = next;
    accounts.adopt(Generation(topology_, std::make_shared<const std::vector<uint32_t>>(places_)), {}, 1);
  }
  uint32_t serial_at(uint32_t place) const {
    const auto& all = topology_->workloads;
    return place < all.size() && all[place] ? all[place]->serial : 0;
  }
  size_t places() const { return places_; }

 private:
  size_t places_;
  uint32_t next_serial_ = 1;
  std::shared_ptr<const Topology> topology_ = std::make_shared<Topology>();
};

TEST_CASE("property: accounts hold what a walk over all records counts") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: accounts hold what a walk over all records counts"));
  std::mt19937 random(seed);
  uint64_t recycled = 0, of_the_gone = 0;
  size_t most_accounts = 0;
  for (int round = 0; round < 30; ++round) {
    const uint32_t most = 5 + random() % 60, flows = 3 * most;
    std::vector<uint8_t> memory(ConnectionTable::bytes_for(most));
    ConnectionTable table(memory.data(), most);
    table.set_secret(kSecret);
    Workloads workloads(1 + random() % 5);
    const Profiles profiles;
    std::vector<uint32_t> began(most + 1);  // by record: the serial of the workload
    uint32_t now = 1'000'000;
    for (int step = 0; step < 2000; ++step) {
      if (random() % 3 == 0) now += random() % 4 ? random() % 5 : random() % 15'000;
      if (random() % 10 == 0) workloads.replace(random, table.accounts());
      const uint32_t place = random() % workloads.places();
      const uint32_t serial = workloads.serial_at(place);
      const uint16_t number = table.accounts().number_of(place);
      const uint32_t flow = random() % flows;
      bool reply = false;
      Connection* c = table.find(headers(flow), 1, now, profiles, reply);
      if (!c && serial) {
        c = table.insert(headers(flow), 1, now, number);
        if (c) began[table.place_of(*c)] = serial;
      }
      if (c) table.touch(*c, static_cast<TimeoutClass>(1 + random() % 11), now);
      if (c && random() % 8 == 0) table.remove(*c);
      if (random() % 5 == 0) table.expire(now, profiles, 1 + random() % 4);
      if (serial && random() % 20 == 0) {
        const uint32_t before = table.accounts()[number].half_open();
        const bool went = table.recycle_half_open(number, now);
        REQUIRE(table.accounts()[number].half_open() == before - went);
        recycled += went;
      }

      std::map<uint32_t, std::array<uint32_t, 3>> model;
      table.walk(0, UINT32_MAX, [&](const Connection& one) {
        ++model[began[table.place_of(one)]][static_cast<int>(standing_of(one.timeout_class()))];
      });
      CAPTURE(round);
      CAPTURE(step);
      for (uint32_t at = 0; at < workloads.places(); ++at) {
        const uint32_t who = workloads.serial_at(at);
        if (!who) continue;
        const Account& one = table.accounts()[table.accounts().number_of(at)];
        REQUIRE(one.serial == who);
        for (int i = 0; i < 3; ++i) REQUIRE(one.records[i] == model[who][i]);
        model.erase(who);
      }
      of_the_gone += !model.empty();
    }
    most_accounts = std::max(most_accounts, table.accounts().size());
  }
  CHECK(recycled > 100);
  CHECK(of_the_gone > 1000);
  CHECK(most_accounts < 60);  // those of the gone are used again: some 200 workloads come in each round
}

}  // namespace
}  // namespace headgate::test
