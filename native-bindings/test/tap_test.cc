// What only TAP ports do: making, setting up, keeping and removing a device in a namespace, and joining
// datagrams.
//
//   UDP socket 10.9.0.2 / fd00::2, in a namespace of its own <-> kernel <-> TapPort
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "ports/namespaces.h"
#include "ports/tap.h"
#include "test/kernel.h"

namespace headgate::test {
namespace {

TapSpec spec_in(const TestNamespace& space) {
  TapSpec spec;
  spec.netns = space.path();
  spec.device = "hgtap";
  spec.mac = "02:68:67:00:00:02";
  spec.addresses = {"10.9.0.2/24", "fd00::2/64"};
  spec.gateways = {"10.9.0.1", "fd00::1"};
  spec.mtu = 1400;
  return spec;
}

std::unique_ptr<TapPort> open_or_fail(const TapSpec& spec) {
  std::string error;
  auto port = open_tap(spec, error);
  REQUIRE_MESSAGE(port, error);
  return port;
}

bool holds(const TestNamespace& space, const std::string& command) {
  try {
    space.shell(command + " >/dev/null 2>&1");
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

TEST_CASE("a TAP device is set up as its spec says, and again when it is attached again") {
  const TestNamespace space;
  for (int round = 0; round < 2; round++) {
    const auto port = open_or_fail(spec_in(space));
    CHECK(holds(space, "ip link show hgtap | grep -q 'link/ether 02:68:67:00:00:02'"));
    CHECK(holds(space, "ip link show hgtap | grep -q 'mtu 1400'"));
    CHECK(holds(space, "ip link show hgtap | grep -q '[<,]UP[,>]'"));
    CHECK(holds(space, "ip addr show hgtap | grep -q 'inet 10.9.0.2/24'"));
    CHECK(holds(space, "ip addr show hgtap | grep 'inet6 fd00::2/64' | grep -qv tentative"));
    CHECK(holds(space, "ip route | grep -q 'default via 10.9.0.1 dev hgtap'"));
    CHECK(holds(space, "ip -6 route | grep -q 'default via fd00::1 dev hgtap'"));
  }
}

TEST_CASE("a TAP device outlives its port unless it is removed") {
  const TestNamespace space;
  open_or_fail(spec_in(space)).reset();
  CHECK(holds(space, "ip addr show hgtap | grep -q 'inet 10.9.0.2/24'"));
  auto port = open_or_fail(spec_in(space));
  port->remove();
  port.reset();
  CHECK_FALSE(holds(space, "ip link show hgtap"));
}

// A question for a neighbour that the kernel cannot send is dropped where nobody sees it, and asked again only a second
// later: that is missed here.
TEST_CASE("a workload that sends all the time is heard as soon as its device is attached again") {
  const TestNamespace space;
  const TapSpec spec = spec_in(space);
  open_or_fail(spec).reset();
  std::atomic<bool> stop{false};
  std::string error;
  std::thread sender([&] {
    run_in_namespace(
        space.path(),
        [&] {
          const int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
          sockaddr_in to{};
          to.sin_family = AF_INET;
          to.sin_port = htons(9);
          inet_pton(AF_INET, "10.9.0.9", &to.sin_addr);
          while (!stop) sendto(descriptor, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
          close(descriptor);
        },
        error);
  });
  const auto asks = [](TapPort& port) {
    Batch batch(64);
    while (polls_ready(port.descriptor(0), 950))
      for (size_t i = 0, count = port.receive(0, batch.frames()); i < count; i++)
        if (get16(batch.get(i).bytes, 12) == 0x0806) return true;
    return false;
  };
  constexpr int kRounds = 100;
  int heard = 0;
  for (int round = 0; round < kRounds; round++) {
    CHECK(holds(space, "ip link show hgtap | grep -q NO-CARRIER"));
    heard += asks(*open_or_fail(spec));
  }
  stop = true;
  sender.join();
  CHECK(heard == kRounds);
}

TEST_CASE("a TAP device that cannot be set up is an error with its remedy, and leaves nothing") {
  const TestNamespace space;
  TapSpec spec = spec_in(space);
  std::string wanted;
  SUBCASE("no such namespace") {
    spec.netns = "hg-no-such-namespace";
    wanted = "Network namespace /run/netns/hg-no-such-namespace cannot be entered: ENOENT";
  }
  SUBCASE("a file that is no namespace") {
    spec.netns = "/dev/null";
    wanted = "no network namespace";
  }
  SUBCASE("a long name") {
    spec.device = "sixteen-is-too-1";
    wanted = "1 to 15 characters";
  }
  SUBCASE("a bad MAC") {
    spec.mac = "02:68:67:00:00:0g";
    wanted = "is no MAC";
  }
  SUBCASE("a group MAC") {
    spec.mac = "03:00:00:00:00:01";
    wanted = "is no MAC of a host";
  }
  SUBCASE("a huge MTU") {
    spec.mtu = 100000;
    wanted = "EINVAL (Invalid argument): mtu greater than device maximum";
  }
  SUBCASE("a bad address") {
    spec.addresses = {"10.9.0.256/24"};
    wanted = "'10.9.0.256/24' is no address";
  }
  SUBCASE("a bad prefix length") {
    spec.addresses = {"10.9.0.2/33"};
    wanted = "is no address";
  }
  SUBCASE("an unreachable gateway") {
    spec.gateways = {"192.0.2.1"};
    wanted = "must lie inside the prefix";
  }
  SUBCASE("an interface of another kind") {
    spec.device = "lo";
    wanted = "EINVAL";
  }
  std::string error;
  CHECK(open_tap(spec, error) == nullptr);
  INFO(error);
  CHECK(error.find(wanted) != std::string::npos);
  CHECK_FALSE(holds(space, "ip link show hgtap"));
}

TEST_CASE("a TAP device that another process holds is not taken") {
  const TestNamespace space;
  const auto first = open_or_fail(spec_in(space));
  std::string error;
  CHECK(open_tap(spec_in(space), error) == nullptr);
  INFO(error);
  CHECK(error.find("EBUSY") != std::string::npos);
  CHECK(holds(space, "ip addr show hgtap | grep -q 'inet 10.9.0.2/24'"));
}

TEST_CASE("a TAP device that is down takes no frames but is no failure") {
  const TestNamespace space;
  const auto port = open_or_fail(spec_in(space));
  space.shell("ip link set hgtap down");
  Batch batch(1);
  batch.set(0, plain_frame(60));
  Reason outcome = Reason::kNone;
  port->transmit(0, batch.frames(), {&outcome, 1});
  CHECK(outcome == Reason::kOutputDown);
  CHECK(port->failure() == "");
  space.shell("ip link set hgtap up");
  port->transmit(0, batch.frames(), {&outcome, 1});
  CHECK(outcome == Reason::kNone);
}

TEST_CASE("a TAP port notices that its namespace was deleted") {
  const TestNamespace namespaces_can_be_entered;
  const std::string name = "hg-" + std::to_string(getpid()) + "-gone";
  REQUIRE(std::system(("ip netns add " + name).c_str()) == 0);
  TapSpec spec;
  spec.netns = name;
  spec.device = "hgtap";
  std::string error;
  auto port = open_tap(spec, error);
  const std::string before = port ? port->failure() : error;
  REQUIRE(std::system(("ip netns del " + name).c_str()) == 0);
  CHECK(before == "");
  REQUIRE(port);
  CHECK(port->failure().find("the namespace was deleted") != std::string::npos);
  Batch batch(1);
  batch.set(0, plain_frame(60));
  Reason outcome = Reason::kCount;
  port->transmit(0, batch.frames(), {&outcome, 1});  // our descriptor keeps the device alive until the port closes
  CHECK(outcome == Reason::kNone);
}

TEST_CASE("the queues of a TAP port work side by side") {
  const TestNamespace space;
  TapSpec spec = spec_in(space);
  spec.queues = 2;
  const auto port = open_or_fail(spec);
  CHECK(port->capabilities().queues == 2);
  FarEnd far(space, "hgtap");
  Batch batch(1);
  for (unsigned queue = 0; queue < 2; queue++) {
    batch.set(0, plain_frame(60, queue));
    Reason outcome = Reason::kCount;
    port->transmit(queue, batch.frames(), {&outcome, 1});
    CHECK(outcome == Reason::kNone);
  }
  CHECK(far.receive(2).size() == 2);
  space.shell("ip link del hgtap");
  for (unsigned queue = 0; queue < 2; queue++) CHECK(port->receive(queue, batch.frames()) == 0);
  CHECK(port->failure() != "");
}

int udp_socket(const TestNamespace& space, bool ipv6, uint16_t number) {
  int descriptor = -1;
  std::string error;
  run_in_namespace(
      space.path(),
      [&] {
        descriptor = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_in6 any6{};
        any6.sin6_family = AF_INET6;
        any6.sin6_port = htons(number);
        sockaddr_in any4{};
        any4.sin_family = AF_INET;
        any4.sin_port = htons(number);
        const auto* any = ipv6 ? reinterpret_cast<sockaddr*>(&any6) : reinterpret_cast<sockaddr*>(&any4);
        if (bind(descriptor, any, ipv6 ? sizeof any6 : sizeof any4) != 0) descriptor = -1;
      },
      error);
  REQUIRE(descriptor >= 0);
  return descriptor;
}

TEST_CASE("consecutive UDP datagrams cross a TAP device as super-frames and reach the socket one by one") {
  const TestNamespace space;
  TapSpec spec = spec_in(space);
  spec.mtu = 1500;
  const auto port = open_or_fail(spec);
  REQUIRE(port->capabilities().udp_segmentation);
  // The kernel makes an IPv6 address its own a moment after it has acknowledged it.
  space.shell(
      "for i in $(seq 200); do ip -6 route show table local | grep -q 'local fd00::2' && exit; sleep 0.01; "
      "done; exit 1");
  FarEnd far(space, "hgtap");
  for (const bool ipv6 : {false, true}) {
    for (const bool partial : {false, true}) {
      CAPTURE(ipv6);
      CAPTURE(partial);
      const int receiver = udp_socket(space, ipv6, 2000);
      constexpr uint32_t kCount = 100;
      Batch batch(kCount);
      std::vector<Bytes> payloads;
      for (uint32_t i = 0; i < kCount; i++) {
        payloads.push_back(numbered_payload(i == kCount - 1 ? 7 : 18, i));
        batch.set(i, Datagram{.ipv6 = ipv6, .payload = payloads.back(), .partial = partial});
      }
      std::vector<Reason> outcomes(kCount, Reason::kCount);
      port->transmit(0, batch.frames(), outcomes);
      for (const Reason outcome : outcomes) CHECK(outcome == Reason::kNone);

      const auto supers = far.receive(2);  // 64 and 36
      REQUIRE(supers.size() == 2);
      CHECK(supers[0].offload.kind == Offload::kUdp);
      CHECK(supers[0].offload.segment_size == 18);

      for (const Bytes& payload : payloads) {
        REQUIRE(polls_ready(receiver, 2000));
        Bytes got(2000);
        got.resize(static_cast<size_t>(recv(receiver, got.data(), got.size(), 0)));
        CHECK(got == payload);
      }
      close(receiver);
    }
  }
}

}  // namespace
}  // namespace headgate::test
