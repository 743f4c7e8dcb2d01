// Applying a delta to the policy: address sets, rules, scopes, entries. Workloads, segments and ports stand in
// publisher_places.cc, the checks in publisher_check.cc.
#include "tables/publisher.h"

#include <algorithm>
#include <iterator>

namespace headgate {

// An entry whose place or content changes is taken out first and put in last, so that in between there is nothing left
// that refers to what it was.
Refusal Publisher::apply(const Delta& delta) {
  if (Refusal refusal = check(delta)) return refusal;
  ++number_;
  lookup_ = nullptr;
  released_.clear();
  take_out_entries(delta);
  apply_sets(delta);
  apply_rules(delta);
  apply_segments(delta);
  apply_workloads(delta);
  apply_scopes(delta);
  put_in_entries(delta);
  remove_policy(delta);
  remove_places(delta);
  if (delta.timeouts) timeouts_ = *delta.timeouts;
  if (delta.limits) limits_ = *delta.limits;
  if (delta.default_action && *delta.default_action != default_action_) {
    default_action_ = *delta.default_action;
    for (uint32_t i = 0; i < workloads_.size(); ++i) touch(i);
  }
  return {};
}

void Publisher::take_out_entries(const Delta& delta) {
  for (const std::string& id : delta.remove_entries) {
    auto held = entries_.find(id);
    take_out(held->second);
    entries_by_serial_.erase(held->second.serial);
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
      held.serial = next_entry_serial_++;
      entries_by_serial_[held.serial] = &held;
    }
    HeldRule& rule = rules_.at(change.rule);
    uint64_t order = uint64_t{change.category} << kCategoryShift | change.order;
    put_in(held, {change.id, held.serial, rule.rule, order, change.in, change.out}, rule, scopes_.at(change.scope));
  }
}

bool Publisher::same(const HeldEntry& held, const EntryChange& change) const {
  const IndexEntry& entry = *held.entry;
  return entry.order == (uint64_t{change.category} << kCategoryShift | change.order) && entry.in == change.in &&
         entry.out == change.out && entry.rule->key == change.rule && held.scope->name == change.scope;
}

// Returns what the entry was. Readers may use that until settled().
const IndexEntry& Publisher::take_out(HeldEntry& held) {
  touch(*held.scope);
  classifier_.remove(held.entry.get());
  slots_ -= held.rule->slots;
  orders_.erase(held.entry->order);
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
}

// All numbers have been used. Every workload gets a new one, so that again no two have the same, and all connections
// are judged again. A record without a frame for all that time may have the number that its workload has now: by a
// chance of one in four billion, in less than its idle time, of two hours for TCP at work if nothing else is said.
void Publisher::start_epochs_anew() {
  next_epoch_ = 1;
  for (uint32_t& epoch : epochs_) epoch = next_epoch_++;
}

std::shared_ptr<const Generation> Publisher::build() {
  if (!topology_) topology_ = make_topology();
  if (!epochs_built_) epochs_built_ = std::make_shared<const std::vector<uint32_t>>(epochs_);
  if (!lookup_) lookup_ = classifier_.commit();
  auto next = std::make_shared<Generation>(topology_, epochs_built_);
  next->number = number_;
  next->default_action = default_action_;
  next->timeouts = timeouts_;
  next->limits = limits_;
  next->lookup = lookup_;
  return next;
}

void Publisher::settled() {
  classifier_.settled();
  retired_.clear();
  for (auto& [macs, workload] : forget_) macs->forget(workload);
  forget_.clear();
  for (Places* places : {&set_numbers_, &segment_numbers_, &workload_numbers_}) places->settled();
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
