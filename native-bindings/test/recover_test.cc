// What a crash may leave is never trusted: random damage anywhere in a table's memory, then recover. Records that were
// not touched are all there; chains, lists and counts hold; and the table goes on working.
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>

#include "packet/hash.h"
#include "pipeline/convert.h"
#include "tables/connections.h"
#include "tables/names.h"
#include "test/frames.h"

namespace headgate::test {
namespace {

constexpr uint64_t kSecret = 0x5eed;
constexpr uint32_t kNow = 5'000'000;

Headers headers(uint32_t flow) {
  Headers h;
  h.protocol = flow % 3 ? kUdp : kTcp;
  h.layer3 = flow % 2 ? Layer3::kIpv4 : Layer3::kIpv6;
  h.source = address_of(flow % 2 ? "10.0.0.9" : "fd00::9");
  h.destination = address_of(flow % 2 ? "10.0.0.8" : "fd00::8");
  h.source_port = static_cast<uint16_t>(flow);
  h.destination_port = static_cast<uint16_t>(flow >> 16);
  h.hash = hash_flow(h.source, h.source_port, h.destination, h.destination_port, h.protocol, kSecret);
  return h;
}

struct Table {
  uint32_t limit;
  std::vector<uint8_t> memory;
  std::vector<uint8_t> accounts;
  std::unique_ptr<ConnectionTable> table;

