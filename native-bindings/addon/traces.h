// Traces between JavaScript and the engine, in the shapes of src/engine/trace-messages.ts; a frame's bytes are a
// Buffer.
#pragma once

#include <napi.h>

#include "pipeline/engine.h"

namespace headgate {

GivenFrame read_given_frame(const Napi::Value& value);
TraceRequest read_trace_request(const Napi::Object& object);
Napi::Array write_traces(Napi::Env env, const Engine& engine, const std::vector<std::unique_ptr<TraceRecord>>& records);

// compileFilter(expression): the program of a pcap-filter(7) expression over Ethernet frames, as [code, jt, jf, k]
// each.
Napi::Value compile_filter(const Napi::CallbackInfo& info);

}  // namespace headgate
