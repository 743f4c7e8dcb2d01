#include "tables/accounts.h"

#include <algorithm>

namespace headgate {
namespace {

constexpr size_t kMostAccounts = 65536;  // a record has 16 bits for the number

uint32_t share_of(std::initializer_list<uint32_t> settings, unsigned workers) {
  for (uint32_t setting : settings)
    if (setting) return setting / workers + (setting % workers != 0);
  return Account::kUnlimited;
}

}  // namespace

Limits limits_of_table(uint32_t connections) {
  return {std::max(1u, connections / 4), std::max(1u, connections / 16), std::max(1u, connections / 8)};
}

void Accounts::adopt(const Generation& generation, const Limits& table, unsigned workers) {
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
    if (!number && (number = take())) accounts_[number].serial = workload->serial;
    if (number) give(accounts_[number], workload->limits);
  }
}

uint16_t Accounts::take() {
  if (!free_.empty()) {
    const uint16_t number = free_.back();
    free_.pop_back();
    accounts_[number] = {};
    return number;
  }
  if (accounts_.size() == kMostAccounts) return 0;
  accounts_.emplace_back();
  return static_cast<uint16_t>(accounts_.size() - 1);
}

void Accounts::leave(uint16_t number) {
  accounts_[number].serial = 0;
  (accounts_[number].is_empty() ? free_ : left_).push_back(number);
}

}  // namespace headgate
