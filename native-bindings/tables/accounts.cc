#include "tables/accounts.h"

#include <algorithm>

namespace headgate {
namespace {

uint32_t share_of(std::initializer_list<uint32_t> settings, unsigned workers) {
  for (uint32_t setting : settings)
    if (setting) return setting / workers + (setting % workers != 0);
  return Account::kUnlimited;
}

}  // namespace

Limits limits_of_table(uint32_t connections) {
  return {std::max(1u, connections / 4), std::max(1u, connections / 16), std::max(1u, connections / 8)};
}

Accounts::Accounts(uint8_t* memory)
    : memory_(memory, kBytes), head_(memory_.at<Head>()), accounts_(memory_.at<Account>(64)) {
  if (head_->size) return;
  accounts_[0] = Account();
  head_->size = 1;
}

void Accounts::forget_records() {
  head_->size = std::clamp<uint32_t>(head_->size, 1, kMost);
  for (uint32_t i = 0; i < head_->size; ++i) std::ranges::fill(accounts_[i].records, 0u);
}

// Those of an engine before.
void Accounts::find_former() {
  looked_ = true;
  for (uint32_t number = 1; number < head_->size; ++number) {
    uint32_t& serial = accounts_[number].serial;
    if (serial && former_.emplace(serial, static_cast<uint16_t>(number)).second) continue;
    serial = 0;
    left_.push_back(static_cast<uint16_t>(number));
  }
}

void Accounts::adopt(const Generation& generation, const Limits& table, unsigned workers) {
  if (!looked_) find_former();
  std::erase_if(left_, [this](uint16_t number) {
    if (!accounts_[number].is_empty()) return false;
    free_.push_back(number);
    return true;
  });
  auto give = [&](Account& account, const Limits& own) {
    auto share = [&](uint32_t Limits::*field) {
      return share_of({own.*field, generation.limits.*field, table.*field}, workers);
    };
    const Limits limits{share(&Limits::connections), share(&Limits::half_open), share(&Limits::new_per_second)};
    if (limits.new_per_second != account.limits.new_per_second)
      account.rate = TokenBucket(limits.new_per_second, limits.new_per_second);
    account.limits = limits;
  };
  give(accounts_[0], {});
  by_place_.resize(std::max(by_place_.size(), generation.workloads.size()));
  for (size_t place = 0; place < by_place_.size(); ++place) {
    const Workload* workload = place < generation.workloads.size() ? generation.workloads[place].get() : nullptr;
    uint16_t& number = by_place_[place];
    if (number && (!workload || accounts_[number].serial != workload->serial)) {
      leave(number);
      number = 0;
    }
    if (!workload) continue;
    if (!number) number = take(workload->serial);
    if (number) give(accounts_[number], workload->limits);
  }
  for (const auto& [serial, number] : former_) leave(number);
  former_.clear();
}

uint16_t Accounts::take(uint32_t serial) {
  if (const auto former = former_.find(serial); former != former_.end()) {
    const uint16_t number = former->second;
    former_.erase(former);
    return number;
  }
  uint16_t number = 0;
  if (!free_.empty()) {
    number = free_.back();
    free_.pop_back();
  } else if (head_->size < kMost) {
    number = static_cast<uint16_t>(head_->size++);
  } else {
    return 0;
  }
  accounts_[number] = Account();
  accounts_[number].serial = serial;
  return number;
}

void Accounts::leave(uint16_t number) {
  accounts_[number].serial = 0;
  (accounts_[number].is_empty() ? free_ : left_).push_back(number);
}

}  // namespace headgate
