// Holds the parameters of a model on a GPU, as they were written and as the kernels and libraries
// need them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/fold.h"
#include "cuda/nvidia/nvrtc.h"
#include "cuda/plan/choices.h"

namespace vgg::cuda {

/** A weight (outputs, channels · pixels) as (rows, pixels, padded channels), padded with zeros. */
struct Matrix {
  std::unique_ptr<DeviceMemory> memory;
  int64_t rows, columns;  // as they are stored
  int64_t channels, pixels, padded;
};

/** A transposed matrix, (columns, rows), for a kernel that reads few of its columns. */
struct Transposed {
  std::unique_ptr<DeviceMemory> memory;
  std::unique_ptr<DeviceMemory> hasSpecial;  // one int: whether any element is infinite or NaN
};

/** Filters (K, R, S, C) with batch normalisation folded in, and biases, padded. */
struct Filter {
  std::unique_ptr<DeviceMemory> weight, bias, typedBias;  // bias: float32
};

/** scale and shift per channel, float32, padded with zeros. */
struct Affine {
  std::unique_ptr<DeviceMemory> scale, shift;
};

/** A bias in float32 and in the type of the activations, padded with zeros. */
struct Bias {
  std::unique_ptr<DeviceMemory> values, typed;
};

/** Only the device's thread uses it, except for `specs` and construction. */
class CudaParameters final : public Parameters {
 public:
  CudaParameters(Context& context, Kernels& kernels, std::vector<ParameterSpec> specs,
                 Precision precision, std::atomic<size_t>* counter);

  [[nodiscard]] const std::vector<ParameterSpec>& specs() const override { return specs_; }
  [[nodiscard]] bool isWritten(int index) const override { return stored_[index].isWritten; }
  void write(const std::vector<ParameterWrite>& writes) override;
  void read(int index, size_t first, size_t count, float* to) override;
  void fill(int index, float value) override;
  void fillNormal(int index, float standardDeviation, uint64_t seed, uint32_t stream) override;

  [[nodiscard]] Precision precision() const { return precision_; }
  [[nodiscard]] Type type() const { return typeOf(precision_); }

  /** The data that a compiled program reads at run time. They are made on first demand and keep
   * their address. `refresh` brings them up to date. */
  const Matrix& matrix(int weight, int64_t channels, int64_t pixels);
  /** Returns a transposed copy of a matrix of this weight. All its holders share it. Throws Error
   * kOutOfMemory. */
  std::shared_ptr<const Transposed> transposed(int weight, const Matrix& matrix);
  /** Returns a transposed copy of (rows, columns) elements. Throws Error kOutOfMemory. */
  Transposed transpose(CUdeviceptr from, int64_t rows, int64_t columns);
  const Bias& bias(int bias, int64_t count);
  const Filter& filter(const Conv2d& conv, const FoldedNorm& norm);
  /** The filter as firstLayer needs it: (K, 32), with taps and channels in one row. */
  const Filter& firstFilter(const Conv2d& conv, const FoldedNorm& norm);
  const Affine& affine(const BatchNorm& norm);

  /** Packs anew what was written since the last call. Throws Error kMissingParameter if one of
   * `used` was never written. */
  void refresh(const std::vector<int>& used);

 private:
  struct Stored {
    std::unique_ptr<DeviceMemory> dense;  // row-major float32; null if a matrix is the only copy
    std::unique_ptr<Matrix> matrix;
    bool isWritten = false;
    uint64_t version = 0;
  };
  /** Data that are packed from `sources`. */
  struct Derived {
    std::vector<int> sources;
    std::function<void()> pack;
    uint64_t version = 0;  // the sum of its sources' versions when it was packed
  };

  [[nodiscard]] size_t count(int index) const { return elementCount(specs_[index].shape); }
  std::unique_ptr<DeviceMemory> zeros(size_t bytes);
  const float* dense(int index);
  CUdeviceptr denseForWriting(int index);
  /** `staging` holds a block, if the parameter is a matrix. */
  void writeFloats(int index, size_t first, const float* from, size_t count,
                   const DeviceMemory* staging);
  std::unique_ptr<DeviceMemory> makeStaging(size_t count);
  void writeMatrix(const Matrix& matrix, const float* from, size_t first, size_t count);
  void readFloats(int index, size_t first, size_t count, float* to);
  Matrix makeMatrix(int weight, int64_t channels, int64_t pixels);
  const Filter& makeFilter(const std::string& key, const Conv2d& conv, const FoldedNorm& norm,
                           bool isFirst);
  void packBias(const DeviceMemory& values, const DeviceMemory& typed, int bias,
                const Affine* affine, int64_t count);
  template <typename Make>
  void make(int index, const Make& make);
  void transposeInto(const Transposed& to, CUdeviceptr from, int64_t rows, int64_t columns);
  void synchronize();

  Context& context_;
  Kernels& kernels_;
  std::vector<ParameterSpec> specs_;
  Precision precision_;
  std::atomic<size_t>* counter_;
  std::vector<Stored> stored_;
  std::map<std::pair<int, int64_t>, Matrix> matrixCopies_;  // rare: for one weight in two orders
  std::map<const Matrix*, std::weak_ptr<const Transposed>> transposed_;
  std::map<std::string, Filter> filters_;
  std::map<std::string, Affine> affines_;
  std::map<int, Bias> biases_;
  std::vector<Derived> derived_;
};

}  // namespace vgg::cuda