  explicit Table(uint32_t limit) : limit(limit), memory(ConnectionTable::bytes_for(limit)), accounts(Accounts::kBytes) {
    open();
  }
  void open() {
    table = std::make_unique<ConnectionTable>(memory.data(), limit, accounts.data());
    table->set_secret(kSecret);
  }
  Connection* find(uint32_t flow, uint32_t now = kNow) {
    bool reply;
    return table->find(headers(flow), 1, now, Profiles(), reply);
  }
  uint32_t recover() {
    return table->recover({kNow, [](uint16_t tracker) { return tracker == 1; },
                           [](uint16_t service) { return service == 1; }, [](uint32_t hit) { return hit; }});
  }
  // Works on it for a while; every flow that is put in is found.
  void work(std::mt19937& random) {
    for (uint32_t step = 0; step < 2000; ++step) {
      const uint32_t flow = 1'000'000 + random() % 300, now = kNow + step * 10;
      if (Connection* c = find(flow, now)) {
        if (random() % 3 == 0)
          table->remove(*c);
        else
          table->touch(*c, random() % 2 ? TimeoutClass::kUdpTwoWay : TimeoutClass::kTcpEstablished, now);
      } else if (Connection* made = table->insert(headers(flow), 1, now)) {
        table->touch(*made, TimeoutClass::kUdpOneWay, now);
        REQUIRE(find(flow, now) == made);
      }
      table->expire(now, Profiles(), 4);
    }
  }
  // Counted from the records alone.
  uint32_t count() {
    uint32_t records = 0, from = 0;
    do from = table->walk(from, 1024, [&](const Connection&) { ++records; });
    while (from);
    return records;
  }
};

Connection* find_or_insert(Table& t, uint32_t flow, uint32_t now) {
  Connection* c = t.find(flow, now);
  return c ? c : t.table->insert(headers(flow), 1, now);
}

TEST_CASE("property: whatever a crash left, what was not damaged is found again and the table works on") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: whatever a crash left*"));
  std::mt19937 random(seed);
  uint64_t forgotten = 0, kept = 0;
  for (int round = 0; round < 60; ++round) {
    Table t(200 + random() % 800);
    std::set<uint32_t> flows;
    const uint32_t many = random() % t.limit;
    for (uint32_t i = 0; i < many; ++i) {
      const uint32_t flow = random() % 100'000, now = kNow - random() % 20'000;
      Connection* c = find_or_insert(t, flow, now);
      if (!c) continue;
      if (random() % 8 == 0) {
        t.table->remove(*c);
        flows.erase(flow);
        continue;
      }
      c->verdict[0].epoch = 7, c->verdict[0].hit = random() % 4;
      t.table->touch(*c, random() % 2 ? TimeoutClass::kUdpTwoWay : TimeoutClass::kTcpEstablished, now);
      flows.insert(flow);
    }
    const auto image = ConnectionTable::image(t.limit, sizeof(Connection));
    std::vector<bool> hit(t.limit + 1);
    const uint32_t damages = random() % 60;
    for (uint32_t i = 0; i < damages; ++i) {
      // The high-water mark is written before any record behind it, in one piece: it cannot be half there.
      uint64_t at = random() % image.end;
      if (at >= 4 && at < 8) continue;
      for (uint32_t n = 1 + random() % 16; n && at < image.end; --n, ++at) {
        if (at >= 4 && at < 8) continue;
        t.memory[at] = static_cast<uint8_t>(random());
        if (at >= image.records && at < image.pairs) hit[(at - image.records) / sizeof(Connection)] = true;
        if (at >= image.pairs) hit[(at - image.pairs) / ConnectionTable::kPairBytes] = true;
      }
    }
    std::map<uint32_t, uint32_t> places;
    for (uint32_t place = 1; place <= t.limit; ++place) {
      const auto* c = reinterpret_cast<const Connection*>(t.memory.data() + image.records) + place;
      if (!hit[place] && c->timeout_class() != TimeoutClass::kFree)
        places[uint32_t{c->destination_port} << 16 | c->source_port] = place;
    }
    t.open();
    forgotten += t.recover();
    for (const uint32_t flow : flows) {
      if (!places.contains(flow)) continue;  // damaged
      Connection* c = t.find(flow);
      CAPTURE(flow);
      REQUIRE(c);
      CHECK(t.table->place_of(*c) == places[flow]);
      CHECK((c->verdict[0].epoch == 7) == (c->verdict[0].hit != 0));
      ++kept;
    }
    CHECK(t.count() == t.table->size());
    uint32_t standing = 0;
    const Account& account = t.table->accounts()[0];
    for (const uint32_t records : account.records) standing += records;
    CHECK(standing == t.table->size());
    t.work(random);
  }
  CHECK(kept > 1000);
  CHECK(forgotten > 10);
}

TEST_CASE("records are put back into the order in which they fall due") {
  Table t(100);
  for (uint32_t i = 1; i <= 20; ++i) {
    const uint32_t flow = 3 * i + 1, now = kNow - 100'000 + i * 1000;
    t.table->touch(*t.table->insert(headers(flow), 1, now), TimeoutClass::kUdpTwoWay, now);
  }
  t.open();
  CHECK(t.recover() == 0);
  const uint32_t timeout = Timeouts().udp_two_way;
  for (uint32_t due = 1; due <= 20; ++due) {
    t.table->expire(kNow - 100'000 + due * 1000 + timeout, Profiles(), 1);
    CHECK(t.table->size() == 20 - due);
  }
}

TEST_CASE("a record in the future, of an unknown tracker or account, or twice, is forgotten") {
  const auto forgotten = [](const std::function<void(Table&, Connection&)>& damage) {
    Table t(10);
    t.table->insert(headers(4), 1, kNow);
    damage(t, *t.table->insert(headers(7), 1, kNow));
    t.open();
    const uint32_t count = t.recover();
    CHECK(t.table->size() == 2 - count);
    return count;
  };
  CHECK(forgotten([](Table&, Connection&) {}) == 0);
  CHECK(forgotten([](Table&, Connection& c) { c.last_seen = kNow + 1; }) == 1);
  CHECK(forgotten([](Table&, Connection& c) { c.created = kNow + 1; }) == 1);
  CHECK(forgotten([](Table&, Connection& c) { c.tracker = 2; }) == 1);
  CHECK(forgotten([](Table&, Connection& c) { c.tally[0] |= uint64_t{9} << Connection::kTallyBits; }) == 1);
  CHECK(forgotten([](Table&, Connection& c) { c.layer3 = Layer3::kArp; }) == 1);
  CHECK(forgotten([](Table&, Connection& c) { c.list = static_cast<uint8_t>(TimeoutClass::kCount); }) == 1);
  CHECK(forgotten([](Table& t, Connection& c) { c = *t.find(4); }) == 1);
}

// What another version might hold: a field more, and the ports elsewhere.
struct OtherRecord {
  uint64_t more;
  uint8_t rest[sizeof(Connection)];
};

constexpr RecordLayout kOther = {99, sizeof(OtherRecord),
                                 [](const uint8_t* from, Connection& to) {
                                   memcpy(&to, reinterpret_cast<const OtherRecord*>(from)->rest, sizeof to);
                                 },
                                 [](const Connection& from, uint8_t* to) {
                                   auto& other = *reinterpret_cast<OtherRecord*>(to);
                                   other.more = from.created;
                                   memcpy(other.rest, &from, sizeof from);
                                 }};

TEST_CASE("property: a copy in another layout, made while the table works, is the table when it is finished") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "property: a copy in another layout*"));
  std::mt19937 random(seed);
  for (int round = 0; round < 20; ++round) {
    Table t(500);
    t.work(random);
    StateShape shape{1, t.limit};
    std::vector<uint8_t> copy(Conversion::connection_bytes(kOther, t.limit)), back(t.memory.size());
    std::vector<uint8_t> marks(t.limit + 1);
    Conversion there(kOther, Conversion::Way::kFromCurrent, shape);
    t.table->mark_changes(marks.data());
    there.copy(t.memory.data(), copy.data());
    for (int i = 0; i < 5; ++i) {
      for (uint32_t step = 0; step < 50; ++step) {
        const uint32_t flow = random() % 400;
        Connection* c = find_or_insert(t, flow, kNow + step);
        if (!c) continue;
        c->bytes[0] += 100;
        t.table->mark(c);
        if (random() % 4 == 0) t.table->remove(*c);
      }
      if (i < 4) there.copy_marked(t.memory.data(), copy.data(), marks.data());
    }
    there.finish(t.memory.data(), copy.data(), marks.data());
    Conversion again(kOther, Conversion::Way::kToCurrent, shape);
    again.copy(copy.data(), back.data());
    const uint32_t places = ConnectionTable::high_water(t.memory.data()) + 1;
    const auto image = ConnectionTable::image(t.limit, sizeof(Connection));
    CHECK(std::equal(t.memory.begin(), t.memory.begin() + image.records + places * sizeof(Connection), back.begin()));
    Table other(t.limit);
    other.memory = back;
    other.open();
    for (uint32_t flow = 0; flow < 400; ++flow) CHECK(!t.find(flow) == !other.find(flow));
    t.table->mark_changes(nullptr);
  }
}

