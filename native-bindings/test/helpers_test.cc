// Helpers: which lines and packets announce a connection, and what becomes of the announced one under the rules of the
// connection that announced it.
#include <doctest/doctest.h>

#include <thread>

#include "packet/ftp.h"
#include "test/bed.h"

namespace headgate::test {
namespace {

constexpr uint16_t kFtp = 21, kTftp = 69;

uint16_t port_in(std::string_view line, bool from_server) {
  return announced_port(line, from_server).value_or(0);
}

TEST_CASE("lines that announce a port, and those that do not") {
  CHECK(port_in(std::string("\x12\x12\x17\0(1,1,1,1,19,136)", 20), true) == 0);
  CHECK(port_in("PORT 10,9,0,1,19,136\r", false) == 5000);
  CHECK(port_in("port 10,9,0,1,255,255", false) == 65535);
  CHECK(port_in("EPRT |1|10.9.0.1|5000|\r", false) == 5000);
  CHECK(port_in("eprt !2!fd00::1!5000!", false) == 5000);
  CHECK(port_in("227 Entering Passive Mode (10,9,0,2,19,136).\r", true) == 5000);
  CHECK(port_in("227 =10,9,0,2,19,136", true) == 5000);
  CHECK(port_in("229 Entering Extended Passive Mode (|||5000|)\r", true) == 5000);

  for (const char* line : {"PORT 10,9,0,1,19", "PORT 10,9,0,1,19,256", "PORT 10,9,0,1,,136", "PORT", "PORT ",
                           "PORT 10,9,0,1,0,21", "EPRT |1|10.9.0.1|80|", "EPRT |1|10.9.0.1|5000",
                           "EPRT 1110.9.0.115000", "EPRT |1|10.9.0.1|65536|", "EPRT |1|10.9.0.1|-1|", "EPRT", "EPRT ",
                           "227 Entering Passive Mode (10,9,0,2,19,136)", "STOR PORT 10,9,0,1,19,136"})
    CHECK_MESSAGE(port_in(line, false) == 0, line);
  for (const char* line : {"227 Entering Passive Mode", "227 (10,9,0,2,19)", "227", "229 Mode (|||5000)",
                           "229 (|||5000", "229 (|1|10.9.0.2|5000|)", "229 (|||1023|)", "229 (", "229 5000",
                           "229-(|||5000|)", "", "PORT 10,9,0,1,19,136", "213 227 (10,9,0,2,19,136)"})
    CHECK_MESSAGE(port_in(line, true) == 0, line);
}

TEST_CASE("whatever bytes a line holds, nothing is read behind it") {
  const uint32_t seed = test_seed();
  INFO(rerun(seed, "whatever bytes a line holds*"));
  std::mt19937 random(seed);
  const std::string letters = "PORTEPRT227229 (|),.=0123456789\r";
  for (int i = 0; i < 200'000; ++i) {
    const std::string start[] = {"PORT ", "EPRT |", "227 (", "229 (|||", ""};
    std::string line = start[random() % 5];
    for (size_t n = random() % 24; n > 0; --n) line += letters[random() % letters.size()];
    // A copy of its own size, so that the sanitizers see the end.
    const std::vector<char> exact(line.begin(), line.end());
    (void)announced_port({exact.data(), exact.size()}, i % 2);
  }
}

// A client "a" and a server "b". The rule allows the control connections alone.
struct HelpersBed {
  Expectations expectations{nullptr, 1};
  Bed bed{Action::kDrop};
  uint32_t sent[2] = {1, 1};  // next sequence numbers of client and server
  explicit HelpersBed(Helper helper = Helper::kFtp) {
    bed.context().expectations = &expectations;
    set_rule(helper, helper);
  }
  void set_rule(Helper at_client, Helper at_server) {
    const auto control = [](Helper helper) {
      RuleChange r = rule("control" + std::to_string(static_cast<int>(helper)), Action::kAllow);
      const uint16_t ftp[] = {kFtp, kFtp}, tftp[] = {kTftp, kTftp};
      ServiceMatch tcp, udp;
      tcp.protocol = kTcp, tcp.ports = {{ftp[0], ftp[1]}};
      udp.protocol = kUdp, udp.ports = {{tftp[0], tftp[1]}};
      r.services = {{tcp, udp}};
      r.helper = helper;
      return r;
    };
    bed.index("a", {{control(at_client)}}, {{control(at_client)}});
    bed.index("b", {{control(at_server)}}, {{control(at_server)}});
  }
  void deny_all() {
    bed.index("a", {{}}, {{}});
    bed.index("b", {{}}, {{}});
  }
  bool client(const Packet& p) { return bed.reached("a", p, "b") == 1; }
  bool server(const Packet& p) { return bed.reached("b", p, "a") == 1; }
  void open() {
    REQUIRE(client(packet(kSyn, kFtp)));
    REQUIRE(server(packet(kSyn | kAck, kFtp).reversed()));
    REQUIRE(client(packet(kAck, kFtp)));
  }
  static Packet packet(uint8_t flags, uint16_t port) {
    Packet p = tcp_packet(flags, 1000);
    p.destination_port = port;
    p.payload.clear();
    return p;
  }
  // A line of the control connection, or what begins at `ahead` bytes behind where its sender is.
  bool says(bool by_server, const std::string& text, uint32_t ahead = 0) {
    Packet p = packet(kAck, kFtp);
    if (by_server) p = p.reversed();
    p.payload.assign(text.begin(), text.end());
    p.sequence = sent[by_server] + ahead;
    p.acknowledgement = sent[!by_server];
    if (!ahead) sent[by_server] += static_cast<uint32_t>(text.size());
    return by_server ? server(p) : client(p);
  }
  // Whether a connection of the client to that port of the server may begin.
  bool passive(uint16_t port, uint16_t from = 3000) {
    Packet p = tcp_packet(kSyn, from);
    p.destination_port = port;
    return client(p);
  }
  bool active(uint16_t port, uint16_t from = 20) {
    Packet p = tcp_packet(kSyn, from).reversed();
    p.source_port = from, p.destination_port = port;
    return server(p);
  }
};

TEST_CASE("FTP: the announced connection is let through, once, and no other") {
  HelpersBed ftp;
  ftp.open();
  CHECK_FALSE(ftp.passive(5000));
  ftp.bed.pass(6000);  // until the denied one is forgotten
  REQUIRE(ftp.says(true, "227 Entering Passive Mode (10,9,0,2,19,136).\r\n"));
  CHECK_FALSE(ftp.passive(5001));
  CHECK_FALSE(ftp.active(5000));
  CHECK(ftp.passive(5000));
  CHECK_FALSE(ftp.passive(5000, 3001));
  REQUIRE(ftp.says(false, "EPRT |1|10.9.0.1|6000|\r\n"));
  CHECK(ftp.active(6000));
  CHECK_FALSE(ftp.active(6000, 21));
  // Its answers go back, as of any connection.
  Packet answer = tcp_packet(kSyn | kAck, 3000).reversed();
  answer.source_port = 5000;
  CHECK(ftp.server(answer));
}

TEST_CASE("without a helper nothing is announced; at a side whose rule has none its own rules decide") {
  HelpersBed none(Helper::kNone);
  none.open();
  REQUIRE(none.says(true, "229 Extended (|||5000|)\r\n"));
  CHECK_FALSE(none.passive(5000));

  HelpersBed half;
  half.set_rule(Helper::kFtp, Helper::kNone);
  half.open();
  REQUIRE(half.says(true, "229 Extended (|||5000|)\r\n"));
  CHECK_FALSE(half.passive(5000));
  CHECK(half.bed.drops(Reason::kDefaultDrop, Direction::kIn) == 1);
}

TEST_CASE("a line counts where it begins a line, in order and whole") {
  HelpersBed ftp;
  ftp.open();
  const std::string line = "229 Extended (|||5000|)\r\n";
  REQUIRE(ftp.says(true, "211-Status of "));
  REQUIRE(ftp.says(true, line));  // what the server repeats in the middle of a line
  CHECK_FALSE(ftp.passive(5000, 3000));
  REQUIRE(ftp.says(true, "229 Extended (|||50"));  // in two segments
  REQUIRE(ftp.says(true, "00|)\r\n"));
  CHECK_FALSE(ftp.passive(5000, 3001));
  REQUIRE(ftp.says(true, line, 100));  // behind a hole
  CHECK_FALSE(ftp.passive(5000, 3002));
}

TEST_CASE("of a connection that is met in the middle nothing is read before a line has ended") {
  HelpersBed ftp;
  // It acknowledges what it likes: what comes next begins no line for that.
  Packet ack = HelpersBed::packet(kAck, kFtp);
  ack.sequence = 1, ack.acknowledgement = 500;
  REQUIRE(ftp.client(ack));
  ftp.sent[1] = 500;
  REQUIRE(ftp.says(true, "229 Extended (|||5000|)\r\n"));
  CHECK_FALSE(ftp.passive(5000, 3000));
  REQUIRE(ftp.says(true, "229 Extended (|||5000|)\r\n"));
  CHECK(ftp.passive(5000, 3001));
}

TEST_CASE("a frame that begins no connection uses no announcement up") {
  HelpersBed ftp;
  ftp.open();
  REQUIRE(ftp.says(true, "229 Extended (|||5000|)\r\n"));
  Packet stray = tcp_packet(kAck, 3000);
  stray.destination_port = 5000;
  CHECK_FALSE(ftp.client(stray));
  CHECK(ftp.passive(5000, 3001));
}

TEST_CASE("an end that announces without end is not listened to") {
  HelpersBed ftp;
  ftp.open();
  std::string many;
  for (int i = 0; i < 10; ++i) many += "229 Extended (|||" + std::to_string(5000 + i) + "|)\r\n";
  REQUIRE(ftp.says(true, many));
  CHECK(ftp.passive(5003, 3000));
  CHECK_FALSE(ftp.passive(5004, 3001));
}

TEST_CASE("several lines in one segment") {
  HelpersBed ftp;
  ftp.open();
  REQUIRE(ftp.says(true, "200 Fine.\r\n229 Extended (|||5000|)\r\n226 Done.\r\n"));
  CHECK(ftp.passive(5000));
}

TEST_CASE("an announcement lasts a minute") {
  HelpersBed ftp;
  ftp.open();
  REQUIRE(ftp.says(true, "229 Extended (|||5000|)\r\n"));
  ftp.bed.pass(Expectations::kLifetime);
  CHECK_FALSE(ftp.passive(5000));
}

TEST_CASE("an announced connection is judged as the one that announced it, for as long as it lives") {
  HelpersBed ftp;
  ftp.open();
  REQUIRE(ftp.says(true, "229 Extended (|||5000|)\r\n"));
  REQUIRE(ftp.says(false, "PORT 10,9,0,1,23,112\r\n"));
  REQUIRE(ftp.passive(5000));
  REQUIRE(ftp.active(6000));
  const Hit* hit = ftp.bed.hit("control1", "b", Direction::kIn);
  REQUIRE(hit);
  CHECK(hit->flows == 3);
  ftp.set_rule(Helper::kFtp, Helper::kFtp);  // judged anew, alike
  CHECK(ftp.passive(5000));
  CHECK(ftp.active(6000));
  ftp.deny_all();
  CHECK_FALSE(ftp.passive(5000));
  CHECK_FALSE(ftp.active(6000));
}

TEST_CASE("an announced connection announces nothing itself") {
  HelpersBed ftp;
  ftp.open();
  REQUIRE(ftp.says(false, "PORT 10,9,0,1,23,112\r\n"));
  REQUIRE(ftp.active(6000));
  for (const Connection& c : ftp.bed.connections())
    if (c.source_port == 20) CHECK((c.verdict[0].helper == Helper::kNone && c.verdict[1].helper == Helper::kNone));
}

TEST_CASE("TFTP: the server answers from a port of its own") {
  HelpersBed tftp(Helper::kTftp);
  Packet request;
  request.source_port = 4000, request.destination_port = kTftp;
  request.payload = {0, 1, 'x', 0, 'o', 'c', 't', 'e', 't', 0};
  Packet data = request.reversed();
  data.source_port = 7000;
  data.payload = {0, 3, 0, 1, 'h', 'i'};
  CHECK_FALSE(tftp.server(data));
  tftp.bed.pass(6000);
  REQUIRE(tftp.client(request));
  CHECK(tftp.server(data));
  Packet other = data;
  other.source_port = 7001;
  CHECK_FALSE(tftp.server(other));
  CHECK(tftp.client(data.reversed()));
  Packet low = request;
  low.source_port = 1023;
  REQUIRE(tftp.client(low));
  data.destination_port = 1023;
  CHECK_FALSE(tftp.server(data));
  // Anything else that goes there announces nothing.
  Packet error = request;
  error.source_port = 4001, error.payload[1] = 5;
  REQUIRE(tftp.client(error));
  data.destination_port = 4001;
  CHECK_FALSE(tftp.server(data));
}

Expected flow(uint16_t port, uint8_t host = 2) {
  return {*parse_address("10.9.0.1"), *parse_address("10.9.0." + std::to_string(host)), port, 1, kTcp};
}

TEST_CASE("what is full takes no more, and forgets none") {
  Expectations all(nullptr, 7);
  CHECK_FALSE(all.any(0));
  for (uint16_t i = 0; i < Expectations::kBucketSize; ++i) REQUIRE(all.add(flow(2000 + i), {i, 21, false}, 100));
  CHECK(all.any(100));
  CHECK_FALSE(all.add(flow(3000), {1, 21, false}, 100));
  CHECK(all.add(flow(2003), {33, 21, false}, 100));  // one that is there is only renewed
  for (uint16_t i = 0; i < Expectations::kBucketSize; ++i) {
    const auto parent = all.take(flow(2000 + i), 101);
    REQUIRE(parent);
    CHECK(parent->source_port == (i == 3 ? 33 : i));
    CHECK_FALSE(all.take(flow(2000 + i), 101));
  }
  REQUIRE(all.add(flow(3000), {1, 21, false}, 100));
  CHECK_FALSE(all.take(flow(3000), 100 + Expectations::kLifetime));
  for (uint16_t i = 0; i < Expectations::kBucketSize; ++i)
    REQUIRE(all.add(flow(4000 + i), {i, 21, false}, 100 + Expectations::kLifetime));
}

TEST_CASE("what nobody took is gone for good, also when the clock goes round") {
  Expectations all(nullptr, 7);
  for (uint16_t i = 0; i < Expectations::kBucketSize; ++i) REQUIRE(all.add(flow(2000 + i), {i, 21, false}, 100));
  const uint32_t later = 100 + 0x80000000u + Expectations::kLifetime;
  CHECK_FALSE(all.any(later));
  REQUIRE(all.add(flow(3000), {1, 21, false}, later));
  for (uint16_t i = 0; i < Expectations::kBucketSize; ++i) CHECK_FALSE(all.take(flow(2000 + i), later));
  CHECK(all.take(flow(3000), later));
  // Swept up with the next that is added: it is not there either when the same time comes again.
  CHECK_FALSE(all.take(flow(2000), 101));
}

TEST_CASE("what is announced for one client takes no room from others, nor from another tracker's") {
  Expectations all(nullptr, 7);
  for (uint16_t i = 0; i < Expectations::kBucketSize; ++i) REQUIRE(all.add(flow(2000 + i), {i, 21, false}, 100));
  Expected other = flow(3000);
  other.source = *parse_address("10.9.0.77");
  CHECK(all.add(other, {1, 21, false}, 100));
  Expected elsewhere = flow(3000);
  elsewhere.tracker = 2;
  CHECK(all.add(elsewhere, {1, 21, false}, 100));
  // An active one is its client's, too, to whom it goes.
  Expected active{*parse_address("10.9.0.3"), *parse_address("10.9.0.1"), 4000, 1, kTcp};
  CHECK_FALSE(all.add(active, {1, 21, true}, 100));
  REQUIRE(all.take(flow(2000), 100));
  REQUIRE(all.add(active, {9, 21, true}, 100));
  const auto parent = all.take(active, 100);
  REQUIRE(parent);
  CHECK(parent->turned);
}

TEST_CASE("many workers at once: each announcement is taken by one") {
  Expectations all(nullptr, 7);
  std::atomic<uint32_t> taken{0}, added{0}, wrong{0};
  std::vector<std::thread> workers;
  for (uint8_t w = 0; w < 4; ++w)
    workers.emplace_back([&, w] {
      for (uint32_t i = 0; i < 20'000; ++i) {
        const uint16_t port = static_cast<uint16_t>(2000 + i % 8);
        if (w % 2) {
          added += all.add(flow(port), {port, 21, false}, 100);
        } else if (const auto parent = all.take(flow(port), 100)) {
          ++taken;
          wrong += parent->source_port != port || parent->destination_port != 21;
        }
      }
    });
  for (std::thread& worker : workers) worker.join();
  for (uint16_t port = 2000; port < 2008; ++port)
    while (all.take(flow(port), 100)) ++taken;
  CHECK(wrong == 0);
  CHECK(taken > 0);
  CHECK(taken <= added);
}

}  // namespace
}  // namespace headgate::test
