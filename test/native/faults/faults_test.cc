// Makes every CUDA call of a model's life fail, one after the other, in each of five ways. Each
// failure must be a typed error, leak nothing, and leave the next call working (or report that the
// device is lost). Usage: faults_test FOLDER [step] [first]. FOLDER holds the fake libraries, and
// every step-th call from `first` on fails.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "life.h"

namespace {

using vgg::Code;

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

/** Runs in a separate process. Returns 0, or prints to stderr what went wrong. */
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
    alarm(120);  // A hang is a failure too.
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
