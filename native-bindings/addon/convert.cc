#include "addon/convert.h"

#include <cmath>

#include "tables/service_text.h"

namespace headgate {
namespace {

[[noreturn]] void refuse(const Napi::Env& env, const std::string& what) {
  throw Napi::TypeError::New(env, what);
}

bool absent(const Napi::Value& value) {
  return value.IsUndefined() || value.IsNull();
}

std::string to_string(const Napi::Value& value, const char* field) {
  if (!value.IsString()) refuse(value.Env(), std::string(field) + " must be a string.");
  return value.As<Napi::String>().Utf8Value();
}

uint64_t to_long(const Napi::Value& value, const char* field, uint64_t most) {
  double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= static_cast<double>(most)) || number != std::floor(number))
    refuse(value.Env(), std::string(field) + " must be a whole number from 0 to " + std::to_string(most) + ".");
  return static_cast<uint64_t>(number);
}

uint32_t to_number(const Napi::Value& value, const char* field, uint32_t most) {
  return static_cast<uint32_t>(to_long(value, field, most));
}

template <class Read>
void each(const Napi::Value& value, const char* field, Read read) {
  if (absent(value)) return;
  if (!value.IsArray()) refuse(value.Env(), std::string(field) + " must be a list.");
  auto list = value.As<Napi::Array>();
  for (uint32_t i = 0, n = list.Length(); i < n; ++i) {
    Napi::HandleScope scope(value.Env());
    read(list.Get(i));
  }
}

template <class T, class Read>
void each_object(const Napi::Object& object, const char* field, std::vector<T>& out, Read read) {
  each(object.Get(field), field, [&](const Napi::Value& item) {
    if (!item.IsObject()) refuse(item.Env(), std::string(field) + " must hold objects.");
    out.push_back(read(item.As<Napi::Object>()));
  });
}

std::vector<std::string> to_strings(const Napi::Value& value, const char* field) {
  std::vector<std::string> out;
  each(value, field, [&](const Napi::Value& item) { out.push_back(to_string(item, field)); });
  return out;
}

template <class Enum, size_t N>
Enum to_enum(const Napi::Object& object, const char* field, const char* const (&names)[N]) {
  std::string text = read_string(object, field);
  for (size_t i = 0; i < N; ++i)
    if (text == names[i]) return static_cast<Enum>(i);
  refuse(object.Env(), std::string(field) + " is '" + text + "', which is none of its values.");
}

constexpr const char* kActions[] = {"allow", "drop", "reject", "pass"};
constexpr const char* kDefaults[] = {"allow", "drop"};
constexpr const char* kOnChanges[] = {"reevaluate", "keep", "reset"};
constexpr const char* kHelpers[] = {"none", "ftp", "tftp"};
constexpr const char* kModes[] = {"enforce", "observe"};
constexpr const char* kDirections[] = {"in", "out", "both"};
constexpr const char* kSides[] = {"south", "north"};
constexpr uint64_t kMostExact = (uint64_t{1} << 53) - 1;  // whole number that a JavaScript number holds

AddressSetChange read_address_set(const Napi::Object& o) {
  return {read_string(o, "name"), read_string(o, "digest"), to_strings(o.Get("ranges"), "ranges")};
}

AddressSetEdit edit_address_set(const Napi::Object& o) {
  return {read_string(o, "name"), read_string(o, "digest"), to_strings(o.Get("add"), "add"),
          to_strings(o.Get("remove"), "remove")};
}

std::vector<ServiceMatch> read_services(const Napi::Value& value) {
  std::vector<ServiceMatch> out;
  each(value, "services", [&](const Napi::Value& item) {
    const std::string text = to_string(item, "services");
    auto service = parse_service(text);
    if (!service) refuse(item.Env(), "services holds '" + text + "', which is no service.");
    out.push_back(std::move(*service));
  });
  return out;
}

RuleChange read_rule(const Napi::Object& o) {
  RuleChange rule;
  rule.key = read_string(o, "key");
  rule.sources = read_optional_strings(o, "sources");
  rule.destinations = read_optional_strings(o, "destinations");
  if (Napi::Value services = o.Get("services"); !absent(services)) rule.services = read_services(services);
  rule.action = to_enum<Action>(o, "action", kActions);
  rule.on_change = to_enum<OnChange>(o, "onChange", kOnChanges);
  rule.observe = to_enum<int>(o, "mode", kModes) == 1;
  rule.log = read_bool(o, "log");
  if (!absent(o.Get("helper"))) rule.helper = to_enum<Helper>(o, "helper", kHelpers);
  return rule;
}

