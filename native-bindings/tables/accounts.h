// What each workload has begun: how many of its connections stand in a worker's table, and what it may begin yet.
//
// A connection is on the account of the workload that sent its first frame, for as long as its record lives. Records
// name the account by number, not by the workload's place: a place is given to another workload while records of the
// last one are still there. Such an account is used again when its last record has gone.
//
// With several workers each has accounts of its own and its share of every limit, as it has its share of the table: so
// nothing here is shared between threads.
//
// Accounts stand in memory that an engine which follows another goes on with: each keeps its workload's serial.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "pools/memory.h"
#include "tables/generation.h"
#include "tables/token_bucket.h"

namespace headgate {

// What a record is to its account.
enum class Standing : uint8_t {
  kOver,      // denied or closed: nobody's working connection, and the first to go when the table is full
  kHalfOpen,  // not answered yet
  kWorking,
  kCount
};

struct Account {
  static constexpr uint32_t kUnlimited = 1'000'000'000;

  uint32_t serial = 0;  // of the workload; 0: it is gone
  uint32_t records[static_cast<size_t>(Standing::kCount)] = {};
  uint64_t begun = 0;  // records ever
  Limits limits = {kUnlimited, kUnlimited, kUnlimited};
  TokenBucket rate{kUnlimited, kUnlimited};

  uint32_t half_open() const { return records[static_cast<int>(Standing::kHalfOpen)]; }
  uint32_t open() const { return half_open() + records[static_cast<int>(Standing::kWorking)]; }
  bool is_empty() const { return !open() && !records[static_cast<int>(Standing::kOver)]; }
};

// What a workload may begin where nobody has said otherwise: shares of a table for so many connections.
Limits limits_of_table(uint32_t connections);

class Accounts {
 public:
  static constexpr size_t kMost = 65536;  // a record has 16 bits for the number
  static constexpr size_t kBytes = 64 + kMost * sizeof(Account);

  // `memory`: kBytes, zeroed or as earlier accounts left them; null: its own.
  explicit Accounts(uint8_t* memory = nullptr);

  // Gives each workload an account with this worker's share of its limits: those of the workload, else of the host,
  // else `table`.
  void adopt(const Generation& generation, const Limits& table, unsigned workers);

  // The number of the account of the workload at a place; 0: that of all who have none of their own.
  uint16_t number_of(uint32_t place) const { return place < by_place_.size() ? by_place_[place] : uint16_t{0}; }
  Account& operator[](uint16_t number) { return accounts_[number]; }
  const Account& operator[](uint16_t number) const { return accounts_[number]; }
  size_t size() const { return head_->size; }
  // For a table that counts its records anew.
  void forget_records();

 private:
  struct Head {
    uint32_t size;
  };
  void find_former();
  uint16_t take(uint32_t serial);
  void leave(uint16_t number);

  TableMemory memory_;
  Head* head_;
  Account* accounts_;
  bool looked_ = false;                              // whether what follows knows of the accounts that were there
  std::unordered_map<uint32_t, uint16_t> former_{};  // by serial: of an engine before, until its workload comes
  std::vector<uint16_t> by_place_;
  std::vector<uint16_t> free_;
  std::vector<uint16_t> left_;  // their workload is gone, their records were not when it was last looked
};

}  // namespace headgate
