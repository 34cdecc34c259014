#include "cuda/nvidia/library.h"

#include <mutex>
#include <utility>

#include "core/dynamic_library.h"
#include "core/path.h"
#include "core/system.h"
#include "cuda/nvidia/installation.h"
#include "cuda/nvidia/library_folders.h"

namespace vgg::cuda {
namespace {

std::string dottedVersion(size_t version) {  // 92801 → 9.28.1
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

/** Loads into one `Libraries` for the whole process. Each stage runs again until it has succeeded.
 */
class Loader {
 public:
  Libraries libraries;
  std::vector<LibrarySet> sets;

  void loadDriver() {
    if (isDriverReady_) return;
    libraries.attempts.clear();
    driverAttempts_ = 0;
    Library& driver = libraries.driver;
    driver.problem.clear();
    driver.code = Code::kLibraryMissing;
    if (system_.problem != nullptr) {
      driver.problem = system_.problem;
      return;
    }
    void* handle = open(system_.driver, driver);
    if (handle == nullptr) {
      driver.problem = "no NVIDIA driver is visible (" + system_.driver +
                       "). Does nvidia-smi work? In a container, start it with --gpus all";
      return;
    }
#define VGG_RESOLVE(result, name, parameters) resolve(libraries.api.name, handle, driver);
    VGG_CUDA_DRIVER(VGG_RESOLVE)
#undef VGG_RESOLVE
    if (!driver.problem.empty()) return;
    driver.code = Code::kDeviceUnavailable;
    if (const CUresult result = libraries.api.cuInit(0); result != CUDA_SUCCESS) {
      driver.problem = initProblem(result);
      return;
    }
    libraries.api.cuDriverGetVersion(&libraries.driverVersion);
    driver.version = "CUDA " + std::to_string(libraries.driverVersion / 1000) + "." +
                     std::to_string(libraries.driverVersion % 1000 / 10);
    driverAttempts_ = libraries.attempts.size();
    isDriverReady_ = true;
  }

  void loadToolkit() {
    if (isToolkitReady_) return;
    if (isDriverReady_) libraries.attempts.resize(driverAttempts_);
    for (Library* library : {&libraries.cudnn, &libraries.cublasLt, &libraries.nvrtc}) {
      library->problem = system_.problem == nullptr ? "" : system_.problem;
      library->path.clear();
    }
    if (system_.problem != nullptr) return;
    libraries.cudaMajor = 0;
    // cuDNN determines the CUDA major version. No function of cuDNN is called before all libraries
    // that it opens by itself are loaded, because it ends the process if one of them is missing.
    loadCudnn();
    if (libraries.cudaMajor == 0)
      libraries.cudaMajor =
          libraries.driverVersion >= 13000 || libraries.driverVersion == 0 ? 13 : 12;
    loadCublasLt(system_.cublasLt(libraries.cudaMajor));
    loadNvrtc(system_.nvrtc(libraries.cudaMajor));
    isToolkitReady_ = libraries.cudnn.problem.empty() && libraries.cublasLt.problem.empty() &&
                      libraries.nvrtc.problem.empty();
  }

 private:
  void* tryOpen(const std::string& path, const std::string& name) {
    const auto [handle, error] = openLibrary(path);
    libraries.attempts.push_back({name, handle == nullptr ? path : pathOfLibrary(handle), error});
    return handle;
  }

  void* tryFolders(const std::vector<std::string>& folders, const std::string& name) {
    for (const std::string& folder : folders) {
      const std::string path = fileIn(folder, name);
      if (!isPresent(pathFromUtf8(path))) {
        libraries.attempts.push_back({name, path, "no such file"});
      } else if (void* handle = tryOpen(path, name)) {
        return handle;
      }
    }
    return nullptr;
  }

  /** Returns a library that the process has already. Its absence is no failure. */
  void* tryLoaded(const std::string& name) {
    void* handle = findOpenLibrary(name);
    if (handle != nullptr) libraries.attempts.push_back({name, pathOfLibrary(handle), ""});
    return handle;
  }

  /** Returns the folders of the sets that the driver can run and that have cuDNN's CUDA major. None
   * has a driver. */
  [[nodiscard]] std::vector<std::string> setFolders(const Library& library) const {
    std::vector<std::string> folders;
    if (&library == &libraries.driver) return folders;
    for (const LibrarySet& set : sets) {
      const bool fitsDriver =
          libraries.driverVersion == 0 || set.cudaMajor <= libraries.driverVersion / 1000;
      const bool fitsCudnn = libraries.cudaMajor == 0 || set.cudaMajor == libraries.cudaMajor;
      if (fitsDriver && fitsCudnn) folders.push_back(set.folder);
    }
    return folders;
  }

  /** Searches the named folders, the libraries that the process has already, the installed sets,
   * the loader's own folders, and the known folders. */
  void* open(const std::string& name, Library& library) {
    const LibraryFolders folders = libraryFolders();
    void* handle = tryFolders(folders.named(), name);
    if (handle == nullptr) handle = tryLoaded(name);
    if (handle == nullptr) handle = tryFolders(setFolders(library), name);
    if (handle == nullptr) handle = tryOpen(name, name);
    if (handle == nullptr) handle = tryFolders(folders.known(), name);
    if (handle == nullptr) {
      const std::string damage = damageOf(name);
      library.problem = (damage.empty() ? name + " was not found. Install it" : damage) +
                        " with: npx vgg-cudnn cuda install" +
                        (libraries.driverVersion == 0 ? " --cuda 13" : "") +
                        ", or name its folder in VGG_CUDA_PATH";
    } else {
      library.path = pathOfLibrary(handle);
    }
    return handle;
  }

  /** Returns a sentence about the first file of a library that cannot be opened because of its
   * fault; empty if there is none. */
  [[nodiscard]] std::string damageOf(const std::string& name) const {
    for (const auto& [library, path, error] : libraries.attempts) {
      if (library != name || error.empty() || path == name) continue;
      std::string fault = faultOfLibraryFile(path);
      if (fault.empty()) continue;
      return fault.insert(0, path + " ").append(". Delete it and install it again");
    }
    return "";
  }

  template <typename AnyFunction>
  static void resolve(AnyFunction& function, void* handle, Library& library) {
    void* address = findSymbol(handle, function.symbol);
    if (address == nullptr)
      library.problem = library.path + " lacks " + function.symbol +
                        ": it is too old, or only a part of the library";
    function.pointer = reinterpret_cast<typename AnyFunction::Pointer>(address);
  }

  /** Opens a sub-library that will later be opened by its bare name. It is looked for beside its
   * library first. A file with a fault is a problem of the library, which must not open it. */
  bool preload(const std::string& folder, const std::string& name, Library& library) {
    const std::string path = fileIn(folder, name);
    if (tryOpen(isPresent(pathFromUtf8(path)) ? path : name, name) != nullptr) return true;
    const std::string fault = faultOfLibraryFile(path);
    if (!fault.empty() && library.problem.empty())
      library.problem = path + " " + fault + ": delete it and install the libraries again";
    return false;
  }

  void loadCudnn() {
    Library& cudnn = libraries.cudnn;
    void* handle = open(system_.cudnn(""), cudnn);
    if (handle == nullptr) return;
    const std::string folder = folderOf(cudnn.path);
    // The order matters (ops before cnn, graph before the engines), because each sub-library looks
    // for earlier ones. The sub-libraries of the second list exist from 9.23 on.
    for (const char* part :
         {"graph", "ops", "cnn", "heuristic", "engines_precompiled", "engines_runtime_compiled"}) {
      const std::string name = system_.cudnn(part);
      const bool isOptional = std::string_view(part) == "ops" || std::string_view(part) == "cnn";
      if (!preload(folder, name, cudnn) && !isOptional && cudnn.problem.empty()) {
        cudnn.problem = name + " beside " + cudnn.path + " cannot be loaded (" +
                        libraries.attempts.back().error + "): a part is missing, or the driver";
      }
    }
    for (const char* part : {"engines_tensor_ir", "ext"}) {
      const std::string name = system_.cudnn(part);
      if (isPresent(pathFromUtf8(fileIn(folder, name)))) preload(folder, name, cudnn);
    }
    if (!cudnn.problem.empty()) return;
#define VGG_RESOLVE(result, name, parameters) resolve(libraries.api.name, handle, cudnn);
    VGG_CUDNN(VGG_RESOLVE)
#undef VGG_RESOLVE
    if (!cudnn.problem.empty()) return;
    const Api& api = libraries.api;
    const size_t version = api.cudnnGetVersion();
    libraries.cudnnVersion = version;
    libraries.cudaMajor = static_cast<int>(api.cudnnGetCudartVersion() / 1000);
    cudnn.version = dottedVersion(version) + " for CUDA " + std::to_string(libraries.cudaMajor);
    cudnn.code = Code::kDeviceUnavailable;
    if (version / 10000 != 9) {
      cudnn.problem = "cuDNN " + dottedVersion(version) + " at " + cudnn.path +
                      " is not supported: cuDNN 9 is needed";
    } else if (version == 91000) {
      cudnn.problem =
          "cuDNN 9.10.0 at " + cudnn.path + " has wrong values in its interface: update it";
    } else if (libraries.driverVersion != 0 &&
               libraries.driverVersion / 1000 < libraries.cudaMajor) {
      cudnn.problem = "cuDNN at " + cudnn.path + " is a build for CUDA " +
                      std::to_string(libraries.cudaMajor) + ", but the driver supports only " +
                      libraries.driver.version +
                      ": update the driver, or install the libraries for CUDA 12";
    } else if (const cudnnStatus_t status = api.cudnnGraphVersionCheck();
               status != CUDNN_STATUS_SUCCESS) {
      cudnn.problem = "the parts of cuDNN are of different versions (status " +
                      std::to_string(status) + "): " + mappedParts();
    }
  }

  /** Lists the files of cuDNN that this process has mapped, which reveals a mixed installation. */
  [[nodiscard]] std::string mappedParts() const {
    std::string list;
    for (const std::string& path : mappedLibraries(system_.cudnnPrefix))
      list += (list.empty() ? "" : ", ") + path;
    return list;
  }

  void loadCublasLt(const std::string& name) {
    Library& cublasLt = libraries.cublasLt;
    void* handle = open(name, cublasLt);
    if (handle == nullptr) return;
#define VGG_RESOLVE(result, name, parameters) resolve(libraries.api.name, handle, cublasLt);
    VGG_CUBLASLT(VGG_RESOLVE)
#undef VGG_RESOLVE
    if (!cublasLt.problem.empty()) return;
    cublasLt.version = dottedVersion(libraries.api.cublasLtGetVersion());
  }

  void loadNvrtc(const std::string& name) {
    Library& nvrtc = libraries.nvrtc;
    void* handle = open(name, nvrtc);
    if (handle == nullptr) return;
#define VGG_RESOLVE(result, name, parameters) resolve(libraries.api.name, handle, nvrtc);
    VGG_NVRTC(VGG_RESOLVE)
#undef VGG_RESOLVE
    if (!nvrtc.problem.empty()) return;
    int major = 0;
    int minor = 0;
    libraries.api.nvrtcVersion(&major, &minor);
    nvrtc.version = std::to_string(major) + "." + std::to_string(minor);
    // NVRTC opens this sub-library by its bare name while it compiles. In some wheels it cannot
    // find it by itself.
    preload(folderOf(nvrtc.path), system_.nvrtcBuiltins(major, minor), nvrtc);
  }

  [[nodiscard]] std::string initProblem(CUresult result) const {
    const char* name = nullptr;
    libraries.api.cuGetErrorName(result, &name);
    const std::string failed = "the driver at " + libraries.driver.path + " does not start: " +
                               (name == nullptr ? std::to_string(result) : name);
    switch (result) {
      case CUDA_ERROR_NO_DEVICE:
        return failed + ". Is there a GPU, and does CUDA_VISIBLE_DEVICES (\"" +
               environmentVariable("CUDA_VISIBLE_DEVICES") + "\") hide it?";
      case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
      case CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE:
        return failed +
               ". Take cuda-compat out of LD_LIBRARY_PATH, or reboot after a driver update";
      case CUDA_ERROR_STUB_LIBRARY:
        return failed + ". A folder named stubs is in LD_LIBRARY_PATH: take it out";
      default:
        return failed + ". Does nvidia-smi work?";
    }
  }

  const Installation& system_ = installation();
  bool isDriverReady_ = false, isToolkitReady_ = false;
  size_t driverAttempts_ = 0;
};

std::mutex& mutex() {
  static auto* const instance = new std::mutex;
  return *instance;
}

// Never destroyed, because device threads may run when static destructors do.
Loader& loader() {
  static auto* const instance = new Loader;
  return *instance;
}

}  // namespace

const Library* Libraries::missing() const {
  for (const Library* library : {&driver, &cudnn, &cublasLt}) {
    if (!library->problem.empty()) return library;
  }
  return nullptr;
}

std::shared_ptr<const Libraries> loadDriver() {
  const std::lock_guard lock(mutex());
  loader().loadDriver();
  return std::make_shared<Libraries>(loader().libraries);
}

void searchSets(std::vector<LibrarySet> sets) {
  const std::lock_guard lock(mutex());
  loader().sets = std::move(sets);
}

std::shared_ptr<const Libraries> loadLibraries() {
  const std::lock_guard lock(mutex());
  loader().loadDriver();
  loader().loadToolkit();
  return std::make_shared<Libraries>(loader().libraries);
}

}  // namespace vgg::cuda
