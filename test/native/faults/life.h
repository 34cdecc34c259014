// A model's life for the fault tests: a small network is made, filled, run and freed, step by step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../../fake-cuda/control.h"
#include "cuda/backend.h"

/** What went wrong. */
struct Problem {
  std::string what;
};

/** Throws a Problem if the condition does not hold. */
void expect(bool holds, const std::string& what);

/** The fake libraries' control, once they are loaded. */
extern FakeCudaControl* control;

constexpr size_t kBatch = 3;

/** What the steps of a model's life share. */
struct Life {
  std::shared_ptr<vgg::cuda::CudaBackend> backend;
  std::shared_ptr<vgg::Parameters> parameters;
  std::shared_ptr<vgg::Executable> executable, small;
  std::shared_ptr<vgg::Memory> input, output, numbers, rectified;
  std::vector<float> scores = std::vector<float>(kBatch * 7);
};

/** Lives the whole life, with the failures that are armed; a step that failed is tried again.
 * Returns the codes seen. */
std::vector<vgg::Code> live(Life& life, bool isSticky);

/** Frees all that is alive, on the device's thread where the addon does. */
void end(Life& life);
