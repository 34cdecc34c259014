// The parameters of a model on the CPU: their storage, and the packed copies for the kernels.
#pragma once

#include <map>
#include <memory>
#include <tuple>

#include "core/backend.h"
#include "core/fold.h"
#include "core/memory/host_memory.h"
#include "cpu/ops/conv2d/winograd_tiling.h"
#include "cpu/packing/packed_filter.h"
#include "cpu/packing/packed_matrix.h"
#include "cpu/packing/winograd_filter.h"

namespace vgg::cpu {

class CpuParameters final : public Parameters {
 public:
  /** isHalf: matrices are stored in float16, and so are Winograd filters if their form allows it.
   */
  CpuParameters(std::vector<ParameterSpec> specs, bool isHalf, const Kernels& kernels,
                ThreadPool& pool, std::atomic<size_t>* counter);

  [[nodiscard]] const std::vector<ParameterSpec>& specs() const override { return specs_; }
  [[nodiscard]] bool isHalf() const { return isHalf_; }
  [[nodiscard]] bool isWritten(int index) const override { return stored_[index].isWritten; }
  void write(const std::vector<ParameterWrite>& writes) override;
  void read(int index, size_t first, size_t count, float* to) override;
  void fill(int index, float value) override;
  void fillNormal(int index, float standardDeviation, uint64_t seed, uint32_t stream) override;

  /** Return what a compiled program reads at run time. Each is made on first use and shared by all
   * programs. */
  std::shared_ptr<const PackedMatrix> matrix(int weight, size_t channels);
  std::shared_ptr<const PackedFilter> filter(const Conv2d& conv, const FoldedNorm& norm);
  std::shared_ptr<const WinogradFilter> winogradFilter(const Conv2d& conv, const FoldedNorm& norm,
                                                       WinogradFilterForm form);
  /** Returns the row-major values. The pointer is valid until the parameter becomes a matrix. */
  const float* dense(int index);

  /** Repacks what was written since the last call. Throws Error kMissingParameter if one of `used`
   * was never written. */
  void refresh(const std::vector<int>& used);

 private:
  struct Stored {
    std::shared_ptr<HostMemory>
        dense;  // row-major; null if a matrix is the only copy or nothing is written yet
    std::shared_ptr<PackedMatrix> matrix;
    bool isWritten = false;
    uint64_t version = 0;
  };
  struct Filter {
    std::shared_ptr<PackedParameters> packed;
    Conv2d conv;
    FoldedNorm norm;
    uint64_t version = 0;  // the sum of its parameters' versions when it was packed
  };
  // A second matrix of one weight in another order. Rare: one graph reads it flattened, another
  // does not.
  struct MatrixCopy {
    std::shared_ptr<PackedMatrix> packed;
    uint64_t version = 0;
  };

  [[nodiscard]] size_t count(int index) const { return elementCount(specs_[index].shape); }
  float* denseForWriting(int index);
  /** Allocates what a float16 matrix needs to write `count` floats. Null if it is not float16. */
  [[nodiscard]] std::shared_ptr<HostMemory> allocateHalves(size_t count) const;
  void writeMatrix(PackedMatrix& matrix, size_t first, const float* from, size_t count,
                   HostMemory* halves);
  /** Returns the filter of that layer in the Winograd form (0 frequencies: no Winograd, no
   * float16). create() makes it on first use. */
  template <typename Packed, typename Create>
  std::shared_ptr<const Packed> filterOf(const Conv2d& conv, const FoldedNorm& norm,
                                         WinogradFilterForm form, const Create& create);
  template <typename Make>
  void make(int index, const Make& make);

  std::vector<ParameterSpec> specs_;
  bool isHalf_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::atomic<size_t>* counter_;
  std::vector<Stored> stored_;
  std::map<std::pair<int, size_t>, MatrixCopy> matrixCopies_;
  std::map<std::tuple<int, bool, int, int, int, int, int, int, float>, Filter> filters_;
};

}  // namespace vgg::cpu
