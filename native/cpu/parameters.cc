#include "cpu/parameters.h"

#include <algorithm>
#include <utility>

#include "core/convert.h"
#include "core/error.h"
#include "core/random.h"

namespace vgg::cpu {
namespace {

constexpr size_t kBlock = size_t{1} << 20;  // elements that a thread makes or moves at a time
constexpr size_t kMadeRows = 32;            // rows of a matrix that a thread makes at a time

/** Returns the number of parts that a matrix is cut into: a few per thread, so that a slow thread
 * delays the others little. */
size_t partsOf(const ThreadPool& pool) { return static_cast<size_t>(pool.threads()) * 4; }

}  // namespace

CpuParameters::CpuParameters(std::vector<ParameterSpec> specs, bool isHalf, const Kernels& kernels,
                             ThreadPool& pool, std::atomic<size_t>* counter)
    : specs_(std::move(specs)),
      isHalf_(isHalf),
      kernels_(kernels),
      pool_(pool),
      counter_(counter),
      stored_(specs_.size()) {}

float* CpuParameters::denseForWriting(int index) {
  Stored& stored = stored_[index];
  if (stored.dense == nullptr)
    stored.dense = HostMemory::allocate(count(index) * sizeof(float), counter_);
  return stored.dense->floats();
}

const float* CpuParameters::dense(int index) { return denseForWriting(index); }

void CpuParameters::write(const std::vector<ParameterWrite>& writes) {
  size_t converted = 0;
  size_t narrowed = 0;
  for (const ParameterWrite& write : writes) {
    if (write.dtype != DType::kFloat32) converted = std::max(converted, write.count);
    if (stored_[write.index].matrix == nullptr) {
      denseForWriting(write.index);
    } else {
      narrowed = std::max(narrowed, write.count);
    }
  }
  const auto floats = HostMemory::allocate(checkedMultiply(converted, sizeof(float)));
  const auto halves = allocateHalves(narrowed);
  // Nothing below throws.
  for (const auto& [index, first, from, dtype, count] : writes) {
    const auto* values = reinterpret_cast<const float*>(from);
    if (dtype != DType::kFloat32) {
      pool_.run((count + kBlock - 1) / kBlock,
                [&, from = from, dtype = dtype, count = count](size_t i) {
                  toFloat32(floats->floats() + i * kBlock, from + i * kBlock * byteSize(dtype),
                            dtype, std::min(kBlock, count - i * kBlock));
                });
      values = floats->floats();
    }
    Stored& stored = stored_[index];
    if (stored.matrix == nullptr) {
      std::copy_n(values, count, stored.dense->floats() + first);
    } else {
      writeMatrix(*stored.matrix, first, values, count, halves.get());
    }
    stored.isWritten = true;
    ++stored.version;
  }
}

std::shared_ptr<HostMemory> CpuParameters::allocateHalves(size_t count) const {
  if (!isHalf_) return nullptr;
  return HostMemory::allocate(checkedMultiply(count, sizeof(uint16_t)));
}

void CpuParameters::writeMatrix(PackedMatrix& matrix, size_t first, const float* from, size_t count,
                                HostMemory* halves) {
  const size_t parts = partsOf(pool_);
  if (!isHalf_) {
    pool_.run(parts, [&](size_t i) { matrix.write(first, from, count, matrix.part(i, parts)); });
    return;
  }
  auto* narrowed = reinterpret_cast<uint16_t*>(halves->data());
  pool_.run((count + kBlock - 1) / kBlock, [&](size_t i) {
    const size_t length = std::min(kBlock, count - i * kBlock);
    kernels_.narrow(narrowed + i * kBlock, from + i * kBlock, static_cast<ptrdiff_t>(length));
  });
  const uint16_t* values = narrowed;
  pool_.run(parts, [&](size_t i) { matrix.write(first, values, count, matrix.part(i, parts)); });
}

void CpuParameters::read(int index, size_t first, size_t total, float* to) {
  const Stored& stored = stored_[index];
  if (!stored.isWritten) throw missingParameter(specs_[index]);
  if (stored.matrix == nullptr) {
    std::copy_n(stored.dense->floats() + first, total, to);
    return;
  }
  const size_t parts = partsOf(pool_);
  const PackedMatrix& matrix = *stored.matrix;
  if (!isHalf_) {
    pool_.run(parts, [&](size_t i) { matrix.read(first, to, total, matrix.part(i, parts)); });
    return;
  }
  const auto halves = allocateHalves(total);
  auto* narrowed = reinterpret_cast<uint16_t*>(halves->data());
  pool_.run(parts, [&](size_t i) { matrix.read(first, narrowed, total, matrix.part(i, parts)); });
  pool_.run((total + kBlock - 1) / kBlock, [&](size_t i) {
    const size_t length = std::min(kBlock, total - i * kBlock);
    kernels_.widen(to + i * kBlock, narrowed + i * kBlock, static_cast<ptrdiff_t>(length));
  });
}

/** Fills a parameter block by block on all threads. make(first, count, to) writes elements of the
 * row-major parameter. */
template <typename Make>
void CpuParameters::make(int index, const Make& make) {
  Stored& stored = stored_[index];
  const size_t total = count(index);
  if (stored.matrix == nullptr) {
    float* to = denseForWriting(index);
    pool_.run((total + kBlock - 1) / kBlock, [&](size_t i) {
      make(i * kBlock, std::min(kBlock, total - i * kBlock), to + i * kBlock);
    });
  } else {
    const size_t block = kMadeRows * stored.matrix->columns();
    // Allocate before the threads start, because a task of the pool must not throw.
    std::vector<std::shared_ptr<HostMemory>> scratch;
    scratch.reserve(static_cast<size_t>(pool_.threads()));
    for (int i = 0; i < pool_.threads(); ++i)
      scratch.push_back(HostMemory::allocate(block * sizeof(float)));
    std::atomic<size_t> next{0};
    pool_.run(scratch.size(), [&](size_t thread) {
      float* rows = scratch[thread]->floats();
      for (size_t first = next.fetch_add(block); first < total; first = next.fetch_add(block)) {
        const size_t length = std::min(block, total - first);
        make(first, length, rows);
        if (!isHalf_) {
          stored.matrix->write(first, rows, length, stored.matrix->part(0, 1));
          continue;
        }
        // In place: a half never overwrites a float that is still to be read.
        auto* halves = reinterpret_cast<uint16_t*>(rows);
        kernels_.narrow(halves, rows, static_cast<ptrdiff_t>(length));
        stored.matrix->write(first, halves, length, stored.matrix->part(0, 1));
      }
    });
  }
  stored.isWritten = true;
  ++stored.version;
}

void CpuParameters::fill(int index, float value) {
  make(index, [&](size_t, size_t length, float* to) { std::fill_n(to, length, value); });
}

void CpuParameters::fillNormal(int index, float standardDeviation, uint64_t seed, uint32_t stream) {
  make(index, [&](size_t first, size_t length, float* to) {
    vgg::fillNormal(to, first, length, seed, stream, standardDeviation);
  });
}

std::shared_ptr<const PackedMatrix> CpuParameters::matrix(int weight, size_t channels) {
  Stored& stored = stored_[weight];
  const Shape& shape = specs_[weight].shape;
  const auto create = [&] {
    return std::make_shared<PackedMatrix>(
        static_cast<size_t>(shape[0]), static_cast<size_t>(shape[1]), channels, isHalf_, counter_);
  };
  if (stored.matrix != nullptr && stored.matrix->channels() == channels) return stored.matrix;
  if (stored.matrix == nullptr) {
    auto packed = create();
    // Replace the only copy only after the new one is complete.
    if (stored.isWritten) {
      const auto halves = allocateHalves(count(weight));
      writeMatrix(*packed, 0, stored.dense->floats(), count(weight), halves.get());
    }
    stored.dense = nullptr;
    stored.matrix = packed;
    return packed;
  }
  // Store it only after it is complete, because `refresh` packs what is stored.
  const std::pair key(weight, channels);
  const auto kept = matrixCopies_.find(key);
  if (kept != matrixCopies_.end()) return kept->second.packed;
  return matrixCopies_.emplace(key, MatrixCopy{create(), 0}).first->second.packed;
}

template <typename Packed, typename Create>
std::shared_ptr<const Packed> CpuParameters::filterOf(const Conv2d& conv, const FoldedNorm& folded,
                                                      WinogradFilterForm form,
                                                      const Create& create) {
  const BatchNorm norm =
      folded.value_or(BatchNorm{kNone, kNone, kNone, kNone, kNone, kNone, 0, false});
  const std::tuple key(form.frequencies, form.mayBeHalf, conv.weight, conv.bias, norm.weight,
                       norm.bias, norm.mean, norm.variance, norm.epsilon);
  auto kept = filters_.find(key);
  if (kept == filters_.end())
    kept = filters_.emplace(key, Filter{create(specs_[conv.weight].shape), conv, folded}).first;
  return std::static_pointer_cast<const Packed>(kept->second.packed);
}

std::shared_ptr<const PackedFilter> CpuParameters::filter(const Conv2d& conv,
                                                          const FoldedNorm& norm) {
  return filterOf<PackedFilter>(conv, norm, {0, false}, [this](const Shape& shape) {
    return std::make_shared<PackedFilter>(kernels_, shape[0], shape[1], shape[2], shape[3],
                                          counter_);
  });
}

std::shared_ptr<const WinogradFilter> CpuParameters::winogradFilter(const Conv2d& conv,
                                                                    const FoldedNorm& norm,
                                                                    WinogradFilterForm form) {
  return filterOf<WinogradFilter>(conv, norm, form, [&](const Shape& shape) {
    return std::make_shared<WinogradFilter>(kernels_, form.frequencies, shape[0], shape[1],
                                            isHalf_ && form.mayBeHalf, counter_);
  });
}

void CpuParameters::refresh(const std::vector<int>& used) {
  for (const int index : used) {
    if (!stored_[index].isWritten) throw missingParameter(specs_[index]);
  }
  for (auto& [key, copy] : matrixCopies_) {
    const Stored& stored = stored_[key.first];
    if (!stored.isWritten || copy.version == stored.version) continue;
    const size_t total = count(key.first);
    const auto rows = HostMemory::allocate(total * sizeof(float));
    const auto halves = allocateHalves(total);
    read(key.first, 0, total, rows->floats());
    writeMatrix(*copy.packed, 0, rows->floats(), total, halves.get());
    copy.version = stored.version;
  }
  for (auto& [key, entry] : filters_) {
    const std::vector<int> parameters = parametersOf(entry.conv, entry.norm);
    uint64_t version = 0;
    bool isComplete = true;
    for (const int index : parameters) {
      version += stored_[index].version;
      isComplete = isComplete && stored_[index].isWritten;
    }
    if (!isComplete || version == entry.version) continue;
    const auto values = [&](int index) { return index == kNone ? nullptr : dense(index); };
    FilterSource source{
        values(entry.conv.weight), values(entry.conv.bias), nullptr, nullptr, nullptr, nullptr, 0};
    if (const FoldedNorm& norm = entry.norm) {
      source.scale = values(norm->weight);
      source.shift = values(norm->bias);
      source.mean = values(norm->mean);
      source.variance = values(norm->variance);
      source.epsilon = norm->epsilon;
    }
    entry.packed->pack(source, pool_);
    entry.version = version;
  }
}

}  // namespace vgg::cpu
