// Compares the kernels on rows of features with plain loops: linear layers, softmax, top-k.
#include <algorithm>
#include <numeric>

#include "kernels_test.h"

namespace test {
namespace {

template <typename T, typename U>
void checkGemv(int columns, int outputs, int inputs, int relu) {
  Buffer<T> weight(at(outputs) * at(inputs), Memory::kParameter);
  Buffer<T> x(at(columns) * at(inputs), Memory::kInput);
  Buffer<float> bias(at(outputs), Memory::kParameter);
  Buffer<U> y(at(columns) * at(outputs));
  fill(weight, 0.1);
  fill(x);
  fill(bias);
  const std::string name =
      "gemv" + std::to_string(columns) + "_" + Type<T>::kName + "_" + Type<U>::kName;
  launch(find("gemv.cu", name), geometry::gemvBlocks(outputs, columns, static_cast<int>(sizeof(T))),
         1, static_cast<const T*>(weight.data()), static_cast<const T*>(x.data()),
         static_cast<const float*>(bias.data()), y.data(), outputs, inputs, relu);
  Comparison compare;
  for (int b = 0; b < columns; ++b) {
    for (int o = 0; o < outputs; ++o) {
      double sum = bias[at(o)];
      double size = std::abs(sum);
      for (int i = 0; i < inputs; ++i) {
        const double product = Type<T>::decode(weight[at(o) * at(inputs) + at(i)]) *
                               Type<T>::decode(x[at(b) * at(inputs) + at(i)]);
        sum += product;
        size += std::abs(product);
      }
      // Random rounding of 100 terms per thread stays far below the worst case, 100 × 2^-24.
      compare.add(y[at(b * outputs + o)], rectified(sum, relu), size * 0x1p-22);
    }
  }
  compare.report(name + " " + std::to_string(outputs) + "×" + std::to_string(inputs));
}

constexpr int kMultiprocessors = 12;

/** Of 100 inputs `zeros` are zero, and so is the middle one. Its weights may be infinite. */
template <typename T, typename U>
void checkSparseGemv(int outputs, int inputs, int zeros, bool isSpecial, int relu) {
  Buffer<T> weight(at(inputs) * at(outputs), Memory::kParameter);
  Buffer<T> x(at(inputs), Memory::kInput);
  Buffer<float> bias(at(outputs), Memory::kParameter);
  Buffer<int> hasSpecial(1, Memory::kParameter);
  const int64_t strips = geometry::sparseGemvStrips(outputs / kVector<T>);
  const int64_t parts = geometry::sparseGemvParts(strips, inputs / kVector<T>, kMultiprocessors);
  Buffer<int> used(at(static_cast<int>(parts)));
  Buffer<float> sums(used.size() * at(outputs));
  Buffer<int> ended(at(static_cast<int>(strips)));
  Buffer<U> y(at(outputs));
  fill(weight, 0.1);
  fill(x);
  fill(bias);
  std::uniform_int_distribution<int> hundred(0, 99);
  for (int i = 0; i < inputs; ++i) {
    if (hundred(generator()) < zeros) x[at(i)] = Type<T>::encode(i % 2 == 0 ? 0.0 : -0.0);
  }
  x[at(inputs / 2)] = Type<T>::encode(0);
  if (isSpecial) weight[at(inputs / 2) * at(outputs) + at(outputs / 3)] = Type<T>::encode(INFINITY);
  hasSpecial[0] = isSpecial ? 1 : 0;
  const std::string name = std::string("sparseGemv_") + Type<T>::kName + "_" + Type<U>::kName;
  const T* weights = weight.data();
  const int* special = isSpecial || relu != 0 ? hasSpecial.data() : nullptr;
  const T* from = x.data();
  const float* terms = bias.data();
  U* to = y.data();
  int* counts = used.data();
  float* scratch = sums.data();
  int* ends = ended.data();
  std::fill_n(ends, ended.size(), 0);
  void* parameters[] = {&weights, &special, &from,    &terms,  &to,  &counts,
                        &scratch, &ends,    &outputs, &inputs, &relu};
  find("sparse_gemv.cu", name)
      .launch({static_cast<unsigned>(strips * parts), 1, 1}, {geometry::kThreads, 1, 1}, 0,
              parameters);
  Comparison compare;
  for (int o = 0; o < outputs; ++o) {
    double sum = bias[at(o)];
    double size = std::abs(sum);
    for (int i = 0; i < inputs; ++i) {
      const double product =
          Type<T>::decode(weight[at(i) * at(outputs) + at(o)]) * Type<T>::decode(x[at(i)]);
      sum += product;
      size += std::abs(product);
    }
    compare.add(y[at(o)], rectified(sum, relu), std::isnan(sum) ? 0 : size * 0x1p-22);
  }
  const std::string shape = name + " " + std::to_string(outputs) + "×" + std::to_string(inputs) +
                            ", " + std::to_string(zeros) + " % zeros";
  compare.report(shape);
  int64_t wanted = 0;
  for (int i = 0; i < inputs; ++i) {
    const int64_t vector = i / kVector<T>;
    const int64_t vectors = geometry::ceilDiv(inputs / kVector<T> - vector % parts, parts);
    const bool isHead = vectors >= geometry::kSparseHeadVectors &&
                        vector / parts < geometry::kSparseHeadVectors &&
                        i % kVector<T> < geometry::kSparseHead / geometry::kSparseHeadVectors;
    if (isSpecial || isHead || Type<T>::decode(x[at(i)]) != 0) ++wanted;
  }
  expect(std::accumulate(used.data(), used.data() + used.size(), int64_t{0}) == wanted,
         shape + " counts the inputs that it multiplies");
  expect(std::all_of(ends, ends + ended.size(), [](int count) { return count == 0; }),
         shape + " leaves its counters at zero");
}

template <typename T>
void checkSoftmax(int rows, int count, double spread) {
  const int padded = roundUp(count, kVector<T>);
  Buffer<T> x(at(rows) * at(padded), Memory::kInput);
  fill(x, spread);  // Values in the padding must not count.
  x[at((rows - 1) * padded + count / 2)] = Type<T>::encode(NAN);
  Buffer<T> y(x.size());
  launch(find<T>("softmax.cu", "softmax"), rows, 1, static_cast<const T*>(x.data()), y.data(),
         count, padded);
  Comparison compare;
  for (int r = 0; r < rows; ++r) {
    const auto value = [&](int i) { return Type<T>::decode(x[at(r * padded + i)]); };
    double greatest = -INFINITY;
    double sum = 0;
    for (int i = 0; i < count; ++i) greatest = std::max(greatest, value(i));
    for (int i = 0; i < count; ++i) sum += std::exp(value(i) - greatest);
    for (int i = 0; i < padded; ++i) {
      const double want = i < count ? std::exp(value(i) - greatest) / sum : 0;
      compare.add(y[at(r * padded + i)], want, std::abs(want) * 0x1p-18);
    }
  }
  compare.report(std::string("softmax ") + Type<T>::kName + " " + std::to_string(count));
}

template <typename T>
void checkTopK(int rows, int count, int k) {
  const int padded = roundUp(count, kVector<T>);
  const int paddedK = roundUp(k, kVector<T>);
  Buffer<T> x(at(rows) * at(padded), Memory::kInput);
  fill(x);
  const double special[] = {NAN, 0.0, -0.0, INFINITY, -INFINITY, 1, 1, NAN};
  for (size_t i = 0; i < x.size(); i += 3) x[i] = Type<T>::encode(special[i / 3 % 8]);
  Buffer<T> values(at(rows) * at(paddedK));
  Buffer<int> indices(at(rows) * at(k));
  launch(find<T>("top_k.cu", "topK"), rows, 1, static_cast<const T*>(x.data()), values.data(),
         indices.data(), count, padded, k, paddedK);
  bool ok = true;
  for (int r = 0; r < rows; ++r) {
    const auto value = [&](int i) { return Type<T>::decode(x[at(r * padded + i)]); };
    std::vector<int> order(at(count));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      if (std::isnan(value(a)) || std::isnan(value(b))) {
        return std::isnan(value(a)) && !std::isnan(value(b));
      }
      return value(a) > value(b);
    });
    for (int i = 0; i < k; ++i) {
      const int index = order[at(i)];
      ok &= indices[at(r * k + i)] == index;
      ok &= std::memcmp(&values[at(r * paddedK + i)], &x[at(r * padded + index)], sizeof(T)) == 0;
    }
    for (int i = k; i < paddedK; ++i) {
      const T zero{};
      ok &= std::memcmp(&values[at(r * paddedK + i)], &zero, sizeof(T)) == 0;
    }
  }
  expect(ok, std::string("topK ") + Type<T>::kName + " " + std::to_string(k) + " of " +
                 std::to_string(count));
}

}  // namespace

