// The open devices of the process, shared by all of its JavaScript environments.
#pragma once

#include <memory>
#include <string>

#include "core/backend.h"
#include "cuda/backend.h"

namespace vgg::napi {

/** Returns the CPU device with `threads` threads (0: all that it may use) and the instruction set
 * ("": the best). Opened once, never closed. */
std::shared_ptr<Backend> openCpu(int threads, const std::string& instructionSet);

/** Returns GPU number `ordinal`. Opened once, never closed. Slow, so do not call it on the
 * JavaScript thread. Throws Error kDeviceLost if that GPU was lost earlier in this process. */
std::shared_ptr<Backend> openCuda(int ordinal, const cuda::CudaOptions& options);

/**
 * Permanently stops all work on GPUs. Must be called before exit(): what NVIDIA's libraries created
 * after a device was opened is destroyed before any exit handler that was registered at opening.
 */
void haltGpus();

/** Registers haltGpus to run in exit() before anything that exists now is destroyed. */
void haltGpusAtExit();

/** An open device. Devices are never closed, so the list is read without a lock. */
struct OpenDevice {
  std::shared_ptr<Backend> backend;
  const OpenDevice* next;  // the device that was opened before this one
};

/** Returns the device that was opened last. */
const OpenDevice* openDevices();

/** Allocates nothing. */
template <typename Visit>
void forEachOpenDevice(const Visit& visit) {
  for (const OpenDevice* open = openDevices(); open != nullptr; open = open->next)
    visit(*open->backend);
}

}  // namespace vgg::napi
