// How ports put an errno into words.
#pragma once

#include <cstring>
#include <string>

namespace headgate {

// "ENODEV (No such device)"
inline std::string errno_text(int error) {
  const char* name = strerrorname_np(error);
  return std::string(name != nullptr ? name : "error " + std::to_string(error)) + " (" + strerrordesc_np(error) + ")";
}

}  // namespace headgate
