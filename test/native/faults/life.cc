#include "life.h"

#include <atomic>
#include <exception>
#include <functional>
#include <future>
#include <utility>

#include "core/shape.h"

FakeCudaControl* control = nullptr;

void expect(bool holds, const std::string& what) {
  if (!holds) throw Problem{what};
}

namespace {

using vgg::Code;
using vgg::cuda::CudaBackend;

/** A small network with every kind of step: first layer, merged and plain pools, both forms of
 * flatten, gemv. */
vgg::Program network() {
  vgg::Program p;
  const auto value = [&](vgg::Shape shape, vgg::DType dtype = vgg::DType::kFloat32) {
    p.values.push_back({std::move(shape), dtype});
    return static_cast<int>(p.values.size()) - 1;
  };
  const int image = value({12, 12, 3}, vgg::DType::kUint8);
  const int normal = value({3, 12, 12});
  const int first = value({16, 12, 12});
  const int pooled = value({16, 6, 6});
  const int second = value({10, 6, 6});
  const int average = value({10, 3, 3});
  const int flat = value({90});
  const int scores = value({7});
  const int chances = value({7});
  const int best = value({3});
  const int indices = value({3}, vgg::DType::kInt32);
  p.ops = {vgg::Normalize{image, normal, {0.5F, 0.4F, 0.3F}, {0.2F, 0.3F, 0.4F}},
           vgg::Conv2d{normal, first, 0, 1, 1, 1, true},
           vgg::MaxPool2d{first, pooled, 2, 2, 0},
           vgg::Conv2d{pooled, second, 2, 3, 1, 1, true},
           vgg::AdaptiveAvgPool2d{second, average},
           vgg::Flatten{average, flat},
           vgg::Gemm{flat, scores, 4, 5, false},
           vgg::Softmax{scores, chances},
           vgg::TopK{chances, best, indices, 3}};
  p.inputs = {image};
  p.outputs = {scores, best, indices};
  return p;
}

/** The smallest network. Its input and output may both be on the device. */
vgg::Program rectifier() {
  vgg::Program p;
  p.values = {{{4}, vgg::DType::kFloat32}, {{4}, vgg::DType::kFloat32}};
  p.ops = {vgg::Relu{0, 1}};
  p.inputs = {0};
  p.outputs = {1};
  return p;
}

std::vector<vgg::ParameterSpec> specs() {
  return {{"a", {16, 3, 3, 3}}, {"b", {16}},    {"c", {10, 16, 3, 3}},
          {"d", {10}},          {"e", {7, 90}}, {"f", {7}}};
}

constexpr size_t kExecutable = 2;  // Each run has two parts.

void run(Life& life, bool onDevice) {
  std::vector<uint8_t> image(kBatch * 12 * 12 * 3);
  for (size_t i = 0; i < image.size(); ++i) image[i] = static_cast<uint8_t>(i * 37 % 251);
  const auto host = life.backend->allocateHost(image.size());
  std::copy(image.begin(), image.end(), reinterpret_cast<uint8_t*>(host->data()));
  const auto scores = life.backend->allocateHost(life.scores.size() * sizeof(float));
  const auto best = life.backend->allocateHost(kBatch * 3 * sizeof(float));
  const auto indices = life.backend->allocateHost(kBatch * 3 * sizeof(int32_t));
  if (onDevice) life.backend->upload(*life.input, host->data(), image.size());
  const std::atomic<bool> cancelled{false};
  std::promise<void> ended;
  const std::vector<vgg::Binding> inputs{onDevice ? vgg::Binding{nullptr, life.input.get()}
                                                  : vgg::Binding{host->data(), nullptr}};
  const std::vector<vgg::Binding> outputs{
      onDevice ? vgg::Binding{nullptr, life.output.get()} : vgg::Binding{scores->data(), nullptr},
      {best->data(), nullptr},
      {indices->data(), nullptr}};
  life.executable->run(kBatch, inputs, outputs, cancelled, [&](const std::exception_ptr& failure) {
    if (failure) {
      ended.set_exception(failure);
    } else {
      ended.set_value();
    }
  });
  auto result = ended.get_future();
  try {
    result.get();
  } catch (...) {
    life.backend->finish();
    throw;
  }
  life.backend->finish();
  if (onDevice) {
    life.backend->download(scores->data(), *life.output, scores->bytes());
  }
  life.scores.assign(scores->floats(), scores->floats() + life.scores.size());
}

/** Runs on device memory only. The second run needs no copies. */
void runSmall(Life& life) {
  const std::vector<float> numbers{-1, 2, -3, 4};
  life.backend->upload(*life.numbers, reinterpret_cast<const std::byte*>(numbers.data()),
                       numbers.size() * sizeof(float));
  const std::atomic<bool> cancelled{false};
  const std::vector<vgg::Binding> inputs{{nullptr, life.numbers.get()}};
  const std::vector<vgg::Binding> outputs{{nullptr, life.rectified.get()}};
  std::exception_ptr failure;
  life.small->run(1, inputs, outputs, cancelled,
                  [&](const std::exception_ptr& why) { failure = why; });
  life.backend->finish();
  if (failure) std::rethrow_exception(failure);
  std::vector<float> answer(numbers.size());
  life.backend->download(reinterpret_cast<std::byte*>(answer.data()), *life.rectified,
                         answer.size() * sizeof(float));
  expect(answer == std::vector<float>{0, 2, 0, 4}, "Expected the numbers rectified");
}

void write(Life& life, int index, uint32_t stream) {
  std::vector<float> numbers(vgg::elementCount(specs()[static_cast<size_t>(index)].shape));
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] =
        static_cast<float>(static_cast<double>((i * 7919 + stream * 104729) % 2000) / 5000.0 - 0.2);
  life.parameters->write({{index, 0, reinterpret_cast<const std::byte*>(numbers.data()),
                           vgg::DType::kFloat32, numbers.size()}});
}

