// Services as text: what is read, and what is not.
#include "tables/service_text.h"

#include <doctest/doctest.h>

namespace headgate::test {
namespace {

using Ports = std::vector<std::pair<int, int>>;

Ports pairs(const std::vector<PortRange>& ranges) {
  Ports out;
  for (const PortRange& range : ranges) out.emplace_back(range.first, range.last);
  return out;
}

TEST_CASE("services are read with their ports, or with ICMP type and code") {
  const auto is = [](const char* text, int protocol, const Ports& ports, const Ports& source_ports, int type,
                     int code) {
    const auto service = parse_service(text);
    REQUIRE_MESSAGE(service, text);
    CHECK(service->protocol == protocol);
    CHECK(pairs(service->ports) == ports);
    CHECK(pairs(service->source_ports) == source_ports);
    CHECK(service->icmp_type == type);
    CHECK(service->icmp_code == code);
  };
  is("0", 0, {}, {}, -1, -1);
  is("255", 255, {}, {}, -1, -1);
  is("6/80", 6, {{80, 80}}, {}, -1, -1);
  is("6/80,8000-8100", 6, {{80, 80}, {8000, 8100}}, {}, -1, -1);
  is("17//53", 17, {}, {{53, 53}}, -1, -1);
  is("132/0-65535/1,2-3", 132, {{0, 65535}}, {{1, 1}, {2, 3}}, -1, -1);
  is("1/8", 1, {}, {}, 8, -1);
  is("58/1/4", 58, {}, {}, 1, 4);
  is("58", 58, {}, {}, -1, -1);
}

TEST_CASE("what is no service is refused") {
  for (const char* text :
       {"",        "/",    "256",  "-1",     "6 ",        " 6",    "x",     "6/x",   "6/65536", "6/1-",        "6/-1",
        "6/1-2-3", "6/1,", "6/,1", "6/1,,2", "6/80/53/1", "1/256", "1/8-9", "1/8,9", "1/8/256", "99999999999", "6/+1"})
    CHECK_MESSAGE(!parse_service(text), text);
}

}  // namespace
}  // namespace headgate::test
