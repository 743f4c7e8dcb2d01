// From the engine's reports to JavaScript values, in the shapes of src/engine/messages.ts.
#pragma once

#include <napi.h>

#include "pipeline/engine.h"

namespace headgate {

Napi::Object write_inventory(Napi::Env env, const Publisher::InventoryView& inventory, uint64_t generation);
Napi::Object write_stats(Napi::Env env, const StatsReport& stats);
Napi::Object write_flows(Napi::Env env, const std::vector<FlowReport>& flows, uint64_t total);
// A flow as its first frame had it; ports are 0 where the protocol has none.
Napi::Object write_flow_headers(Napi::Env env, const FlowHeaders& flow);
Napi::Object write_flow_log(Napi::Env env, const FlowLogReport& log);
Napi::Array write_logs(Napi::Env env, const std::vector<LogReport>& logs);

}  // namespace headgate