int read_vlan(const Napi::Object& o, const char* field) {
  return static_cast<int>(read_optional_number(o, field, 4094).value_or(0));
}

BridgeChange read_bridge(const Napi::Object& o) {
  return {{{read_vlan(o, "southVlan"), read_vlan(o, "southInnerVlan")},
           {read_vlan(o, "northVlan"), read_vlan(o, "northInnerVlan")}},
          read_string(o, "tracker"),
          read_string(o, "judge")};
}

SegmentChange read_segment(const Napi::Object& o) {
  SegmentChange segment{read_string(o, "name"),
                        read_string(o, "digest"),
                        read_vlan(o, "vlan"),
                        read_vlan(o, "innerVlan"),
                        read_optional_string(o, "tracker").value_or(""),
                        {}};
  each_object(o, "bridges", segment.bridges, read_bridge);
  return segment;
}

Limits read_limits(const Napi::Value& value) {
  if (!value.IsObject()) refuse(value.Env(), "limits must be an object.");
  const Napi::Object o = value.As<Napi::Object>();
  auto limit = [&](const char* field) { return read_optional_number(o, field, 100'000'000).value_or(0); };
  return {limit("connections"), limit("halfOpen"), limit("newPerSecond")};
}

WorkloadChange read_workload(const Napi::Object& o) {
  WorkloadChange workload;
  workload.name = read_string(o, "name");
  workload.digest = read_string(o, "digest");
  workload.segment = read_optional_string(o, "segment").value_or("");
  if (Napi::Value attach = o.Get("attach"); !absent(attach)) {
    if (!attach.IsObject()) refuse(o.Env(), "attach must be an object.");
    const Napi::Object attached = attach.As<Napi::Object>();
    const std::string kind = read_string(attached, "kind");
    workload.trunk = kind == "nic";
    if (kind == "tunnel")
      workload.remote = {read_string(attached, "remote"), to_number(attached.Get("key"), "key", UINT32_MAX),
                         read_bool(attached, "fragment")};
  }
  if (!absent(o.Get("side"))) workload.side = to_enum<EdgeSide>(o, "side", kSides);
  workload.mac = read_optional_string(o, "mac");
  workload.addresses = read_optional_strings(o, "addresses");
  if (Napi::Value limits = o.Get("limits"); !absent(limits)) workload.limits = read_limits(limits);
  return workload;
}

ScopeChange read_scope(const Napi::Object& o) {
  return {read_string(o, "name"), read_string(o, "digest"), to_strings(o.Get("workloads"), "workloads")};
}

ScopeEdit edit_scope(const Napi::Object& o) {
  return {read_string(o, "name"), read_string(o, "digest"), to_strings(o.Get("add"), "add"),
          to_strings(o.Get("remove"), "remove")};
}

EntryChange read_entry(const Napi::Object& o) {
  EntryChange entry;
  entry.id = read_string(o, "id");
  entry.digest = read_string(o, "digest");
  entry.rule = read_string(o, "rule");
  entry.category = to_number(o.Get("category"), "category", kInsertions);
  entry.order = to_long(o.Get("order"), "order", (uint64_t{1} << kCategoryShift) - 1);
  int direction = to_enum<int>(o, "direction", kDirections);
  entry.in = direction != 1;
  entry.out = direction != 0;
  entry.scope = read_string(o, "scope");
  entry.tag = read_optional_string(o, "tag").value_or("");
  entry.profile = read_optional_string(o, "profile").value_or("");
  return entry;
}

