// Makes every CUDA call of a model's life fail, one after the other, in each of five ways: each
// time the failure must be a typed error, nothing may leak, and what comes after must work (or say
// that the device is lost). faults_test FOLDER [step] [first]: FOLDER holds the fake libraries;
// every step-th call from `first` on fails.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "../fake-cuda/control.h"
#include "core/memory/host_memory.h"
#include "cuda/backend.h"

namespace {

using vgg::Code;
using vgg::cuda::CudaBackend;

FakeCudaControl* control = nullptr;

struct Problem {
  std::string what;
};

void expect(bool holds, const std::string& what) {
  if (!holds) throw Problem{what};
}

/** A small network with every kind of step: first layer, merged and plain pools, both ways to
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

/** The smallest network: all that it reads and writes may be on the device. */
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

constexpr size_t kBatch = 3;
constexpr size_t kExecutable = 2;  // each run has two parts

/** What the steps of a model's life share. */
struct Life {
  std::shared_ptr<CudaBackend> backend;
  std::shared_ptr<vgg::Parameters> parameters;
  std::shared_ptr<vgg::Executable> executable, small;
  std::shared_ptr<vgg::Memory> input, output, numbers, rectified;
  std::vector<float> scores = std::vector<float>(kBatch * 7);
};

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

/** Runs on the device's memory alone; the second run needs no copies. */
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

/** Calls step on the device's thread, as the addon does, and passes on what it throws. */
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
      // Some before the weights are packed, some after.
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
  // What was let go of on this thread is freed on the device's.
  onThread(life, [] {});
  life.backend = nullptr;
}

/** Lives the whole life, with the failures that are armed; a step that failed is tried again.
 * Returns the codes seen. */
std::vector<Code> live(Life& life, bool isSticky) {
  std::vector<Code> seen;
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
        expect(attempt == 0, std::string("Again, and without a failing call: ") + error.what());
      }
    }
  }
  return seen;
}

std::string leaks() {
  const std::map<std::string, int64_t> alive{{"device memory", control->deviceAllocations},
                                             {"streams", control->streams},
                                             {"events", control->events},
                                             {"modules", control->modules},
                                             {"graphs", control->graphs},
                                             {"executable graphs", control->graphExecs},
                                             {"contexts", control->contextsRetained},
                                             {"cuDNN handles", control->cudnnHandles},
                                             {"cuDNN descriptors", control->cudnnDescriptors},
                                             {"cuBLASLt objects", control->cublasLtObjects},
                                             {"NVRTC programs", control->nvrtcPrograms}};
  std::string text;
  for (const auto& [name, count] : alive) {
    if (count != 0) text += " " + std::to_string(count) + " " + name;
  }
  return text;
}

/** In a process of its own: 0, or what went wrong on stderr. */
int child(const char* folder, int64_t failAt, int64_t kind, const std::vector<float>* truth,
          int out) {
  void* library = dlopen((std::string(folder) + "/libcuda.so.1").c_str(), RTLD_NOW);
  if (library == nullptr) throw Problem{dlerror()};
  control = reinterpret_cast<FakeCudaControl* (*)()>(dlsym(library, "fakeCudaControl"))();
  control->failAt = failAt;
  control->failKind = kind;
  Life life;
  const std::vector<Code> seen = live(life, kind >= kFakeCudaIllegalAddress);
  const bool isLost = control->devicesLost > 0;
  if (truth != nullptr && !isLost) {
    for (size_t i = 0; i < truth->size(); ++i)
      expect(std::abs((*truth)[i] - life.scores[i]) <= 2e-3F,
             "Expected the same scores after a failure");
  }
  const int64_t calls = control->calls;
  end(life);
  expect(control->misuseCount == 0, std::string("Misuse: ") + control->misuse);
  expect(leaks().empty(), "Leaked:" + leaks());
  const int64_t header[2] = {calls, seen.empty() ? -1 : static_cast<int64_t>(seen.front())};
  if (::write(out, static_cast<const void*>(header), sizeof header) < 0) return 1;
  if (::write(out, life.scores.data(), life.scores.size() * sizeof(float)) < 0) return 1;
  return 0;
}

struct Ending {
  int status = 0;
  int64_t calls = 0, code = -1;
  std::vector<float> scores = std::vector<float>(kBatch * 7);
};

struct Running {
  pid_t process = 0;
  int in = 0;
};

Running start(const char* folder, int64_t failAt, int64_t kind, const std::vector<float>* truth) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) std::abort();
  const pid_t process = fork();
  if (process == 0) {
    close(ends[0]);
    alarm(120);  // a hang is a failure too
    int status = 1;
    try {
      status = child(folder, failAt, kind, truth, ends[1]);
    } catch (const Problem& problem) {
      std::fprintf(stderr, "call %lld, kind %lld: %s\n", static_cast<long long>(failAt),
                   static_cast<long long>(kind), problem.what.c_str());
    } catch (const std::exception& error) {
      std::fprintf(stderr, "call %lld, kind %lld: not a typed error: %s\n",
                   static_cast<long long>(failAt), static_cast<long long>(kind), error.what());
    }
    std::exit(status);  // NOLINT(concurrency-mt-unsafe): leak checkers run at exit
  }
  close(ends[1]);
  return {process, ends[0]};
}

Ending wait(const Running& running) {
  Ending ending;
  int64_t header[2] = {};
  if (read(running.in, static_cast<void*>(header), sizeof header) == sizeof header) {
    ending.calls = header[0];
    ending.code = header[1];
    if (read(running.in, ending.scores.data(), ending.scores.size() * sizeof(float)) < 0)
      ending.calls = 0;
  }
  close(running.in);
  waitpid(running.process, &ending.status, 0);
  return ending;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const char* folder = argv[1];
  setenv("VGG_CUDA_PATH", folder, 1);  // NOLINT(concurrency-mt-unsafe)
  const int64_t step = argc > 2 ? std::atoll(argv[2]) : 1;
  const int64_t first = argc > 3 ? std::atoll(argv[3]) : 1;
  const Ending whole = wait(start(folder, 0, 0, nullptr));
  if (whole.status != 0 || whole.calls == 0) {
    std::printf("0 passed, 1 failed: the life without failures\n");
    return 1;
  }
  std::map<std::string, int> codes;
  int passed = 0;
  int failed = 0;
  std::vector<Running> waiting;
  const auto drain = [&](size_t limit) {
    while (waiting.size() > limit) {
      const Ending ending = wait(waiting.front());
      waiting.erase(waiting.begin());
      ++(ending.status == 0 ? passed : failed);
      ++codes[ending.status != 0 ? "(failed)"
              : ending.code < 0  ? "(overcome)"
                                 : codeName(static_cast<Code>(ending.code))];
    }
  };
  for (int64_t call = first; call <= whole.calls; call += step) {
    for (int64_t kind = kFakeCudaOutOfMemory; kind <= kFakeCudaUnknown; ++kind) {
      waiting.push_back(start(folder, call, kind, &whole.scores));
      drain(1);
    }
  }
  drain(0);
  std::printf("%lld CUDA calls x 5 ways to fail (every %lld.)\n",
              static_cast<long long>(whole.calls), static_cast<long long>(step));
  for (const auto& [code, count] : codes) std::printf("  %-20s %d\n", code.c_str(), count);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
