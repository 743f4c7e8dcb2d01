#include "addon/policy.h"

#include "addon/convert.h"
#include "tables/service_text.h"

namespace headgate {
namespace {

template <class List, class Write>
Napi::Array write_list(Napi::Env env, const List& list, Write write) {
  Napi::Array out = Napi::Array::New(env, list.size());
  uint32_t i = 0;
  for (const auto& item : list) {
    Napi::HandleScope scope(env);
    out.Set(i++, write(item));
  }
  return out;
}

Napi::Array write_texts(Napi::Env env, const std::vector<std::string>& texts) {
  return write_list(env, texts, [&](const std::string& text) { return Napi::String::New(env, text); });
}

Napi::Object write_limits(Napi::Env env, const Limits& limits) {
  Napi::Object out = Napi::Object::New(env);
  if (limits.connections) out.Set("connections", limits.connections);
  if (limits.half_open) out.Set("halfOpen", limits.half_open);
  if (limits.new_per_second) out.Set("newPerSecond", limits.new_per_second);
  return out;
}

constexpr const char* kTracking[] = {"strict", "pickup", "liberal"};

Napi::Object write_timeouts(Napi::Env env, const decltype(ProfileChange::timeouts)& timeouts) {
  constexpr const char* kNames[] = {"tcpOpening", "tcpEstablished", "tcpClosing", "udpOneWay",
                                    "udpTwoWay",  "icmp",           "other",      "denied"};
  static_assert(std::size(kNames) == kTimeoutFields.size());
  Napi::Object out = Napi::Object::New(env);
  for (size_t i = 0; i < timeouts.size(); ++i)
    if (timeouts[i]) out.Set(kNames[i], *timeouts[i] / 1000);
  return out;
}

Napi::Object write_timeouts(Napi::Env env, const Timeouts& timeouts) {
  decltype(ProfileChange::timeouts) all;
  for (size_t i = 0; i < all.size(); ++i) all[i] = timeouts.*kTimeoutFields[i];
  return write_timeouts(env, all);
}

Napi::Object write_profile(Napi::Env env, const ProfileChange& profile) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("name", profile.name);
  if (profile.mode) out.Set("tracking", kTracking[static_cast<int>(*profile.mode)]);
  out.Set("timeouts", write_timeouts(env, profile.timeouts));
  return out;
}

Napi::Object write_rule(Napi::Env env, const RuleChange& rule) {
  constexpr const char* kOnChanges[] = {"reevaluate", "keep", "reset"};
  Napi::Object out = Napi::Object::New(env);
  out.Set("key", rule.key);
  if (rule.sources) out.Set("sources", write_texts(env, *rule.sources));
  if (rule.destinations) out.Set("destinations", write_texts(env, *rule.destinations));
  if (rule.services)
    out.Set("services", write_list(env, *rule.services, [&](const ServiceMatch& service) {
              return Napi::String::New(env, format_service(service));
            }));
  out.Set("action", name_of(rule.action));
  out.Set("onChange", kOnChanges[static_cast<int>(rule.on_change)]);
  out.Set("mode", rule.observe ? "observe" : "enforce");
  out.Set("log", Napi::Boolean::New(env, rule.log));
  if (rule.helper != Helper::kNone) out.Set("helper", rule.helper == Helper::kFtp ? "ftp" : "tftp");
  return out;
}

Napi::Object write_entry(Napi::Env env, const EntryChange& entry) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("id", entry.id);
  out.Set("digest", entry.digest);
  out.Set("rule", entry.rule);
  out.Set("category", entry.category);
  out.Set("order", static_cast<double>(entry.order));
  out.Set("direction", entry.in && entry.out ? "both" : entry.in ? "in" : "out");
  out.Set("scope", entry.scope);
  if (!entry.profile.empty()) out.Set("profile", entry.profile);
  if (!entry.tag.empty()) out.Set("tag", entry.tag);
  return out;
}

}  // namespace

Napi::Object write_delta(Napi::Env env, const Delta& delta) {
  const auto named = [&](const auto& change, const char* field, const std::vector<std::string>& texts) {
    Napi::Object out = Napi::Object::New(env);
    out.Set("name", change.name);
    out.Set("digest", change.digest);
    out.Set(field, write_texts(env, texts));
    return out;
  };
  const auto each = [&](const auto& list, auto write) {
    return write_list(env, list, [&](const auto& item) { return write(env, item); });
  };
  Napi::Object out = Napi::Object::New(env);
  if (delta.default_action) out.Set("defaultAction", name_of(*delta.default_action));
  if (delta.mode) out.Set("tracking", kTracking[static_cast<int>(*delta.mode)]);
  if (delta.profiles) out.Set("profiles", each(*delta.profiles, write_profile));
  if (delta.timeouts) out.Set("timeouts", write_timeouts(env, *delta.timeouts));
  if (delta.limits) out.Set("limits", write_limits(env, *delta.limits));
  out.Set("setAddressSets",
          write_list(env, delta.set_address_sets, [&](const auto& set) { return named(set, "ranges", set.ranges); }));
  out.Set("setScopes", write_list(env, delta.set_scopes,
                                  [&](const auto& scope) { return named(scope, "workloads", scope.workloads); }));
  out.Set("setRules", each(delta.set_rules, write_rule));
  out.Set("setEntries", each(delta.set_entries, write_entry));
  return out;
}

Napi::Object write_numbering(Napi::Env env, const Publisher::Numbering& numbering) {
  Napi::Object epochs = Napi::Object::New(env);
  for (const auto& [workload, epoch] : numbering.epochs) epochs.Set(workload, epoch);
  Napi::Object out = Napi::Object::New(env);
  out.Set("number", static_cast<double>(numbering.number));
  out.Set("epochs", epochs);
  return out;
}

Publisher::Numbering read_numbering(const Napi::Object& object) {
  Publisher::Numbering numbering;
  numbering.number = static_cast<uint64_t>(object.Get("number").ToNumber().Int64Value());
  const Napi::Object epochs = object.Get("epochs").As<Napi::Object>();
  for (const auto& entry : epochs)
    numbering.epochs[entry.first.ToString()] = static_cast<Napi::Value>(entry.second).ToNumber().Uint32Value();
  return numbering;
}

}  // namespace headgate
