// How a batch goes through the stages.
#pragma once

#include <span>

#include "stages/stage.h"

namespace headgate {

// What a worker does with a batch: `run` for frames just received, `resume` for those that another worker handed over.
// Both use up `frames` as working space.
struct Pipeline {
  void (*run)(std::span<Frame*> frames, Context& ctx);
  void (*resume)(std::span<Frame*> frames, Context& ctx);
};

// Every stage in order: the file pipeline.cc is the one to read first.
extern const Pipeline kPipeline;

constexpr size_t kResumeStage = 3;  // where frames that were handed over go on
constexpr size_t kTrackStage = 5;   // before it, every frame's bucket is on its way to the cache

// The stages, for those who want to go through them one by one.
std::span<const Stage> pipeline_stages();

}  // namespace headgate
