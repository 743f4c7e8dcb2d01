// What is known of connections whose rule asks for a helper, and of those that they announced (tables/expectations.h).
//
// Of the former: for each side the sequence number at which a line of it begins. Of the latter: the flow of the
// connection that announced it, since they are judged as that one: by its rules for as long as they live.
//
// One array by the record's place. Its memory is touched only where such connections are, and may stand in a pool.
#pragma once

#include "pools/memory.h"
#include "tables/connections.h"
#include "tables/expectations.h"

namespace headgate {

class Helpers {
 public:
  // Behind the SYN, or a segment that ended a line.
  struct LineStart {
    bool known = false;
    uint32_t at = 0;
  };
  struct Held {
    uint64_t of = 0;  // mark_of the connection
    Parent parent = {};
    LineStart line[2] = {};
  };

  static constexpr size_t bytes_for(uint32_t connections) { return (size_t{connections} + 1) * sizeof(Held); }
  // For a table with room for so many connections. `memory`: bytes_for(connections), zeroed or as earlier ones left
  // them; null: its own.
  explicit Helpers(uint32_t connections, uint8_t* memory = nullptr)
      : memory_(memory, bytes_for(connections)), held_(memory_.at<Held>()) {}

  // Of a connection of the table; a new one has nothing said about it.
  Held& of(const ConnectionTable& table, const Connection& c) {
    Held& held = held_[table.place_of(c)];
    if (held.of != mark_of(c)) held = {.of = mark_of(c)};
    return held;
  }
  // Null: nothing is known of it.
  const Held* find(const ConnectionTable& table, const Connection& c) const {
    const Held& held = held_[table.place_of(c)];
    return held.of == mark_of(c) ? &held : nullptr;
  }

 private:
  TableMemory memory_;
  Held* held_;
};

}  // namespace headgate
