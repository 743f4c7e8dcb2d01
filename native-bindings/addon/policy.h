// What one engine tells the next: the policy as a delta (src/engine/messages.ts, but for how workloads are attached,
// which the engine's JavaScript knows) and the numbers that it goes by.
#pragma once

#include <napi.h>

#include "tables/publisher.h"

namespace headgate {

Napi::Object write_delta(Napi::Env env, const Delta& delta);
Napi::Object write_numbering(Napi::Env env, const Publisher::Numbering& numbering);
Publisher::Numbering read_numbering(const Napi::Object& object);

}  // namespace headgate
