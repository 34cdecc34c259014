#include "napi/cuda_info.h"

#include "cuda/backend.h"
#include "cuda/plan/launches.h"
#include "cuda/plan/planning.h"
#include "napi/addon_data.h"
#include "napi/arguments.h"
#include "napi/devices.h"
#include "napi/read_program.h"

namespace vgg::napi {
namespace {

Napi::Object toObject(Napi::Env env, const cuda::Library& library) {
  Napi::Object object = Napi::Object::New(env);
  const auto text = [&](const std::string& value) {
    return value.empty() ? env.Null().As<Napi::Value>() : Napi::String::New(env, value);
  };
  setOwn(object, "name", library.name);
  setOwn(object, "path", text(library.path));
  setOwn(object, "version", text(library.version));
  setOwn(object, "problem", text(library.problem));
  setOwn(object, "code",
         library.problem.empty() ? env.Null().As<Napi::Value>()
                                 : Napi::String::New(env, codeName(library.code)));
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::PlannedConvolution& row) {
  Napi::Object object = Napi::Object::New(env);
  const auto number = [&](size_t value) {
    return Napi::Number::New(env, static_cast<double>(value));
  };
  setOwn(object, "weight", row.weight);
  setOwn(object, "problem", row.problem);
  setOwn(object, "batch", number(static_cast<size_t>(row.batch)));
  setOwn(object, "form", cuda::nameOf(row.form));
  setOwn(object, "offered", number(row.offered));
  setOwn(object, "allowed", number(row.allowed));
  setOwn(object, "tooLarge", number(row.tooLarge));
  setOwn(object, "plans", number(row.plans));
  setOwn(object, "compiledAtRunTime", number(row.compiled));
  setOwn(object, "workspaceBytes", number(row.workspaceBytes));
  setOwn(object, "engine", Napi::Number::New(env, static_cast<double>(row.engine)));
  setOwn(object, "isFirstLayer", row.isFirstLayer);
  setOwn(object, "refusal",
         row.refusal.empty() ? env.Null().As<Napi::Value>() : Napi::String::New(env, row.refusal));
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::CompiledFile& row) {
  Napi::Object object = Napi::Object::New(env);
  setOwn(object, "file", row.file);
  setOwn(object, "bytes", Napi::Number::New(env, static_cast<double>(row.bytes)));
  setOwn(object, "log", row.log);
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::Launch& row) {
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, double value) {
    setOwn(object, name, Napi::Number::New(env, value));
  };
  setOwn(object, "name", row.name);
  setOwn(object, "kernel", row.kernel);
  set("blocks", static_cast<double>(row.blocks()));
  set("bytes", static_cast<double>(row.bytes));
  set("weightBytes", static_cast<double>(row.weightBytes));
  set("operations", row.operations);
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::Attempt& attempt) {
  Napi::Object object = Napi::Object::New(env);
  setOwn(object, "library", attempt.library);
  setOwn(object, "path", attempt.path);
  setOwn(
      object, "error",
      attempt.error.empty() ? env.Null().As<Napi::Value>() : Napi::String::New(env, attempt.error));
  return object;
}

Napi::Object toObject(Napi::Env env, const cuda::Gpu& gpu) {
  Napi::Object object = Napi::Object::New(env);
  setOwn(object, "id", "cuda:" + std::to_string(gpu.ordinal));
  setOwn(object, "name", gpu.name);
  setOwn(object, "memoryBytes", Napi::Number::New(env, static_cast<double>(gpu.memoryBytes)));
  // Ask only if the GPU is open, because a query would otherwise use some of its memory.
  forEachOpenDevice([&](Backend& backend) {
    if (backend.info().id != "cuda:" + std::to_string(gpu.ordinal)) return;
    setOwn(object, "memoryFreeBytes",
           Napi::Number::New(env, static_cast<double>(backend.freeBytes())));
  });
  setOwn(object, "computeCapability", std::to_string(gpu.major) + "." + std::to_string(gpu.minor));
  setOwn(object, "multiprocessors", gpu.multiprocessors);
  setOwn(object, "pciBusId", gpu.pciBusId);
  setOwn(object, "uuid", gpu.uuid);
  setOwn(object, "precisions", precisionNames(env, cuda::precisionsOf(gpu)));
  return object;
}

/** Reads a compute capability as an integer: 90 for 9.0. */
int readCapability(const Napi::Value& value) {
  return static_cast<int>(integerOf(value, "capability", 10, 9999));
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
    setOwn(report, "libraries",
           toArray(info.Env(), std::vector{libraries->driver, libraries->cudnn, libraries->cublasLt,
                                           libraries->nvrtc}));
    setOwn(report, "attempts", toArray(info.Env(), libraries->attempts));
    return report;
  });
}

