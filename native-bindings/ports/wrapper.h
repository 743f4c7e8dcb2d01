// What wrappers of ports have in common: everything they do not change is the inner port's.
#pragma once

#include "ports/port.h"

namespace headgate {

class PortWrapper : public Port {
 public:
  explicit PortWrapper(std::unique_ptr<Port> inner) : inner_(std::move(inner)) {}

  PortCapabilities capabilities() const override { return inner_->capabilities(); }
  int descriptor(unsigned queue) const override { return inner_->descriptor(queue); }
  size_t receive(unsigned queue, std::span<Frame* const> frames) override { return inner_->receive(queue, frames); }
  void transmit(unsigned queue, std::span<Frame* const> frames, std::span<Reason> outcomes) override {
    inner_->transmit(queue, frames, outcomes);
  }
  std::string failure() const override { return inner_->failure(); }

 protected:
  const std::unique_ptr<Port> inner_;
};

}  // namespace headgate
