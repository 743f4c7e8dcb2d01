// What the engine reports of services: portals and how they do, tags and what went through them.
#include "pipeline/engine.h"

namespace headgate {
namespace {

const char* state_of(const Portal& portal, const Generation& generation) {
  if (generation.workloads[portal.workload]->port == kNoPort) return "detached";
  if (portal.probe.kind == ProbeKind::kNone) return "unchecked";
  return portal.health->up ? "up" : "down";
}

const Leg* working(const Hop& hop, const Generation& generation) {
  for (const Leg& leg : hop.legs) {
    const Portal& portal = *generation.services->portals[leg.portal];
    if (portal.health->up && generation.workloads[portal.workload]->port != kNoPort) return &leg;
  }
  return nullptr;
}

}  // namespace

void Engine::report_services(StatsReport& report, const std::vector<LegCounters>& counters) const {
  const Services* services = current_->services.get();
  if (!services) return;
  for (const auto& portal : services->portals) {
    if (!portal) continue;
    const PortalHealth& health = *portal->health;
    report.portals.push_back({portal->name, state_of(*portal, *current_), health.up ? "" : name_of(health.fault),
                              health.sent, health.failures, health.changes, health.changes ? age(health.changed) : -1});
  }
  for (const auto& tag : services->tags) {
    if (!tag) continue;
    const auto add = [&](const Leg& leg, int hop) {
      const bool counted = counters[leg.place].serial == leg.serial;
      report.legs.push_back({tag->name, hop, services->portals[leg.portal]->name, leg.key,
                             counted ? counters[leg.place] : LegCounters()});
    };
    if (tag->entry) add(*tag->entry, 0);
    for (size_t hop = 0; hop < tag->hops.size(); ++hop)
      for (const Leg& leg : tag->hops[hop].legs) add(leg, static_cast<int>(hop) + 1);
  }
}

ServiceReport Engine::service_report(const Connection& c) const {
  const Services* services = current_->services.get();
  const ServiceTag* tag = services && c.service() ? services->tag(c.service()) : nullptr;
  if (!tag) return {};
  ServiceReport report{tag->name, {}};
  for (const Hop& hop : tag->hops)
    if (const Leg* leg = working(hop, *current_)) report.portals.push_back(services->portals[leg->portal]->name);
  return report;
}

std::string Engine::tag_name(uint16_t place) const {
  const ServiceTag* tag = current_->services ? current_->services->tag(place) : nullptr;
  return tag ? tag->name : "";
}

std::string Engine::portal_name(uint16_t place) const {
  const Services* services = current_->services.get();
  return services && place < services->portals.size() && services->portals[place] ? services->portals[place]->name : "";
}

}  // namespace headgate
