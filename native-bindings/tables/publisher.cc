// Applying a delta to the policy: address sets, rules, scopes, entries. Workloads, segments and ports stand in
// publisher_places.cc, the checks in publisher_check.cc.
#include "tables/publisher.h"

#include <algorithm>
#include <iterator>

namespace headgate {

Publisher::Publisher(size_t most_slots, uint32_t first_epoch, Names* names, std::span<uint8_t> mac_memory)
    : own_names_(names ? nullptr : std::make_unique<Names>()),
      names_(names ? *names : *own_names_),
      mac_memory_(mac_memory),
      most_slots_(most_slots),
      next_epoch_(std::max(first_epoch, names_.next_epoch())) {
  names_.set_next_epoch(next_epoch_);
  const auto places = [&](Names::Kind kind) {
    std::vector<uint32_t> out;
    names_.each_former(kind, [&](const std::string&, Names::Numbers numbers) { out.push_back(numbers.place); });
    return out;
  };
  std::vector<uint32_t> tags = places(Names::Kind::kTag);
  for (uint32_t& place : tags) place -= place > 0;
  tag_numbers_.reserve(std::move(tags));
  leg_numbers_.reserve(places(Names::Kind::kLeg));
  segment_numbers_.reserve(places(Names::Kind::kSegment));
  workload_numbers_.reserve(places(Names::Kind::kWorkload));
  // Until the first delta says which profiles there are, their numbers are nobody else's.
  names_.each_former(Names::Kind::kProfile, [&](const std::string& name, Names::Numbers numbers) {
    if (numbers.place && numbers.place < kProfiles) profiles_[numbers.place].name = name;
  });
  names_.each_former(Names::Kind::kTracker, [&](const std::string& name, Names::Numbers numbers) {
    trackers_.resize(std::max<size_t>(trackers_.size(), numbers.place + 1));
    trackers_[numbers.place] = name;
  });
}

// An entry whose place or content changes is taken out first and put in last, so that in between there is nothing left
// that refers to what it was.
Refusal Publisher::apply(const Delta& delta) {
  if (Refusal refusal = check(delta)) return refusal;
  ++number_;
  lookup_ = nullptr;
  released_.clear();
  take_out_entries(delta);
  apply_profiles(delta);
  apply_sets(delta);
  apply_rules(delta);
  apply_segments(delta);
  apply_workloads(delta);
  apply_bridges(delta);
  apply_scopes(delta);
  apply_services(delta);
  put_in_entries(delta);
  remove_policy(delta);
  remove_services(delta);
  remove_places(delta);
  if (delta.limits) limits_ = *delta.limits;
  if (delta.default_action && *delta.default_action != default_action_) {
    default_action_ = *delta.default_action;
    for (uint32_t i = 0; i < workloads_.size(); ++i) touch(i);
  }
  if (!former_left_) leave_former(delta.profiles.has_value());
  names_.keep_counters();
  return {};
}

// The first delta holds all of the policy: what an engine before knew beside it is gone.
void Publisher::leave_former(bool with_profiles) {
  former_left_ = true;
  if (!with_profiles)
    for (HeldProfile& held : profiles_) held = {};
  names_.each_former(Names::Kind::kSegment,
                     [&](const std::string&, Names::Numbers numbers) { segment_numbers_.give_back(numbers.place); });
  names_.each_former(Names::Kind::kWorkload,
                     [&](const std::string&, Names::Numbers numbers) { workload_numbers_.give_back(numbers.place); });
  names_.each_former(Names::Kind::kTag, [&](const std::string&, Names::Numbers numbers) {
    tag_numbers_.give_back(numbers.place - (numbers.place > 0));
  });
  names_.forget_former();
  for (const auto& segment : segments_)
    if (segment)
      segment->macs->retain([&](uint32_t place) {
        return place < workloads_.size() && workloads_[place] && workloads_[place]->segment != kNoSegment &&
               segments_[workloads_[place]->segment] == segment;
      });
}

// Names that stay keep their numbers, which records know; no entry names one that goes.
void Publisher::apply_profiles(const Delta& delta) {
  if (delta.mode) host_profile_.mode = *delta.mode;
  if (delta.timeouts) host_profile_.timeouts = *delta.timeouts;
  if (!delta.profiles) return;
  const auto& wanted = *delta.profiles;
  for (HeldProfile& held : profiles_) {
    if (std::ranges::any_of(wanted, [&](const ProfileChange& p) { return p.name == held.name; })) continue;
    if (!held.name.empty()) names_.forget(Names::Kind::kProfile, held.name);
    held = {};
  }
  for (const ProfileChange& change : wanted) {
    uint8_t number = find_profile(change.name);
    if (!number)
      number = static_cast<uint8_t>(
          std::ranges::find(profiles_.begin() + 1, profiles_.end(), std::string(), &HeldProfile::name) -
          profiles_.begin());
    if (profiles_[number].name.empty()) names_.note(Names::Kind::kProfile, change.name, {number, 0});
    profiles_[number].name = change.name;
    profiles_[number].change = change;
  }
}

// 0: there is none, or no name.
uint8_t Publisher::find_profile(const std::string& name) const {
  if (name.empty()) return 0;
  const auto found = std::ranges::find(profiles_, name, &HeldProfile::name);
  return found == profiles_.end() ? uint8_t{0} : static_cast<uint8_t>(found - profiles_.begin());
}

Profiles Publisher::make_profiles() const {
  Profiles made(host_profile_);
  for (uint8_t i = 1; i < kProfiles; ++i) {
    if (profiles_[i].name.empty()) continue;
    Profile profile = host_profile_;
    const ProfileChange& change = profiles_[i].change;
    if (change.mode) profile.mode = *change.mode;
    for (size_t field = 0; field < kTimeoutFields.size(); ++field)
      if (change.timeouts[field]) profile.timeouts.*kTimeoutFields[field] = *change.timeouts[field];
    made.set(i, profile);
  }
  return made;
}

void Publisher::take_out_entries(const Delta& delta) {
  for (const std::string& id : delta.remove_entries) {
    auto held = entries_.find(id);
    take_out(held->second);
    entries_by_serial_.erase(held->second.serial);
    names_.forget(Names::Kind::kEntry, id);
    entries_.erase(held);
  }
  for (const EntryChange& change : delta.set_entries)
    if (auto held = entries_.find(change.id); held != entries_.end() && !same(held->second, change))
      take_out(held->second);
}

void Publisher::put_in_entries(const Delta& delta) {
  for (const EntryChange& change : delta.set_entries) {
    auto [at, fresh] = entries_.try_emplace(change.id);
    HeldEntry& held = at->second;
    held.digest = change.digest;
    if (held.entry) continue;  // as it was
    if (fresh) {
      Names::Numbers numbers;
      if (!names_.claim(Names::Kind::kEntry, change.id, numbers))
        names_.note(Names::Kind::kEntry, change.id, numbers = {0, names_.take_serial(Names::Kind::kEntry)});
      held.serial = numbers.serial;
      entries_by_serial_[held.serial] = &held;
    }
    HeldRule& rule = rules_.at(change.rule);
    uint64_t order = uint64_t{change.category} << kCategoryShift | change.order;
    held.tag = change.tag;
    const auto tag = change.tag.empty() ? uint16_t{0} : static_cast<uint16_t>(tags_.at(change.tag).place);
    put_in(held, {change.id, held.serial, rule.rule, order, change.in, change.out, find_profile(change.profile), tag},
           rule, scopes_.at(change.scope));
  }
}

bool Publisher::same(const HeldEntry& held, const EntryChange& change) const {
  const IndexEntry& entry = *held.entry;
  return entry.order == (uint64_t{change.category} << kCategoryShift | change.order) && entry.in == change.in &&
         entry.out == change.out && entry.rule->key == change.rule && held.scope->name == change.scope &&
         profiles_[entry.profile].name == change.profile && held.tag == change.tag;
}

// Returns what the entry was. Readers may use that until settled().
const IndexEntry& Publisher::take_out(HeldEntry& held) {
  touch(*held.scope);
  classifier_.remove(held.entry.get());
  slots_ -= held.rule->slots;
  orders_.erase(held.entry->order);
  --profiles_[held.entry->profile].entries;
  held.rule->entries.erase(&held);
  leave_scope(held);
  retired_.push_back(std::move(held.entry));
  return *retired_.back();
}

// The last of the scope's entries takes its place.
void Publisher::leave_scope(HeldEntry& held) {
  auto& entries = held.scope->entries;
  entries[held.place] = entries.back();
  entries_by_serial_.at(entries.back()->serial)->place = held.place;
  entries.pop_back();
}

void Publisher::put_in(HeldEntry& held, IndexEntry entry, HeldRule& rule, Scope& scope) {
  held.entry = std::make_unique<const IndexEntry>(std::move(entry));
  held.rule = &rule;
  held.scope = &scope;
  rule.entries.insert(&held);
  held.place = scope.entries.size();
  scope.entries.push_back(held.entry.get());
  orders_[held.entry->order] = &held;
  ++profiles_[held.entry->profile].entries;
  slots_ += rule.slots;
  classifier_.add(held.entry.get(), scope.members);
  touch(scope);
}

void Publisher::apply_sets(const Delta& delta) {
  for (const AddressSetChange& change : delta.set_address_sets) {
    auto [at, fresh] = sets_.try_emplace(change.name);
    if (fresh) at->second.number = set_numbers_.take();
    change_set(at->second, change.digest, parse_address_set(change.ranges));
  }
  for (const AddressSetEdit& edit : delta.edit_address_sets) {
    HeldSet& set = sets_.at(edit.name);
    change_set(set, edit.digest, set.addresses.edited(parse_address_set(edit.add), parse_address_set(edit.remove)));
  }
}

void Publisher::change_set(HeldSet& set, const std::string& digest, AddressSet addresses) {
  set.digest = digest;
  set.addresses = std::move(addresses);
  classifier_.set_addresses(set.number, set.addresses);
  for (const HeldRule* rule : set.rules)
    for (const HeldEntry* entry : rule->entries) touch(*entry->scope);
}

// A rule that is held and comes again is put in the place of what it was.
void Publisher::apply_rules(const Delta& delta) {
  for (const RuleChange& change : delta.set_rules) {
    HeldRule& held = rules_[change.key];
    std::vector<HeldEntry*> users(held.entries.begin(), held.entries.end());
    std::vector<const IndexEntry*> were;
    for (HeldEntry* user : users) were.push_back(&take_out(*user));
    unlink(held);
    link(held, change);
    for (size_t i = 0; i < users.size(); ++i) {
      IndexEntry entry = *were[i];
      entry.rule = held.rule;
      put_in(*users[i], std::move(entry), held, *users[i]->scope);
    }
  }
}

void Publisher::link(HeldRule& held, const RuleChange& change) {
  auto rule = std::make_shared<Rule>();
  rule->key = change.key;
  auto numbers = [&](const std::optional<std::vector<std::string>>& names) {
    std::optional<std::vector<uint32_t>> out;
    if (!names) return out;
    out.emplace();
    for (const std::string& name : *names) {
      HeldSet& set = sets_.at(name);
      out->push_back(set.number);
      if (set.rules.insert(&held).second) held.sets.push_back(&set);
    }
    return out;
  };
  rule->sources = numbers(change.sources);
  rule->destinations = numbers(change.destinations);
  rule->services = change.services;
  rule->action = change.action;
  rule->on_change = change.on_change;
  rule->observe = change.observe;
  rule->log = change.log;
  rule->helper = change.helper;
  held.slots = Classifier::slots_of(*rule);
  held.rule = std::move(rule);
}

void Publisher::unlink(HeldRule& held) {
  for (HeldSet* set : held.sets) set->rules.erase(&held);
  held.sets.clear();
}

void Publisher::apply_scopes(const Delta& delta) {
  for (const ScopeChange& change : delta.set_scopes) {
    Scope& scope = scopes_[change.name];
    scope.name = change.name;
    scope.digest = change.digest;
    change_members(scope, places_of(change.workloads));
  }
  for (const ScopeEdit& edit : delta.edit_scopes) {
    Scope& scope = scopes_.at(edit.name);
    scope.digest = edit.digest;
    std::vector<uint32_t> left, members;
    const std::vector<uint32_t> add = places_of(edit.add), remove = places_of(edit.remove);
    std::ranges::set_difference(scope.members, remove, std::back_inserter(left));
    std::ranges::set_union(left, add, std::back_inserter(members));
    change_members(scope, std::move(members));
  }
}

std::vector<uint32_t> Publisher::places_of(const std::vector<std::string>& names) const {
  std::vector<uint32_t> places;
  places.reserve(names.size());
  for (const std::string& name : names) places.push_back(workload_places_.at(name));
  std::ranges::sort(places);
  places.erase(std::unique(places.begin(), places.end()), places.end());
  return places;
}

void Publisher::change_members(Scope& scope, std::vector<uint32_t> members) {
  std::vector<uint32_t> left, joined;
  std::ranges::set_difference(scope.members, members, std::back_inserter(left));
  std::ranges::set_difference(members, scope.members, std::back_inserter(joined));
  scope.members = std::move(members);
  // Whether its members have other rules for having been in it, or for being in it now.
  const bool counts = !scope.entries.empty() || scope.touched == number_;
  for (uint32_t workload : left) {
    std::erase(scopes_of_[workload], &scope);
    classifier_.leave(workload, scope.entries);
    if (counts) touch(workload);
  }
  for (uint32_t workload : joined) {
    scopes_of_[workload].push_back(&scope);
    classifier_.join(workload, scope.entries);
    if (counts) touch(workload);
  }
}

// Workloads have left their scopes, and entries are gone: what is removed has no users.
void Publisher::remove_policy(const Delta& delta) {
  for (const std::string& name : delta.remove_scopes) {
    auto scope = scopes_.find(name);
    for (uint32_t member : scope->second.members) std::erase(scopes_of_[member], &scope->second);
    scopes_.erase(scope);
  }
  for (const std::string& key : delta.remove_rules) {
    auto rule = rules_.find(key);
    unlink(rule->second);
    rules_.erase(rule);
  }
  for (const std::string& name : delta.remove_address_sets) {
    auto set = sets_.find(name);
    classifier_.drop_addresses(set->second.number);
    set_numbers_.give_back(set->second.number);
    sets_.erase(set);
  }
}

void Publisher::touch(Scope& scope) {
  if (scope.touched == number_) return;
  scope.touched = number_;
  for (uint32_t workload : scope.members) touch(workload);
}

void Publisher::touch(uint32_t workload) {
  if (touched_[workload] == number_) return;
  touched_[workload] = number_;
  epochs_[workload] = next_epoch_++;
  epochs_built_ = nullptr;
  if (next_epoch_ == 0) start_epochs_anew();
  names_.set_next_epoch(next_epoch_);
}

// All numbers have been used. Every workload gets a new one, so that again no two have the same, and all connections
// are judged again. A record without a frame for all that time may have the number that its workload has now: by a
// chance of one in four billion, in less than its idle time, of two hours for TCP at work if nothing else is said.
void Publisher::start_epochs_anew() {
  next_epoch_ = 1;
  for (uint32_t& epoch : epochs_) epoch = next_epoch_++;
}

std::shared_ptr<const Generation> Publisher::build() {
  // Places of workloads and segments are in the table of services too.
  if (!topology_ || services_stale_) make_services();
  if (!topology_) topology_ = make_topology();
  if (!epochs_built_) epochs_built_ = std::make_shared<const std::vector<uint32_t>>(epochs_);
  if (!lookup_) lookup_ = classifier_.commit();
  auto next = std::make_shared<Generation>(topology_, epochs_built_);
  next->number = number_;
  next->default_action = default_action_;
  next->profiles = make_profiles();
  next->limits = limits_;
  next->lookup = lookup_;
  next->services = services_;
  return next;
}

void Publisher::settled() {
  classifier_.settled();
  retired_.clear();
  for (auto& [macs, workload] : forget_) macs->forget(workload);
  forget_.clear();
  for (Places* places :
       {&set_numbers_, &segment_numbers_, &workload_numbers_, &portal_numbers_, &tag_numbers_, &leg_numbers_})
    places->settled();
}

Publisher::InventoryView Publisher::inventory() const {
  InventoryView view;
  if (published()) view.default_action = default_action_;
  for (const auto& [name, set] : sets_) view.address_sets[name] = set.digest;
  for (const auto& [key, rule] : rules_) view.rules.push_back(key);
  for (const auto& segment : segments_)
    if (segment) view.segments[segment->name] = segment->digest;
  for (const auto& workload : workloads_)
    if (workload) view.workloads[workload->name] = workload->digest;
  for (const auto& [name, scope] : scopes_) view.scopes[name] = scope.digest;
  for (const auto& [name, portal] : portals_) view.portals[name] = portal.change.digest;
  for (const auto& [name, tag] : tags_) view.tags[name] = tag.change.digest;
  constexpr uint64_t kOrder = (uint64_t{1} << kCategoryShift) - 1;
  for (const auto& [id, held] : entries_) {
    uint64_t order = held.entry->order;
    view.entries[id] = {held.digest, static_cast<uint32_t>(order >> kCategoryShift), order & kOrder};
  }
  return view;
}

std::string Publisher::entry_id(uint32_t serial) const {
  auto found = entries_by_serial_.find(serial);
  return found == entries_by_serial_.end() ? "" : found->second->entry->id;
}

uint32_t Publisher::entry_serial(const std::string& id) const {
  auto found = entries_.find(id);
  return found == entries_.end() ? 0 : found->second.entry->serial;
}

std::string Publisher::workload_name(uint32_t serial) const {
  auto found = workload_names_.find(serial);
  return found == workload_names_.end() ? "" : found->second;
}

}  // namespace headgate
