// For tests of upgrades: a build (binding.gyp, headgate_next) whose records have another layout. A field more stands at
// their beginning, so everything in them moves. It converts from and to the records of this version.
#pragma once

#include <cstring>

#include "pipeline/convert.h"

namespace headgate {

constexpr size_t kMoved = offsetof(Connection, address_tails);

constexpr RecordLayout kNextLayoutFormer[] = {{
    ConnectionTable::kLayout - 1,
    sizeof(Connection) - kMoved,
    [](const uint8_t* from, Connection& to) {
      memcpy(reinterpret_cast<uint8_t*>(&to) + kMoved, from, sizeof(Connection) - kMoved);
      to.next_layout = to.packets(0) + to.packets(1);
    },
    [](const Connection& from, uint8_t* to) {
      memcpy(to, reinterpret_cast<const uint8_t*>(&from) + kMoved, sizeof(Connection) - kMoved);
    },
}};

}  // namespace headgate
