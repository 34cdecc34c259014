#include "cpu/packing/winograd_filter.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/shape.h"

namespace vgg::cpu {
namespace {

constexpr size_t kMaxFrequencies = 8;
constexpr size_t kMaxPanelWidth = 32;

/** G for the points of kernels/winograd.cc. Tiles of 4 pixels use the first 6 rows. */
constexpr double kFilterTransform[kMaxFrequencies][3] = {{1, 0, 0},
                                                         {1 / 90.0, 2 / 90.0, 4 / 90.0},
                                                         {1 / 90.0, -2 / 90.0, 4 / 90.0},
                                                         {32 / 45.0, 16 / 45.0, 8 / 45.0},
                                                         {32 / 45.0, -16 / 45.0, 8 / 45.0},
                                                         {0, 0, 1},
                                                         {-2 / 9.0, -2 / 9.0, -2 / 9.0},
                                                         {-2 / 9.0, 2 / 9.0, -2 / 9.0}};

/** Computes G·filter·Gᵀ in double, frequencies² numbers. */
void transformFilter(size_t frequencies, const float* filter, double scale, double* to) {
  const auto& g = kFilterTransform;
  double half[kMaxFrequencies][3];
  for (size_t i = 0; i < frequencies; ++i) {
    for (size_t x = 0; x < 3; ++x)
      half[i][x] = g[i][0] * filter[x] + g[i][1] * filter[3 + x] + g[i][2] * filter[6 + x];
  }
  for (size_t i = 0; i < frequencies; ++i) {
    for (size_t j = 0; j < frequencies; ++j) {
      to[i * frequencies + j] =
          scale * (half[i][0] * g[j][0] + half[i][1] * g[j][1] + half[i][2] * g[j][2]);
    }
  }
}

}  // namespace

WinogradFilter::WinogradFilter(const Kernels& kernels, int frequencies, size_t filters,
                               size_t channels, bool isHalf, std::atomic<size_t>* counter)
    : kernels_(kernels),
      frequencies_(static_cast<size_t>(frequencies)),
      panelWidth_(static_cast<size_t>(kernels.panelWidth)),
      filters_(filters),
      channels_(channels),
      panels_((filters + panelWidth_ - 1) / panelWidth_),
      isHalf_(isHalf),
      weight_(HostMemory::allocate(checkedMultiply(checkedMultiply(panels_ * panelWidth_, channels),
                                                   frequencies_ * frequencies_ *
                                                       (isHalf ? sizeof(uint16_t) : sizeof(float))),
                                   counter)),
      bias_(HostMemory::allocate(panels_ * panelWidth_ * sizeof(float), counter)) {}

void WinogradFilter::pack(const FilterSource& source, ThreadPool& pool) {
  pool.run(panels_, [&](size_t panel) {
    const size_t first = panel * panelWidth_;
    const size_t lanes = std::min(panelWidth_, filters_ - first);
    std::array<FilterScale, kMaxPanelWidth> scales{};
    for (size_t lane = 0; lane < panelWidth_; ++lane) {
      if (lane < lanes) scales[lane] = scaleOf(source, first + lane);
      bias_->floats()[first + lane] = static_cast<float>(scales[lane].shift);
    }
    // Collects one row of the panel for each frequency, then writes it in one go.
    std::array<std::array<float, kMaxPanelWidth>, kMaxFrequencies * kMaxFrequencies> rows{};
    const size_t count = frequencies_ * frequencies_;
    for (size_t c = 0; c < channels_; ++c) {
      for (size_t lane = 0; lane < lanes; ++lane) {
        double frequencies[kMaxFrequencies * kMaxFrequencies];
        transformFilter(frequencies_, source.weight + ((first + lane) * channels_ + c) * 9,
                        scales[lane].scale, frequencies);
        for (size_t f = 0; f < count; ++f) rows[f][lane] = static_cast<float>(frequencies[f]);
      }
      for (size_t f = 0; f < count; ++f) {
        const size_t to = ((panel * count + f) * channels_ + c) * panelWidth_;
        if (isHalf_) {
          kernels_.narrow(reinterpret_cast<uint16_t*>(weight_->data()) + to, rows[f].data(),
                          static_cast<ptrdiff_t>(panelWidth_));
        } else {
          std::copy_n(rows[f].data(), panelWidth_, weight_->floats() + to);
        }
      }
    }
  });
}

}  // namespace vgg::cpu
