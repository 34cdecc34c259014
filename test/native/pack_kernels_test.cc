// Compares the kernels that pack parameters into the device's layouts with plain loops.
#include <algorithm>

#include "kernels_test.h"

namespace test {
namespace {

using geometry::blocksFor;

template <typename T>
void checkMatrix(int rows, int channels, int pixels) {
  const int padded = roundUp(channels, kVector<T>);
  const long long columns = static_cast<long long>(channels) * pixels;
  Buffer<float> matrix(at(rows * columns), Memory::kInput);
  fill(matrix);
  Buffer<T> packed(at(rows) * at(pixels) * at(padded));
  std::memset(static_cast<void*>(packed.data()), 0, packed.size() * sizeof(T));
  // Write pieces that begin and end anywhere.
  for (long long first = 0; first < rows * columns;) {
    const long long count = std::min<long long>(rows * columns - first, 1003);
    Buffer<float> piece(at(count), Memory::kInput);
    std::copy_n(matrix.data() + first, count, piece.data());
    launch(find<T>("pack.cu", "writeMatrix"), blocksFor(geometry::ceilDiv(count, 4)), 1,
           static_cast<const float*>(piece.data()), packed.data(), first, count, channels, pixels,
           padded);
    Buffer<float> back(at(count));
    launch(find<T>("pack.cu", "readMatrix"), blocksFor(geometry::ceilDiv(count, 4)), 1,
           static_cast<const T*>(packed.data()), back.data(), first, count, channels, pixels,
           padded);
    Comparison again;
    for (long long i = 0; i < count; ++i) {
      again.add(back[at(i)], Type<T>::decode(Type<T>::encode(piece[at(i)])));
    }
    if (!again.ok() || first == 0) again.report(std::string("readMatrix ") + Type<T>::kName);
    first += count;
  }
  Comparison compare;
  for (long long i = 0; i < static_cast<long long>(packed.size()); ++i) {
    const long long c = i % padded;
    const long long p = i / padded % pixels;
    const double want =
        c < channels ? matrix[at(i / padded / pixels * columns + c * pixels + p)] : 0;
    compare.add(packed[at(i)], want);
  }
  compare.report(std::string("writeMatrix ") + Type<T>::kName);
}

template <typename T>
void checkTranspose(int rows, int columns) {
  Buffer<T> from(at(rows) * at(columns), Memory::kInput);
  for (const double special : {0.0, double{INFINITY}, -double{INFINITY}, double{NAN}}) {
    fill(from);
    if (special != 0) from[at(columns) * at(rows - 1)] = Type<T>::encode(special);
    Buffer<T> to(from.size());
    Buffer<int> hasSpecial(1);
    hasSpecial[0] = 0;
    launch(find<T>("pack.cu", "transposeMatrix"), geometry::matrixTiles(columns),
           geometry::matrixTiles(rows), static_cast<const T*>(from.data()), to.data(),
           hasSpecial.data(), rows, columns);
    Comparison compare;
    for (int i = 0; i < rows * columns; ++i) {
      compare.add(to[at(i)], Type<T>::decode(from[at(i % rows * columns + i / rows)]));
    }
    compare.report(std::string("transposeMatrix ") + Type<T>::kName);
    expect((hasSpecial[0] == 1) == (special != 0), "transposeMatrix finds NaN and infinity");
  }
}

template <typename T>
void checkPack(int k, int c, int taps, bool scaled) {
  const int paddedK = roundUp(k, kVector<T>);
  const int paddedC = roundUp(c, kVector<T>);
  Buffer<float> weight(at(k * c * taps), Memory::kParameter);
  Buffer<float> scale(at(k), Memory::kParameter);
  Buffer<float> shift(at(k), Memory::kParameter);
  fill(weight);
  fill(scale);
  fill(shift);
  const float* factors = scaled ? scale.data() : nullptr;
  Buffer<T> filter(at(paddedK * taps * paddedC));
  launch(find<T>("pack.cu", "packFilter"),
         blocksFor(static_cast<long long>(filter.size()) / kVector<T>), 1,
         static_cast<const float*>(weight.data()), factors, filter.data(), k, c, taps, paddedK,
         paddedC);
  Comparison compare;
  for (int i = 0; i < paddedK * taps * paddedC; ++i) {
    const int row = i / paddedC / taps;
    const int channel = i % paddedC;
    double want = 0;
    if (row < k && channel < c) want = weight[at((row * c + channel) * taps + i / paddedC % taps)];
    if (row < k && scaled) want *= scale[at(row)];
    compare.add(filter[at(i)], want, std::abs(want) * 0x1p-23);
  }
  compare.report(std::string("packFilter ") + Type<T>::kName);

  Buffer<float> biasFloat(at(paddedK));
  Buffer<T> biasTyped(at(paddedK));
  launch(find<T>("pack.cu", "packBias"), blocksFor(paddedK), 1,
         static_cast<const float*>(scaled ? weight.data() : nullptr), factors,
         static_cast<const float*>(shift.data()), biasFloat.data(), biasTyped.data(), k, paddedK);
  Comparison biases;
  for (int i = 0; i < paddedK; ++i) {
    double want = 0;
    if (i < k) want = (scaled ? 1.0 * weight[at(i)] * scale[at(i)] : 0) + shift[at(i)];
    biases.add(biasFloat[at(i)], want, i < k ? 0x1p-21 : 0);
    biases.add(biasTyped[at(i)], want, i < k ? 0x1p-21 : 0);
  }
  biases.report(std::string("packBias ") + Type<T>::kName);
}

void checkBatchNorm(int channels, int padded) {
  Buffer<float> p[4] = {
      Buffer<float>(at(channels), Memory::kInput), Buffer<float>(at(channels), Memory::kInput),
      Buffer<float>(at(channels), Memory::kInput), Buffer<float>(at(channels), Memory::kInput)};
  for (auto& buffer : p) fill(buffer);
  for (size_t i = 0; i < at(channels); ++i) p[3][i] = p[3][i] * p[3][i];
  Buffer<float> scale(at(padded));
  Buffer<float> shift(at(padded));
  const float epsilon = 1e-5F;
  launch(find("pack.cu", "foldBatchNorm"), blocksFor(padded), 1,
         static_cast<const float*>(p[0].data()), static_cast<const float*>(p[1].data()),
         static_cast<const float*>(p[2].data()), static_cast<const float*>(p[3].data()), epsilon,
         scale.data(), shift.data(), channels, padded);
  Comparison compare;
  for (int i = 0; i < padded; ++i) {
    const size_t c = at(i);
    const double factor = i < channels ? p[0][c] / std::sqrt(1.0 * p[3][c] + epsilon) : 0;
    const double offset = i < channels ? p[1][c] - p[2][c] * factor : 0;
    compare.add(scale[c], factor, std::abs(factor) * 0x1p-21);
    compare.add(shift[c], offset, (std::abs(offset) + std::abs(factor) * 4) * 0x1p-21);
  }
  compare.report("foldBatchNorm");
}

}  // namespace

void checkPacking() {
  forEachType([]<typename T>(T) {
    checkMatrix<T>(5, 37, 49);
    checkMatrix<T>(3, 3, 1000);
    checkTranspose<T>(1, 100);
    checkTranspose<T>(72, 33);
    checkPack<T>(19, 21, 9, true);
    checkPack<T>(64, 3, 1, false);
  });
  checkBatchNorm(37, 40);
}

}  // namespace test
