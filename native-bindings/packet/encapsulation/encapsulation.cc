#include "packet/encapsulation/encapsulation.h"

namespace headgate {
namespace {

constexpr const Encapsulation* kAll[] = {&kVxlan, &kGeneve, &kGre, &kNvgre, &kNsh, &kNshEthernet};

}  // namespace

std::span<const Encapsulation* const> encapsulations() {
  return kAll;
}

const Encapsulation* find_encapsulation(std::string_view name) {
  for (const Encapsulation* one : kAll)
    if (name == one->name) return one;
  return nullptr;
}

}  // namespace headgate