Napi::Value cudaDriver(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto libraries = cuda::loadDriver();
    const std::string& problem = libraries->driver.problem;
    Napi::Object driver = Napi::Object::New(info.Env());
    setOwn(driver, "version", problem.empty() ? libraries->driverVersion : 0);
    setOwn(driver, "problem",
           problem.empty() ? info.Env().Null().As<Napi::Value>()
                           : Napi::String::New(info.Env(), problem));
    return driver;
  });
}

Napi::Value setCudaSets(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    cuda::searchSets(listOf<cuda::LibrarySet>(info[0], "sets", [](const Napi::Value& value) {
      const Napi::Object set = objectOf(value, "set");
      return cuda::LibrarySet{static_cast<int>(integerOf(ownProperty(set, "cuda"), "cuda", 1, 999)),
                              stringOf(ownProperty(set, "folder"), "folder")};
    }));
    return info.Env().Undefined();
  });
}

Napi::Value planConvolutions(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object described = objectOf(info[0], "gpu");
    const cuda::NamedGpu gpu{stringOf(ownProperty(described, "description"), "description"),
                             stringOf(ownProperty(described, "name"), "name"),
                             readCapability(ownProperty(described, "capability"))};
    const std::vector<ParameterSpec> specs = readParameterSpecs(info[2]);
    const Program program = readProgram(info[1], specs);
    const Napi::Object options = objectOf(info[3], "options");
    const cuda::PlanOptions planned{
        readPrecision(ownProperty(options, "precision")),
        integerOf(ownProperty(options, "batch"), "batch", 1, kMaxDimension),
        static_cast<size_t>(integerOf(ownProperty(options, "limit"), "limit", 0, kMaxDimension))};
    const cuda::DiskCache cache(stringOf(ownProperty(options, "cacheFolder"), "cacheFolder"));
    return inBackground(info.Env(), "vgg-cudnn:planConvolutions", [=]() -> MakeValue {
      auto rows = cuda::planConvolutions(gpu, program, specs, planned, cache);
      return [rows = std::move(rows)](Napi::Env env) { return toArray(env, rows); };
    });
  });
}

Napi::Value stepCosts(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::vector<ParameterSpec> specs = readParameterSpecs(info[1]);
    const Program program = readProgram(info[0], specs);
    const Napi::Object options = objectOf(info[2], "options");
    const Napi::Value wanted = ownProperty(options, "form");
    std::optional<cuda::Form> form;
    for (const cuda::Form each : {cuda::Form::kPlain, cuda::Form::kFused}) {
      if (!wanted.IsNull() && stringOf(wanted, "form") == cuda::nameOf(each)) form = each;
    }
    return toArray(info.Env(),
                   cuda::launchesOf(
                       program, specs, readPrecision(ownProperty(options, "precision")),
                       integerOf(ownProperty(options, "batch"), "batch", 1, kMaxDimension), form));
  });
}

Napi::Value compileKernels(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int capability = readCapability(info[0]);
    const cuda::DiskCache cache(stringOf(info[1], "cacheFolder"));
    return inBackground(info.Env(), "vgg-cudnn:compileKernels", [=]() -> MakeValue {
      auto rows = cuda::compileKernels(capability, cache);
      return [rows = std::move(rows)](Napi::Env env) { return toArray(env, rows); };
    });
  });
}

}  // namespace vgg::napi
