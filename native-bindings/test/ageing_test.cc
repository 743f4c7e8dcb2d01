// Connections that are past their time make room, at once and without traffic.
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "pipeline/engine.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

constexpr Limits kNoLimits = {Account::kUnlimited, Account::kUnlimited, Account::kUnlimited};

Packet flow(uint16_t port) {
  Packet p;
  p.source_port = port;
  return p;
}

TEST_CASE("a table full of connections past their time refuses no new flow") {
  constexpr uint16_t kFlows = 200;  // more than a batch
  Bed bed(Action::kAllow, kFlows);
  Delta unlimited;
  unlimited.limits = kNoLimits;
  bed.publish(unlimited);
  for (uint16_t i = 0; i < kFlows; ++i) {
    REQUIRE(bed.reached("a", flow(i), "b") == 1);
    REQUIRE(bed.reached("b", flow(i).reversed(), "a") == 1);
  }
  CHECK(bed.reached("a", flow(kFlows), "b") == 0);  // all are at work
  CHECK(bed.drops(Reason::kConnectionsFull) == 1);

  bed.pass(Timeouts().udp_two_way + 1000);
  for (uint16_t i = 0; i < kFlows; ++i) bed.send("a", flow(static_cast<uint16_t>(1000 + i)));
  while (bed.run()) {
  }
  CHECK(bed.take("b").size() == kFlows);
  CHECK(bed.drops(Reason::kConnectionsFull) == 1);
}

TEST_CASE("an engine without traffic forgets all connections that are past their time") {
  const std::string folder = "/dev/shm/hgtest-" + std::to_string(getpid()) + "-ageing";
  constexpr uint16_t kFlows = 30'000;
  EngineOptions options;
  options.connections = kFlows;
  options.pool_directory = folder;
  std::string error;
  auto engine = Engine::create(options, error);
  std::filesystem::remove_all(folder);
  REQUIRE_MESSAGE(engine, error);

  Delta delta;
  delta.default_action = Action::kAllow;
  delta.limits = kNoLimits;
  delta.timeouts = Timeouts();
  delta.timeouts->udp_one_way = 1000;
  delta.set_segments.push_back({"lan", "1", 0, 0, "lan"});
  delta.set_workloads = {workload("a", kTestSource), workload("b", kTestDestination)};
  REQUIRE_FALSE(engine->publish(delta));
  auto port = std::make_unique<MemoryPort>(PortCapabilities{true, true, true, 1}, kFlows);
  MemoryPort* a = port.get();
  REQUIRE_FALSE(engine->attach("a", std::move(port), "a", false));
  for (uint16_t i = 0; i < kFlows; ++i) REQUIRE(a->push(flow(i).bytes(), {}));

  // A look makes the worker go round as well: few looks, so that they cannot be what empties the table.
  auto connections_become = [&](int most_looks, int milliseconds, auto wanted) {
    for (int looks = 0; looks < most_looks; ++looks) {
      if (wanted(engine->stats().connections)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    }
    return false;
  };
  REQUIRE(connections_become(2000, 5, [](uint32_t count) { return count > kFlows / 2; }));
  CHECK(connections_become(40, 250, [](uint32_t count) { return count == 0; }));
}

}  // namespace
}  // namespace headgate::test