TEST_CASE("names: their numbers come back, those that are gone do not, and damage ends the journal") {
  std::vector<uint8_t> memory(4096 + 2 * 4096);
  using Kind = Names::Kind;
  {
    Names names(memory.data(), 4096);
    names.begin();
    for (uint32_t i = 0; i < 300; ++i) {  // more than a journal holds
      names.note(Kind::kWorkload, "w" + std::to_string(i), {i, names.take_serial(Kind::kWorkload)});
      if (i >= 20) names.forget(Kind::kWorkload, "w" + std::to_string(i - 20));
    }
    names.note(Kind::kTracker, "t", {3, 0});
    names.keep_counters();
    CHECK(names.lost() == 0);
  }
  {
    Names names(memory.data(), 4096);
    Names::Numbers numbers;
    for (uint32_t i = 0; i < 300; ++i) {
      CAPTURE(i);
      REQUIRE(names.claim(Kind::kWorkload, "w" + std::to_string(i), numbers) == (i >= 280));
      if (i >= 280) CHECK(numbers.place == i);
      if (i >= 280) CHECK(numbers.serial == i + 1);
    }
    CHECK_FALSE(names.claim(Kind::kWorkload, "w299", numbers));  // once
    CHECK(names.take_serial(Kind::kWorkload) == 301);
    CHECK(names.claim(Kind::kTracker, "t", numbers));
  }
  for (uint8_t& byte : memory)
    if (&byte >= &memory[4096 + 600]) byte ^= 0x10;
  Names names(memory.data(), 4096);
  Names::Numbers numbers;
  uint32_t claimed = 0;
  for (uint32_t i = 280; i < 300; ++i) claimed += names.claim(Kind::kWorkload, "w" + std::to_string(i), numbers);
  CHECK(claimed < 20);
}

}  // namespace
}  // namespace headgate::test
