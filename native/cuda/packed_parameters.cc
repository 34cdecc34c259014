// Makes what the kernels and libraries read from the parameters: on first demand, and anew after a
// write.
#include <utility>

#include "core/memory/host_memory.h"
#include "cuda/kernels/launch.h"
#include "cuda/parameters.h"

namespace vgg::cuda {
namespace {

size_t blocks(int64_t threads) { return static_cast<size_t>(geometry::blocksFor(threads)); }

std::string keyOf(const Conv2d& conv, const FoldedNorm& norm) {
  std::string key = std::to_string(conv.weight) + " " + std::to_string(conv.bias);
  if (norm) {
    for (const int index : parametersOf(*norm)) key += " " + std::to_string(index);
    key += " " + std::to_string(norm->epsilon);
  }
  return key;
}

}  // namespace

Matrix CudaParameters::makeMatrix(int weight, int64_t channels, int64_t pixels) {
  const int64_t padded = paddedCount(channels, type());
  const int64_t rows = paddedCount(specs_[weight].shape[0], type());
  const size_t bytes = checkedMultiply(static_cast<size_t>(rows * pixels),
                                       static_cast<size_t>(padded) * byteSize(type()));
  return {zeros(bytes), rows, pixels * padded, channels, pixels, padded};
}

const Matrix& CudaParameters::matrix(int weight, int64_t channels, int64_t pixels) {
  Stored& stored = stored_[weight];
  if (stored.matrix == nullptr) {
    auto packed = std::make_unique<Matrix>(makeMatrix(weight, channels, pixels));
    if (stored.isWritten) {
      writeMatrix(*packed, dense(weight), 0, count(weight));
      synchronize();
    }
    stored.dense = nullptr;
    stored.matrix = std::move(packed);
  }
  if (stored.matrix->channels == channels) return *stored.matrix;
  const std::pair key(weight, channels);
  if (const auto known = matrixCopies_.find(key); known != matrixCopies_.end())
    return known->second;
  const Matrix& copy =
      matrixCopies_.emplace(key, makeMatrix(weight, channels, pixels)).first->second;
  derived_.push_back({{weight}, [this, weight, &copy] {
                        const size_t total = count(weight);
                        const auto floats = HostMemory::allocate(total * sizeof(float));
                        read(weight, 0, total, floats->floats());
                        const DeviceMemory staging(context_, total * sizeof(float), nullptr);
                        context_.call(context_.api().cuMemcpyHtoDAsync_v2, staging.address(),
                                      floats->floats(), total * sizeof(float), context_.compute());
                        writeMatrix(copy, staging.as<float>(), 0, total);
                        synchronize();
                      }});
  return copy;
}

std::shared_ptr<const Transposed> CudaParameters::transposed(int weight, const Matrix& matrix) {
  std::weak_ptr<const Transposed>& kept = transposed_[&matrix];
  if (auto known = kept.lock()) return known;
  const auto elements = static_cast<size_t>(matrix.rows * matrix.columns);
  const std::shared_ptr<const Transposed> made(
      new Transposed{zeros(elements * byteSize(type())), zeros(sizeof(int))});
  kept = made;
  derived_.push_back({{weight}, [this, &matrix, copy = kept] {
                        const auto packed = copy.lock();
                        if (packed)
                          transposeInto(*packed, matrix.memory->address(), matrix.rows,
                                        matrix.columns);
                      }});
  return made;
}

void CudaParameters::transposeInto(const Transposed& to, CUdeviceptr from, int64_t rows,
                                   int64_t columns) {
  context_.call(context_.api().cuMemsetD8Async, to.hasSpecial->address(), 0, sizeof(int),
                context_.compute());
  kernels_.launch(context_.compute(),
                  kernels_.function("pack", std::string("transposeMatrix_") + suffixOf(type())),
                  {static_cast<size_t>(geometry::matrixTiles(columns)),
                   static_cast<size_t>(geometry::matrixTiles(rows))},
                  geometry::kThreads, from, to.memory->address(), to.hasSpecial->address(),
                  static_cast<int>(rows), static_cast<int>(columns));
}

Transposed CudaParameters::transpose(CUdeviceptr from, int64_t rows, int64_t columns) {
  const auto bytes = static_cast<size_t>(rows * columns) * byteSize(type());
  Transposed made{std::make_unique<DeviceMemory>(context_, bytes, nullptr),
                  std::make_unique<DeviceMemory>(context_, sizeof(int), nullptr)};
  transposeInto(made, from, rows, columns);
  synchronize();  // some kernels read weights early
  return made;
}

/** Computes bias · scale + shift if a batch normalisation gives an affine. */
void CudaParameters::packBias(const DeviceMemory& values, const DeviceMemory& typed, int bias,
                              const Affine* affine, int64_t count) {
  const int64_t padded = paddedCount(count, type());
  const CUfunction function =
      kernels_.function("pack", std::string("packBias_") + suffixOf(type()));
  kernels_.launch(context_.compute(), function, {blocks(padded)}, geometry::kThreads, dense(bias),
                  affine == nullptr ? CUdeviceptr{0} : affine->scale->address(),
                  affine == nullptr ? CUdeviceptr{0} : affine->shift->address(), values.address(),
                  typed.address(), static_cast<int>(count), static_cast<int>(padded));
}

const Bias& CudaParameters::bias(int bias, int64_t count) {
  // Layers without a bias share zeros of their length.
  const int key = bias == kNone ? -static_cast<int>(count) : bias;
  if (const auto known = biases_.find(key); known != biases_.end()) return known->second;
  const auto padded = static_cast<size_t>(paddedCount(count, type()));
  Bias made{zeros(padded * sizeof(float)), zeros(padded * byteSize(type()))};
  const Bias& packed = biases_.emplace(key, std::move(made)).first->second;
  if (bias != kNone) {
    derived_.push_back({{bias}, [=, this, &packed] {
                          packBias(*packed.values, *packed.typed, bias, nullptr, count);
                        }});
  }
  return packed;
}

const Affine& CudaParameters::affine(const BatchNorm& norm) {
  std::string key;
  for (const int index : parametersOf(norm)) key += std::to_string(index) + " ";
  key += std::to_string(norm.epsilon);
  if (const auto known = affines_.find(key); known != affines_.end()) return known->second;
  const int64_t channels = specs_[norm.weight].shape[0];
  const int64_t padded = paddedCount(channels, type());
  const size_t bytes = static_cast<size_t>(padded) * sizeof(float);
  Affine made{zeros(bytes), zeros(bytes)};
  const Affine& packed = affines_.emplace(key, std::move(made)).first->second;
  derived_.push_back({{norm.weight, norm.bias, norm.mean, norm.variance}, [=, this, &packed] {
                        kernels_.launch(
                            context_.compute(), kernels_.function("pack", "foldBatchNorm"),
                            {blocks(padded)}, geometry::kThreads, dense(norm.weight),
                            dense(norm.bias), dense(norm.mean), dense(norm.variance), norm.epsilon,
                            packed.scale->address(), packed.shift->address(),
                            static_cast<int>(channels), static_cast<int>(padded));
                      }});
  return packed;
}

const Filter& CudaParameters::makeFilter(const std::string& key, const Conv2d& conv,
                                         const FoldedNorm& folded, bool isFirst) {
  if (const auto known = filters_.find(key); known != filters_.end()) return known->second;
  const Shape& shape = specs_[conv.weight].shape;
  const int64_t taps = shape[2] * shape[3];
  const int64_t paddedFilters = paddedCount(shape[0], type());
  const int64_t paddedChannels = paddedCount(shape[1], type());
  const auto elements = static_cast<size_t>(isFirst ? shape[0] * geometry::kFirstLayerRow
                                                    : paddedFilters * taps * paddedChannels);
  const auto filters = static_cast<size_t>(paddedFilters);
  // The affine precedes the filter in `derived_`, so that it is up to date when the filter is
  // packed.
  const Affine* norm = folded ? &affine(*folded) : nullptr;
  Filter made{zeros(elements * byteSize(type())), zeros(filters * sizeof(float)),
              zeros(filters * byteSize(type()))};
  const Filter& filter = filters_.emplace(key, std::move(made)).first->second;
  derived_.push_back(
      {parametersOf(conv, folded), [=, this, &filter] {
         const CUdeviceptr scale = norm == nullptr ? 0 : norm->scale->address();
         if (isFirst) {
           const std::string suffix = precision_ == Precision::kTf32 ? "tf32" : suffixOf(type());
           kernels_.launch(
               context_.compute(), kernels_.function("pack", "packFirstFilter_" + suffix),
               {blocks(shape[0] * geometry::kFirstLayerRow)}, geometry::kThreads,
               dense(conv.weight), scale, filter.weight->address(), static_cast<int>(shape[0]));
         } else {
           const auto vectors =
               paddedFilters * taps * paddedChannels * static_cast<int64_t>(byteSize(type())) / 16;
           kernels_.launch(context_.compute(),
                           kernels_.function("pack", std::string("packFilter_") + suffixOf(type())),
                           {blocks(vectors)}, geometry::kThreads, dense(conv.weight), scale,
                           filter.weight->address(), static_cast<int>(shape[0]),
                           static_cast<int>(shape[1]), static_cast<int>(taps),
                           static_cast<int>(paddedFilters), static_cast<int>(paddedChannels));
         }
         packBias(*filter.bias, *filter.typedBias, conv.bias, norm, shape[0]);
       }});
  return filter;
}

const Filter& CudaParameters::filter(const Conv2d& conv, const FoldedNorm& norm) {
  return makeFilter(keyOf(conv, norm), conv, norm, false);
}

const Filter& CudaParameters::firstFilter(const Conv2d& conv, const FoldedNorm& norm) {
  return makeFilter("first " + keyOf(conv, norm), conv, norm, true);
}

void CudaParameters::refresh(const std::vector<int>& used) {
  for (const int index : used) {
    if (!stored_[index].isWritten) throw missingParameter(specs_[index]);
  }
  bool isPacked = false;
  for (Derived& entry : derived_) {
    uint64_t version = 0;
    bool isComplete = true;
    for (const int index : entry.sources) {
      version += stored_[index].version;
      isComplete = isComplete && stored_[index].isWritten;
    }
    if (!isComplete || version == entry.version) continue;
    entry.pack();
    entry.version = version;
    isPacked = true;
  }
  // Some kernels read weights before the previous kernel on the stream has ended.
  if (isPacked) synchronize();
}

}  // namespace vgg::cuda
