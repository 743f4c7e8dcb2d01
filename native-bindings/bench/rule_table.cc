#include "bench/rule_table.h"

namespace headgate::bench {

namespace {

constexpr uint64_t kSpacing = 1 << 24;  // between the orders of neighbours, as control spaces them
constexpr std::pair<uint32_t, uint32_t> kAnyAddress{0, UINT32_MAX};

Address address_of(uint32_t number) {
  Address address{};
  address.bytes[10] = address.bytes[11] = 0xff;
  for (int i = 0; i < 4; ++i) address.bytes[12 + i] = static_cast<uint8_t>(number >> (24 - 8 * i));
  return address;
}

std::vector<PortRange> ports_of(const Tuple& tuple, int field) {
  if (!has_ports(tuple) || (tuple.low[field] == 0 && tuple.high[field] == 65535)) return {};
  return {{static_cast<uint16_t>(tuple.low[field]), static_cast<uint16_t>(tuple.high[field])}};
}

}  // namespace

FlowHeaders flow_of(const Header& h) {
  return {address_of(h.field[0]),
          address_of(h.field[1]),
          static_cast<uint16_t>(h.field[2]),
          static_cast<uint16_t>(h.field[3]),
          static_cast<uint8_t>(h.field[4]),
          0,
          0};
}

std::vector<FlowHeaders> flows_of(const std::vector<Header>& headers) {
  std::vector<FlowHeaders> flows;
  for (const Header& header : headers) flows.push_back(flow_of(header));
  return flows;
}

void RuleTable::put(uint32_t number, const Tuple& tuple, const std::vector<uint32_t>& workloads) {
  if (number >= held_.size()) held_.resize(number + 1);
  Held& held = held_[number];
  auto rule = rule_of(tuple);
  if (held.entry) {
    classifier_.remove(held.entry.get());
    release(held.tuple);
    replaced_.push_back(std::move(held.entry));
  }
  auto entry = std::make_unique<IndexEntry>();
  *entry = {std::to_string(number), number + 1, std::move(rule), (number + 1) * kSpacing, true, true};
  classifier_.add(entry.get(), workloads);
  held = {tuple, std::move(entry)};
}

void RuleTable::settled() {
  classifier_.settled();
  replaced_.clear();
  free_sets_.insert(free_sets_.end(), dropped_sets_.begin(), dropped_sets_.end());
  dropped_sets_.clear();
}

std::shared_ptr<const Rule> RuleTable::rule_of(const Tuple& tuple) {
  auto rule = std::make_shared<Rule>();
  if (Range range{tuple.low[0], tuple.high[0]}; range != kAnyAddress) rule->sources = set_of(range);
  if (Range range{tuple.low[1], tuple.high[1]}; range != kAnyAddress) rule->destinations = set_of(range);
  if (tuple.low[4] == tuple.high[4])
    rule->services = {{static_cast<int>(tuple.low[4]), -1, -1, ports_of(tuple, 3), ports_of(tuple, 2)}};
  return rule;
}

std::vector<uint32_t> RuleTable::set_of(Range range) {
  auto [set, fresh] = sets_.try_emplace(range);
  if (fresh) {
    if (free_sets_.empty()) free_sets_.push_back(next_set_++);
    set->second = {free_sets_.back(), 0};
    free_sets_.pop_back();
    classifier_.set_addresses(set->second.id, AddressSet({{address_of(range.first), address_of(range.second)}}));
  }
  ++set->second.users;
  return {set->second.id};
}

void RuleTable::release(const Tuple& tuple) {
  for (int side = 0; side < 2; ++side) {
    Range range{tuple.low[side], tuple.high[side]};
    if (range == kAnyAddress) continue;
    auto set = sets_.find(range);
    if (--set->second.users > 0) continue;
    classifier_.drop_addresses(set->second.id);
    dropped_sets_.push_back(set->second.id);
    sets_.erase(set);
  }
}

void ask(const Lookup& lookup, std::span<const Lookup::Question> questions, uint32_t* answers) {
  const IndexEntry* found[Lookup::kBatch];
  for (size_t from = 0; from < questions.size(); from += Lookup::kBatch) {
    size_t count = std::min(Lookup::kBatch, questions.size() - from);
    lookup.first_matches({&questions[from], count}, found);
    for (size_t i = 0; i < count; ++i) answers[from + i] = answer(found[i]);
  }
}

}  // namespace headgate::bench