void checkRows() {
  for (const int columns : {1, 2, 4, 8}) {
    for (const int relu : {0, 1}) {
      checkGemv<float, float>(columns, 12, 4 + relu * 2052, relu);
      checkGemv<Half, Half>(columns, 24, 8 + relu * 4096, relu);
      checkGemv<Half, float>(columns, 16, 8192, relu);
      checkGemv<Bfloat, Bfloat>(columns, 8, 40 + relu * 8192, relu);
      checkGemv<Bfloat, float>(columns, 40, 2056, relu);
    }
    checkGemv<Half, Half>(columns, 64, 25088, 1);
    checkGemv<float, float>(columns, 64, 25088, 1);
  }
  for (const int zeros : {0, 50, 90, 100}) {
    const int relu = zeros / 50 % 2;
    checkSparseGemv<Half, Half>(264, 25088, zeros, false, relu);
    checkSparseGemv<Half, float>(8, 8 + 8 * zeros, zeros, zeros == 50, relu);
    checkSparseGemv<Bfloat, Bfloat>(128, 4096, zeros, zeros == 90, relu);
    checkSparseGemv<Bfloat, float>(1000, 520, zeros, false, 1 - relu);
    checkSparseGemv<float, float>(68, 25088, zeros, false, relu);
    checkSparseGemv<float, float>(4, 70000, zeros, zeros == 0, relu);  // Several lists in turn.
  }
  forEachType([]<typename T>(T) {
    checkSoftmax<T>(3, 1000, 5);
    checkSoftmax<T>(2, 1, 1);
    checkSoftmax<T>(4, 5003, 100);
    checkTopK<T>(4, 1000, 5);
    checkTopK<T>(2, 37, 37);
    checkTopK<T>(1, 4099, 9);
  });
}

}  // namespace test
