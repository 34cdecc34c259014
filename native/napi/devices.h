// The open devices of the process, shared by all of its JavaScript environments.
#pragma once

#include <memory>
#include <string>

#include "core/backend.h"
#include "cuda/backend.h"

namespace vgg::napi {

/** The CPU with so many threads (0: all it may use) and that instruction set ("": the best). Opened
 * once, never closed. */
std::shared_ptr<Backend> openCpu(int threads, const std::string& instructionSet);

/** GPU number `ordinal`. Opened once, never closed. Takes a while: not on the JavaScript thread.
 * Throws Error kDeviceLost if that GPU stopped earlier in this process. */
std::shared_ptr<Backend> openCuda(int ordinal, const cuda::CudaOptions& options);

/**
 * Stops all that runs on GPUs, and for good. To be called before exit(): NVIDIA's libraries destroy
 * what they made after a device was opened before they come to any handler that was set up then.
 */
void haltGpus();

/** Halts them in exit() before anything is destroyed that exists by now. */
void haltGpusAtExit();

/** A device that is open. None is ever closed: the list is read without a lock. */
struct OpenDevice {
  std::shared_ptr<Backend> backend;
  const OpenDevice* next;  // opened before
};

/** The one opened last. */
const OpenDevice* openDevices();

/** Allocates nothing. */
template <typename Visit>
void forEachOpenDevice(const Visit& visit) {
  for (const OpenDevice* open = openDevices(); open != nullptr; open = open->next)
    visit(*open->backend);
}

}  // namespace vgg::napi
