// The list of stages, and how a batch goes through it.
#pragma once

#include <span>

#include "stages/stage.h"

namespace headgate {

// Every stage in order: the file pipeline.cc is the one to read first.
std::span<const Stage> pipeline_stages();

// Where frames that another worker handed over go on.
size_t resume_stage();

// Runs the stages over the frames, each stage over all that are left. `frames` is used up as working space.
void run_stages(std::span<const Stage> stages, std::span<Frame*> frames, Context& ctx);

}  // namespace headgate
