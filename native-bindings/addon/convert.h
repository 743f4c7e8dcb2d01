// From JavaScript values to the engine's types. Every function checks the type of what it reads and throws
// Napi::TypeError that names the field; meaning is checked behind (tables/publisher_check.cc).
#pragma once

#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "tables/delta.h"

namespace headgate {

std::string read_string(const Napi::Object& object, const char* field);
std::optional<std::string> read_optional_string(const Napi::Object& object, const char* field);
// A whole number in [0, most].
std::optional<uint32_t> read_optional_number(const Napi::Object& object, const char* field, uint32_t most);
bool read_bool(const Napi::Object& object, const char* field);
std::optional<std::vector<std::string>> read_optional_strings(const Napi::Object& object, const char* field);
Direction read_direction(const Napi::Value& value);

Delta read_delta(const Napi::Object& object);
FlowHeaders read_flow(const Napi::Object& object);
Offload read_offload(const Napi::Object& object);

}  // namespace headgate
