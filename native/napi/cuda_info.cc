#include "napi/cuda_info.h"

#include "cuda/backend.h"
#include "cuda/cost.h"
#include "cuda/planning.h"
#include "napi/addon_data.h"
#include "napi/devices.h"
#include "napi/read_program.h"

namespace vgg::napi {
namespace {

Napi::Object toObject(Napi::Env env, const cuda::Library& library) {
  Napi::Object object = Napi::Object::New(env);
  const auto text = [&](const std::string& value) {
    return value.empty() ? env.Null().As<Napi::Value>() : Napi::String::New(env, value);
  };
  object.Set("name", library.name);
  object.Set("path", text(library.path));
  object.Set("version", text(library.version));
  object.Set("problem", text(library.problem));
  object.Set("code", library.problem.empty() ? env.Null().As<Napi::Value>()
                                             : Napi::String::New(env, codeName(library.code)));
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::PlannedConvolution& row) {
  Napi::Object object = Napi::Object::New(env);
  const auto number = [&](size_t value) {
    return Napi::Number::New(env, static_cast<double>(value));
  };
  object.Set("weight", row.weight);
  object.Set("problem", row.problem);
  object.Set("batch", number(static_cast<size_t>(row.batch)));
  object.Set("form", cuda::nameOf(row.form));
  object.Set("offered", number(row.offered));
  object.Set("allowed", number(row.allowed));
  object.Set("tooLarge", number(row.tooLarge));
  object.Set("plans", number(row.plans));
  object.Set("compiledAtRunTime", number(row.compiled));
  object.Set("workspaceBytes", number(row.workspaceBytes));
  object.Set("engine", Napi::Number::New(env, static_cast<double>(row.engine)));
  object.Set("isFirstLayer", row.isFirstLayer);
  object.Set("refusal", row.refusal.empty() ? env.Null().As<Napi::Value>()
                                            : Napi::String::New(env, row.refusal));
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::PlannedKernels& row) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("file", row.file);
  object.Set("bytes", Napi::Number::New(env, static_cast<double>(row.bytes)));
  object.Set("log", row.log);
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::StepCost& row) {
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) {
    object.Set(name, Napi::Number::New(env, value));
  };
  object.Set("name", row.name);
  object.Set("kernel", row.kernel);
  set("blocks", static_cast<double>(row.blocks));
  set("bytes", static_cast<double>(row.bytes));
  set("weightBytes", static_cast<double>(row.weightBytes));
  set("operations", row.operations);
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::Attempt& attempt) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("library", attempt.library);
  object.Set("path", attempt.path);
  object.Set("error", attempt.error.empty() ? env.Null().As<Napi::Value>()
                                            : Napi::String::New(env, attempt.error));
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::Gpu& gpu) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("id", "cuda:" + std::to_string(gpu.ordinal));
  object.Set("name", gpu.name);
  object.Set("memoryBytes", Napi::Number::New(env, static_cast<double>(gpu.memoryBytes)));
  // Only where the GPU is open: to ask otherwise would take some of its memory.
  forEachOpenDevice([&](Backend& backend) {
    if (backend.info().id != "cuda:" + std::to_string(gpu.ordinal)) return;
    object.Set("memoryFreeBytes", Napi::Number::New(env, static_cast<double>(backend.freeBytes())));
  });
  object.Set("computeCapability", std::to_string(gpu.major) + "." + std::to_string(gpu.minor));
  object.Set("multiprocessors", gpu.multiprocessors);
  object.Set("pciBusId", gpu.pciBusId);
  object.Set("uuid", gpu.uuid);
  object.Set("precisions", precisionNames(env, cuda::precisionsOf(gpu)));
  return object;
}

template <typename Row>
Napi::Array toArray(Napi::Env env, const std::vector<Row>& rows) {
  Napi::Array list = Napi::Array::New(env, rows.size());
  for (uint32_t i = 0; i < rows.size(); ++i) list.Set(i, toObject(env, rows[i]));
  return list;
}

}  // namespace

Napi::Value cudaDevices(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto libraries = cuda::loadDriver();
    std::vector<cuda::Gpu> gpus;
    if (libraries->driver.problem.empty()) gpus = cuda::listGpus(*libraries);
    return toArray(info.Env(), gpus);
  });
}

Napi::Value cudaReport(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto libraries = cuda::loadLibraries();
    Napi::Object report = Napi::Object::New(info.Env());
    report.Set("libraries",
               toArray(info.Env(), std::vector{libraries->driver, libraries->cudnn,
                                               libraries->cublasLt, libraries->nvrtc}));
    report.Set("attempts", toArray(info.Env(), libraries->attempts));
    return report;
  });
}

Napi::Value planConvolutions(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto described = info[0].As<Napi::Object>();
    const cuda::NamedGpu gpu{described.Get("description").ToString(),
                             described.Get("name").ToString(),
                             described.Get("capability").ToNumber()};
    const Program program = readProgram(info[1].As<Napi::Object>());
    const std::vector<ParameterSpec> specs = readParameterSpecs(info[2].As<Napi::Array>());
    const auto options = info[3].As<Napi::Object>();
    const cuda::PlanOptions planned{
        readPrecision(options.Get("precision").ToString()),
        options.Get("batch").ToNumber().Int64Value(),
        static_cast<size_t>(options.Get("limit").ToNumber().Int64Value())};
    const cuda::DiskCache cache(options.Get("cacheFolder").ToString());
    return inBackground(info.Env(), "vgg-cudnn:planConvolutions", [=]() -> MakeValue {
      auto rows = cuda::planConvolutions(gpu, program, specs, planned, cache);
      return [rows = std::move(rows)](Napi::Env env) { return toArray(env, rows); };
    });
  });
}

Napi::Value planSteps(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Program program = readProgram(info[0].As<Napi::Object>());
    const std::vector<ParameterSpec> specs = readParameterSpecs(info[1].As<Napi::Array>());
    const auto options = info[2].As<Napi::Object>();
    const std::string wanted = options.Get("form").ToString();
    std::optional<cuda::Form> form;
    for (const cuda::Form each : {cuda::Form::kPlain, cuda::Form::kFused}) {
      if (wanted == cuda::nameOf(each)) form = each;
    }
    return toArray(info.Env(),
                   cuda::costsOf(program, specs, readPrecision(options.Get("precision").ToString()),
                                 options.Get("batch").ToNumber().Int64Value(), form));
  });
}

Napi::Value planKernels(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int capability = info[0].ToNumber();
    const cuda::DiskCache cache(info[1].ToString());
    return inBackground(info.Env(), "vgg-cudnn:planKernels", [=]() -> MakeValue {
      auto rows = cuda::planKernels(capability, cache);
      return [rows = std::move(rows)](Napi::Env env) { return toArray(env, rows); };
    });
  });
}

}  // namespace vgg::napi
