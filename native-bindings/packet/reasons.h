// Why a frame was dropped. One list, reasons.def, makes the enum, the name in metrics and the text.
#pragma once

#include <cstddef>
#include <cstdint>

namespace headgate {

enum class Reason : uint8_t {
  kNone = 0,
#define REASON(id, name, text) id,
#include "packet/reasons.def"
#undef REASON
  kCount
};

constexpr size_t kReasons = static_cast<size_t>(Reason::kCount);

struct ReasonText {
  const char* name;
  const char* text;
};

constexpr ReasonText kReasonTexts[kReasons] = {
    {"none", "not dropped"},
#define REASON(id, name, text) {name, text},
#include "packet/reasons.def"
#undef REASON
};

}  // namespace headgate
