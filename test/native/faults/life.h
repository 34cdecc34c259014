// A model's life for the fault tests: creates, fills, runs and frees a small network step by step.
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

/** The fake libraries' control block, once they are loaded. */
extern FakeCudaControl* control;

constexpr size_t kBatch = 3;

/** The objects that the steps of a model's life share. */
struct Life {
  std::shared_ptr<vgg::cuda::CudaBackend> backend;
  std::shared_ptr<vgg::Parameters> parameters;
  std::shared_ptr<vgg::Executable> executable, small;
  std::shared_ptr<vgg::Memory> input, output, numbers, rectified;
  std::vector<float> scores = std::vector<float>(kBatch * 7);
};

/** Runs all steps of a life with the armed failure. A step that failed is tried again. Returns the
 * codes seen. */
std::vector<vgg::Code> live(Life& life, bool isSticky);

/** Frees all live objects, on the device's thread if the addon does so. */
void end(Life& life);
