#include "cuda/parameters.h"

#include <algorithm>
#include <utility>

#include "core/convert.h"
#include "core/memory/host_memory.h"
#include "core/random.h"
#include "cuda/kernels/launch.h"

namespace vgg::cuda {
namespace {

constexpr size_t kBlock = size_t{4} << 20;  // elements that are made or moved at a time

constexpr int64_t kMatrixElements = 4;  // per thread of writeMatrix and readMatrix

size_t matrixBlocks(size_t elements) {
  const auto threads = geometry::ceilDiv(static_cast<int64_t>(elements), kMatrixElements);
  return static_cast<size_t>(geometry::blocksFor(threads));
}

}  // namespace

CudaParameters::CudaParameters(Context& context, Kernels& kernels, std::vector<ParameterSpec> specs,
                               Precision precision, std::atomic<size_t>* counter)
    : context_(context),
      kernels_(kernels),
      specs_(std::move(specs)),
      precision_(precision),
      counter_(counter),
      stored_(specs_.size()) {}

void CudaParameters::synchronize() {
  context_.call(context_.api().cuStreamSynchronize, context_.compute());
}

std::unique_ptr<DeviceMemory> CudaParameters::zeros(size_t bytes) {
  auto memory = std::make_unique<DeviceMemory>(context_, bytes, counter_);
  context_.call(context_.api().cuMemsetD8Async, memory->address(), 0, std::max<size_t>(bytes, 1),
                context_.compute());
  return memory;
}

CUdeviceptr CudaParameters::denseForWriting(int index) {
  Stored& stored = stored_[index];
  if (stored.dense == nullptr) stored.dense = zeros(count(index) * sizeof(float));
  return stored.dense->address();
}

const float* CudaParameters::dense(int index) {
  return index == kNone ? nullptr : reinterpret_cast<const float*>(denseForWriting(index));
}

void CudaParameters::write(const std::vector<ParameterWrite>& writes) {
  context_.enter();
  size_t converted = 0;
  size_t staged = 0;
  for (const ParameterWrite& write : writes) {
    if (write.dtype != DType::kFloat32) converted = std::max(converted, write.count);
    if (stored_[write.index].matrix == nullptr) {
      denseForWriting(write.index);
    } else {
      staged = std::max(staged, write.count);
    }
  }
  const auto floats = HostMemory::allocate(std::min(kBlock, converted) * sizeof(float));
  const auto staging = makeStaging(staged);
  // From here on only the GPU can fail.
  for (const auto& [index, first, from, dtype, count] : writes) {
    if (dtype == DType::kFloat32) {
      writeFloats(index, first, reinterpret_cast<const float*>(from), count, staging.get());
      continue;
    }
    size_t at = 0;
    do {
      const size_t length = std::min(kBlock, count - at);
      toFloat32(floats->floats(), from + at * byteSize(dtype), dtype, length);
      writeFloats(index, first + at, floats->floats(), length, staging.get());
      at += length;
    } while (at < count);
  }
}

std::unique_ptr<DeviceMemory> CudaParameters::makeStaging(size_t count) {
  if (count == 0) return nullptr;
  return std::make_unique<DeviceMemory>(context_, std::min(kBlock, count) * sizeof(float), nullptr);
}

void CudaParameters::writeFloats(int index, size_t first, const float* from, size_t count,
                                 const DeviceMemory* staging) {
  Stored& stored = stored_[index];
  if (count > 0) {
    const auto upload = [&](CUdeviceptr to, const float* source, size_t length) {
      context_.call(context_.api().cuMemcpyHtoDAsync_v2, to, source, length * sizeof(float),
                    context_.compute());
    };
    if (stored.matrix == nullptr) {
      upload(denseForWriting(index) + first * sizeof(float), from, count);
    } else {
      for (size_t at = 0; at < count; at += kBlock) {
        const size_t length = std::min(kBlock, count - at);
        upload(staging->address(), from + at, length);
        writeMatrix(*stored.matrix, staging->as<float>(), first + at, length);
      }
    }
    synchronize();  // the caller may reuse its memory after this
  }
  stored.isWritten = true;
  ++stored.version;
}

void CudaParameters::writeMatrix(const Matrix& matrix, const float* from, size_t first,
                                 size_t count) {
  const CUfunction function =
      kernels_.function("pack", std::string("writeMatrix_") + suffixOf(type()));
  kernels_.launch(context_.compute(), function, {matrixBlocks(count)}, geometry::kThreads, from,
                  matrix.memory->address(), static_cast<long long>(first),
                  static_cast<long long>(count), static_cast<int>(matrix.channels),
                  static_cast<int>(matrix.pixels), static_cast<int>(matrix.padded));
}

/** Copies elements [first, first + count) in row-major order to the host. */
void CudaParameters::readFloats(int index, size_t first, size_t count, float* to) {
  const Stored& stored = stored_[index];
  const auto download = [&](CUdeviceptr from) {
    context_.call(context_.api().cuMemcpyDtoHAsync_v2, to, from, count * sizeof(float),
                  context_.compute());
    synchronize();
  };
  if (stored.matrix == nullptr) {
    download(stored.dense->address() + first * sizeof(float));
    return;
  }
  const Matrix& matrix = *stored.matrix;
  const DeviceMemory staging(context_, count * sizeof(float), nullptr);
  const CUfunction function =
      kernels_.function("pack", std::string("readMatrix_") + suffixOf(type()));
  kernels_.launch(context_.compute(), function, {matrixBlocks(count)}, geometry::kThreads,
                  matrix.memory->address(), staging.address(), static_cast<long long>(first),
                  static_cast<long long>(count), static_cast<int>(matrix.channels),
                  static_cast<int>(matrix.pixels), static_cast<int>(matrix.padded));
  download(staging.address());
}

void CudaParameters::read(int index, size_t first, size_t total, float* to) {
  context_.enter();
  if (!stored_[index].isWritten) throw missingParameter(specs_[index]);
  for (size_t at = 0; at < total; at += kBlock)
    readFloats(index, first + at, std::min(kBlock, total - at), to + at);
}

/** make(first, count, to) yields elements of the row-major parameter on the host. */
template <typename Make>
void CudaParameters::make(int index, const Make& make) {
  context_.enter();
  const size_t total = count(index);
  const auto floats = HostMemory::allocate(std::min(kBlock, total) * sizeof(float));
  const auto staging = stored_[index].matrix == nullptr ? nullptr : makeStaging(total);
  for (size_t at = 0; at < total; at += kBlock) {
    const size_t length = std::min(kBlock, total - at);
    make(at, length, floats->floats());
    writeFloats(index, at, floats->floats(), length, staging.get());
  }
}

void CudaParameters::fill(int index, float value) {
  make(index, [&](size_t, size_t length, float* to) { std::fill_n(to, length, value); });
}

void CudaParameters::fillNormal(int index, float standardDeviation, uint64_t seed,
                                uint32_t stream) {
  make(index, [&](size_t first, size_t length, float* to) {
    vgg::fillNormal(to, first, length, seed, stream, standardDeviation);
  });
}

}  // namespace vgg::cuda
