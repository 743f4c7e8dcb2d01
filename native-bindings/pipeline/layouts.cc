// The layouts of records that this version reads and writes beside its own (pipeline/convert.h).
//
// Whoever changes the record of a connection gives ConnectionTable::kLayout the next number, and writes down here what
// the one before looked like and how each becomes the other. What the former one did not say gets the value of a
// connection of which nothing more is known. No layout has been released yet.
#include "pipeline/convert.h"

#ifdef HEADGATE_NEXT_LAYOUT
#include "test/next_layout.h"
#endif

namespace headgate {

std::span<const RecordLayout> former_layouts() {
#ifdef HEADGATE_NEXT_LAYOUT
  return kNextLayoutFormer;
#else
  return {};
#endif
}

}  // namespace headgate