/** Calls step on the device's thread, as the addon does, and rethrows what it throws. */
void onThread(Life& life, const std::function<void()>& step) {
  std::promise<void> ended;
  life.backend->thread().post({nullptr, std::make_shared<std::atomic<bool>>(false), [&] {
                                 try {
                                   step();
                                   ended.set_value();
                                 } catch (...) {
                                   ended.set_exception(std::current_exception());
                                 }
                               }});
  ended.get_future().get();
}

using Step = std::function<void(Life&)>;

std::vector<Step> steps() {
  const auto later = [](Step step) -> Step {
    return [step](Life& life) { onThread(life, [&] { step(life); }); };
  };
  return {
      [](Life& life) { life.backend = std::make_shared<CudaBackend>(0, vgg::cuda::CudaOptions{}); },
      [](Life& life) {
        life.parameters = life.backend->createParameters(specs(), vgg::Precision::kFloat16);
      },
      // Some calls come before the weights are packed, some after.
      later([](Life& life) {
        for (const int index : {0, 1, 4}) write(life, index, static_cast<uint32_t>(index));
      }),
      later([](Life& life) {
        life.executable = life.backend->compile(network(), life.parameters, kExecutable);
      }),
      later([](Life& life) {
        for (const int index : {2, 3, 4, 5}) write(life, index, static_cast<uint32_t>(index));
      }),
      later(
          [](Life& life) { life.small = life.backend->compile(rectifier(), life.parameters, 1); }),
      [](Life& life) {
        life.numbers = life.backend->allocate(4 * sizeof(float));
        life.rectified = life.backend->allocate(4 * sizeof(float));
        life.input = life.backend->allocate(kBatch * 12 * 12 * 3);
        life.output = life.backend->allocate(kBatch * 7 * sizeof(float));
      },
      later([](Life& life) { run(life, false); }),
      later([](Life& life) { run(life, true); }),
      later(runSmall),
      later(runSmall),
      later([](Life& life) {
        std::vector<float> numbers(7 * 90);
        life.parameters->read(4, 0, numbers.size(), numbers.data());
        write(life, 5, 50);
        run(life, false);
      }),
  };
}

}  // namespace

void end(Life& life) {
  if (life.backend == nullptr) return;
  life.input = nullptr;
  life.output = nullptr;
  life.numbers = nullptr;
  life.rectified = nullptr;
  onThread(life, [&] {
    life.executable = nullptr;
    life.small = nullptr;
    life.parameters = nullptr;
  });
  // Objects released on this thread are freed on the device's thread.
  onThread(life, [] {});
  life.backend = nullptr;
}

std::vector<vgg::Code> live(Life& life, bool isSticky) {
  std::vector<vgg::Code> seen;
  for (const Step& step : steps()) {
    for (int attempt = 0;; ++attempt) {
      try {
        step(life);
        break;
      } catch (const vgg::Error& error) {
        seen.push_back(error.code());
        const bool isLost = control->devicesLost > 0;
        expect(!isLost || isSticky, std::string("The device was lost: ") + error.what());
        if (isLost) {
          expect(error.code() == Code::kDeviceLost || error.code() == Code::kDeviceUnavailable,
                 std::string("Expected DEVICE_LOST but received ") + codeName(error.code()) + " " +
                     error.what());
          return seen;
        }
        expect(attempt == 0, std::string("Failed again without a failing call: ") + error.what());
      }
    }
  }
  return seen;
}