PortalChange::Health read_health(const Napi::Object& o) {
  constexpr const char* kProbes[] = {"icmp", "tcp", "http"};
  constexpr ProbeKind kValues[] = {ProbeKind::kIcmp, ProbeKind::kTcp, ProbeKind::kHttp};
  PortalChange::Health health;
  health.kind = kValues[to_enum<int>(o, "kind", kProbes)];
  health.address = read_string(o, "address");
  health.source = read_string(o, "source");
  health.mac = read_string(o, "mac");
  health.path = read_optional_string(o, "path").value_or("");
  health.port = static_cast<uint16_t>(read_optional_number(o, "port", 65535).value_or(0));
  health.key = read_optional_number(o, "key", UINT32_MAX).value_or(0);
  health.interval = to_number(o.Get("interval"), "interval", 60'000);
  health.failures = to_number(o.Get("failures"), "failures", 100);
  return health;
}

PortalChange read_portal(const Napi::Object& o) {
  PortalChange portal;
  portal.name = read_string(o, "name");
  portal.digest = read_string(o, "digest");
  portal.workload = read_string(o, "workload");
  portal.nsh = read_bool(o, "nsh");
  portal.by_record = read_bool(o, "byRecord");
  if (Napi::Value health = o.Get("health"); health.IsObject()) portal.health = read_health(health.As<Napi::Object>());
  return portal;
}

LegChange read_leg(const Napi::Object& o) {
  return {read_string(o, "portal"), to_number(o.Get("key"), "key", UINT32_MAX)};
}

HopChange read_hop(const Napi::Object& o) {
  HopChange hop{read_bool(o, "open"), {}};
  each_object(o, "legs", hop.legs, read_leg);
  return hop;
}

ServiceTagChange read_tag(const Napi::Object& o) {
  ServiceTagChange tag;
  tag.name = read_string(o, "name");
  tag.digest = read_string(o, "digest");
  tag.tracker = read_optional_string(o, "tracker").value_or("");
  tag.segment = read_optional_string(o, "segment");
  if (Napi::Value entry = o.Get("entry"); entry.IsObject()) tag.entry = read_leg(entry.As<Napi::Object>());
  each_object(o, "hops", tag.hops, read_hop);
  return tag;
}

// Seconds in messages, milliseconds in the engine.
decltype(ProfileChange::timeouts) read_timeouts(const Napi::Value& value) {
  constexpr const char* kNames[] = {"tcpOpening", "tcpEstablished", "tcpClosing", "udpOneWay",
                                    "udpTwoWay",  "icmp",           "other",      "denied"};
  static_assert(std::size(kNames) == kTimeoutFields.size());
  if (!value.IsObject()) refuse(value.Env(), "timeouts must be an object.");
  decltype(ProfileChange::timeouts) timeouts;
  for (size_t i = 0; i < timeouts.size(); ++i)
    if (auto seconds = read_optional_number(value.As<Napi::Object>(), kNames[i], 864'000))
      timeouts[i] = std::max(1u, *seconds) * 1000;
  return timeouts;
}

std::optional<TrackingMode> read_mode(const Napi::Object& o) {
  constexpr const char* kTracking[] = {"strict", "pickup", "liberal"};
  if (absent(o.Get("tracking"))) return std::nullopt;
  return to_enum<TrackingMode>(o, "tracking", kTracking);
}

ProfileChange read_profile(const Napi::Object& o) {
  ProfileChange profile{read_string(o, "name"), read_mode(o), {}};
  if (Napi::Value timeouts = o.Get("timeouts"); !absent(timeouts)) profile.timeouts = read_timeouts(timeouts);
  return profile;
}

}  // namespace

std::string read_string(const Napi::Object& object, const char* field) {
  return to_string(object.Get(field), field);
}

std::optional<std::string> read_optional_string(const Napi::Object& object, const char* field) {
  Napi::Value value = object.Get(field);
  if (absent(value)) return std::nullopt;
  return to_string(value, field);
}

std::optional<uint32_t> read_optional_number(const Napi::Object& object, const char* field, uint32_t most) {
  Napi::Value value = object.Get(field);
  if (absent(value)) return std::nullopt;
  return to_number(value, field, most);
}

bool read_bool(const Napi::Object& object, const char* field) {
  Napi::Value value = object.Get(field);
  if (!value.IsBoolean()) refuse(object.Env(), std::string(field) + " must be true or false.");
  return value.As<Napi::Boolean>().Value();
}

std::optional<std::vector<std::string>> read_optional_strings(const Napi::Object& object, const char* field) {
  Napi::Value value = object.Get(field);
  if (absent(value)) return std::nullopt;
  return to_strings(value, field);
}

Direction read_direction(const Napi::Value& value) {
  std::string text = to_string(value, "direction");
  if (text != "in" && text != "out") refuse(value.Env(), "direction must be 'in' or 'out'.");
  return text == "in" ? Direction::kIn : Direction::kOut;
}

Delta read_delta(const Napi::Object& o) {
  Delta delta;
  if (Napi::Value base = o.Get("base"); !absent(base)) delta.base = to_long(base, "base", kMostExact);
  if (!absent(o.Get("defaultAction"))) delta.default_action = to_enum<Action>(o, "defaultAction", kDefaults);
  delta.mode = read_mode(o);
  if (Napi::Value timeouts = o.Get("timeouts"); !absent(timeouts)) {
    delta.timeouts = Timeouts();  // an absent one has its default
    const auto given = read_timeouts(timeouts);
    for (size_t i = 0; i < given.size(); ++i)
      if (given[i]) (*delta.timeouts).*kTimeoutFields[i] = *given[i];
  }
  if (!absent(o.Get("profiles"))) each_object(o, "profiles", delta.profiles.emplace(), read_profile);
  if (Napi::Value limits = o.Get("limits"); !absent(limits)) delta.limits = read_limits(limits);
  each_object(o, "setAddressSets", delta.set_address_sets, read_address_set);
  each_object(o, "editAddressSets", delta.edit_address_sets, edit_address_set);
  each_object(o, "setRules", delta.set_rules, read_rule);
  each_object(o, "setSegments", delta.set_segments, read_segment);
  each_object(o, "setWorkloads", delta.set_workloads, read_workload);
  each_object(o, "setScopes", delta.set_scopes, read_scope);
  each_object(o, "editScopes", delta.edit_scopes, edit_scope);
  each_object(o, "setEntries", delta.set_entries, read_entry);
  each_object(o, "setPortals", delta.set_portals, read_portal);
  each_object(o, "setTags", delta.set_tags, read_tag);
  delta.remove_address_sets = to_strings(o.Get("removeAddressSets"), "removeAddressSets");
  delta.remove_rules = to_strings(o.Get("removeRules"), "removeRules");
  delta.remove_segments = to_strings(o.Get("removeSegments"), "removeSegments");
  delta.remove_workloads = to_strings(o.Get("removeWorkloads"), "removeWorkloads");
  delta.remove_scopes = to_strings(o.Get("removeScopes"), "removeScopes");
  delta.remove_entries = to_strings(o.Get("removeEntries"), "removeEntries");
  delta.remove_portals = to_strings(o.Get("removePortals"), "removePortals");
  delta.remove_tags = to_strings(o.Get("removeTags"), "removeTags");
  return delta;
}

Offload read_offload(const Napi::Object& o) {
  constexpr const char* kKinds[] = {"tcp4", "tcp6", "udp"};
  constexpr Offload::Kind kValues[] = {Offload::kTcp4, Offload::kTcp6, Offload::kUdp};
  auto number = [&](const char* field) {
    return static_cast<uint16_t>(read_optional_number(o, field, 65535).value_or(0));
  };
  Offload offload;
  offload.kind = kValues[to_enum<int>(o, "kind", kKinds)];
  offload.partial_checksum = true;
  offload.segment_size = number("segmentSize");
  offload.checksum_start = number("checksumStart");
  offload.checksum_offset = number("checksumOffset");
  return offload;
}

FlowHeaders read_flow(const Napi::Object& o) {
  FlowHeaders flow;
  auto address = [&](const char* field) {
    auto parsed = parse_address(read_string(o, field));
    if (!parsed) refuse(o.Env(), std::string(field) + " is no address.");
    return *parsed;
  };
  flow.source = address("source");
  flow.destination = address("destination");
  flow.protocol = static_cast<uint8_t>(read_optional_number(o, "protocol", 255).value_or(0));
  flow.source_port = static_cast<uint16_t>(read_optional_number(o, "sourcePort", 65535).value_or(0));
  flow.destination_port = static_cast<uint16_t>(read_optional_number(o, "destinationPort", 65535).value_or(0));
  flow.icmp_type = static_cast<uint8_t>(read_optional_number(o, "icmpType", 255).value_or(0));
  flow.icmp_code = static_cast<uint8_t>(read_optional_number(o, "icmpCode", 255).value_or(0));
  return flow;
}

}  // namespace headgate
