// Runs the tests of the fake CUDA libraries, and times a VGG11 on them.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "fixture.h"
#include "tests.h"

namespace {

void takesAReasonableTime() {
  for (const int64_t size : {64, 224}) {
    const auto begin = std::chrono::steady_clock::now();
    int64_t side = size;
    int64_t c = 3;
    for (const int64_t k : {64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0}) {
      if (k == 0) {
        side /= 2;
        continue;
      }
      auto x = std::vector<float>(side * side * c, 1);
      auto w = std::vector<float>(k * 9 * c, 1);
      std::vector<float> y(side * side * k);
      fake::convolve({1, c, side, side, k, {{3, 3}, {1, 1}, {1, 1}, {1, 1}}}, x.data(), w.data(),
                     y.data());
      c = k;
    }
    for (const auto& [in, out] :
         std::vector<std::pair<int64_t, int64_t>>{{25088, 4096}, {4096, 4096}, {4096, 1000}}) {
      std::vector<uint16_t> w(in * out, 0x3C00);
      std::vector<float> x(in, 1);
      std::vector<float> y(out);
      fake::multiply({out, 1, in, w.data(), in, fake::Type::kHalf, fake::Rounding::kNone, x.data()},
                     y.data());
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("VGG11 at %d pixels: %.2f s\n", static_cast<int>(size), took.count());
  }
}

}  // namespace

int main() {
  CUdeviceptr pointer = 0;
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, 16), CUDA_ERROR_NOT_INITIALIZED);
  OK(cuInit(0));
  EXPECT_STATUS(cuMemAlloc_v2(&pointer, 16), CUDA_ERROR_INVALID_CONTEXT);
  OK(cuDevicePrimaryCtxRetain(&context, 0));
  EXPECT_STATUS(cuCtxPopCurrent_v2(nullptr), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT(control().misuseCount == 1);
  control().misuseCount = 0;
  OK(cuCtxPushCurrent_v2(context));
  OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  OK(cudnnCreate(&cudnn));
  OK(cudnnSetStream(cudnn, stream));
  convolutionsAgreeWithPlainLoops();
  plansSurviveAsText();
  plansAreMadeWithoutADevice();
  descriptorsAreChecked();
  matricesAgreeWithPlainLoops();
  streamsAndGraphsKeepTheirOrder();
  ownKernelsAreCompiledAndRun();
  EXPECT(control().misuseCount == 0);
  callsFailWhereAsked();
  EXPECT(control().deviceAllocations == 0 && control().cudnnDescriptors == 0 &&
         control().cublasLtObjects == 0 && control().graphs == 0 && control().events == 0);
  if (!std::getenv("FAKE_CUDA_TEST_SHORT")) takesAReasonableTime();
  wrongAddressLosesTheDevice();
  if (control().misuse[0]) std::printf("first misuse: %s\n", control().misuse);
  std::printf(failures ? "%d failed\n" : "ok\n", failures);
  return failures ? 1 : 0;
}
