// The parameters of a model on the CPU: where each lives, and what was packed from it for the
// kernels.
#pragma once

#include <map>
#include <memory>
#include <tuple>

#include "core/backend.h"
#include "core/memory/host_memory.h"
#include "cpu/ops/conv2d/winograd_plan.h"
#include "cpu/packing/packed_filter.h"
#include "cpu/packing/packed_matrix.h"
#include "cpu/packing/winograd_filter.h"

namespace vgg::cpu {

class CpuParameters final : public Parameters {
 public:
  /** isHalf: matrices, and Winograd's filters where they may be, are kept in float16. */
  CpuParameters(std::vector<ParameterSpec> specs, bool isHalf, const Kernels& kernels,
                ThreadPool& pool, std::atomic<size_t>* counter);

  [[nodiscard]] const std::vector<ParameterSpec>& specs() const override { return specs_; }
  [[nodiscard]] bool isHalf() const { return isHalf_; }
  [[nodiscard]] bool isWritten(int index) const override { return slots_[index].isWritten; }
  void write(const std::vector<ParameterWrite>& writes) override;
  void read(int index, size_t first, size_t count, float* to) override;
  void fill(int index, float value) override;
  void fillNormal(int index, float standardDeviation, uint64_t seed, uint32_t stream) override;

  /** What a compiled program reads at run time. Each is made on first demand and then shared by all
   * programs. */
  std::shared_ptr<const PackedMatrix> matrix(int weight, size_t channels);
  std::shared_ptr<const PackedFilter> filter(const Conv2d& conv);
  std::shared_ptr<const WinogradFilter> winogradFilter(const Conv2d& conv, WinogradFilterForm form);
  /** The row-major values; the pointer holds until the parameter becomes a matrix. */
  const float* dense(int index);

  /** Packs anew what was written since. Throws Error kMissingParameter when one of `used` was never
   * written. */
  void refresh(const std::vector<int>& used);

 private:
  struct Slot {
    std::shared_ptr<HostMemory>
        dense;  // row-major; null where a matrix is the only copy, or nothing is written yet
    std::shared_ptr<PackedMatrix> matrix;
    bool isWritten = false;
    uint64_t version = 0;
  };
  struct Filter {
    std::shared_ptr<PackedParameters> packed;
    Conv2d conv;
    uint64_t version = 0;  // the sum of its parameters' versions when it was packed
  };
  // A second matrix of one weight in another order; rare (one graph reads it flattened, another
  // not).
  struct MatrixCopy {
    std::shared_ptr<PackedMatrix> packed;
    uint64_t version = 0;
  };

  [[nodiscard]] size_t count(int index) const { return elementCount(specs_[index].shape); }
  float* denseForWriting(int index);
  /** What a matrix in float16 needs to write `count` floats; null if it is not kept so. */
  [[nodiscard]] std::shared_ptr<HostMemory> allocateHalves(size_t count) const;
  void writeMatrix(PackedMatrix& matrix, size_t first, const float* from, size_t count,
                   HostMemory* halves);
  /** The filter of that layer in Winograd's form (0 frequencies: neither that nor half); made by
   * create() on first demand. */
  template <typename Packed, typename Create>
  std::shared_ptr<const Packed> filterOf(const Conv2d& conv, WinogradFilterForm form,
                                         const Create& create);
  template <typename Make>
  void make(int index, const Make& make);

  std::vector<ParameterSpec> specs_;
  bool isHalf_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::atomic<size_t>* counter_;
  std::vector<Slot> slots_;
  std::map<std::pair<int, size_t>, MatrixCopy> matrixCopies_;
  std::map<std::tuple<int, bool, int, int, int, int, int, int, float>, Filter> filters_;
};

}  // namespace vgg::cpu
