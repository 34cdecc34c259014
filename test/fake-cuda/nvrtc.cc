// The fake NVRTC. It accepts exactly the sources that are compiled into this library.
#include "nvrtc.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "device.h"

using namespace fake;

namespace {

// Results beyond those that the addon names (nvrtc.h of NVIDIA).
constexpr int kInvalidInput = 3;
constexpr int kInvalidProgram = 4;
constexpr int kInvalidOption = 5;
constexpr int kInternalError = 11;
// The architectures of NVRTC 13.0.
constexpr int kArchitectures[] = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120};
constexpr const char* kImageStart = "FAKE-CUBIN 1 ";
constexpr const char* kPtxStart = "// FAKE-PTX 1 ";

struct Program : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kNvrtcProgram;
  using Handle = nvrtcProgram;
  std::mutex mutex;
  std::string source, name, log, image;
  std::map<std::string, std::string> headers;
  bool compiled = false, isPtx = false;
};

int fault(int64_t kind) {
  if (kind == kFakeCudaOutOfMemory) return NVRTC_ERROR_OUT_OF_MEMORY;
  return kind == kFakeCudaNotSupported ? NVRTC_ERROR_COMPILATION : kInternalError;
}

const KernelText* findText(const std::string& text) {
  for (const KernelText& each : kernelTexts())
    if (text == each.text) return &each;
  return nullptr;
}

// Every #include "name" of the text must be among the headers, and equal to ours byte for byte.
bool checkIncludes(const Program& program, const std::string& text, std::string* log) {
  static constexpr char kInclude[] = "#include ";
  for (size_t at = text.find(kInclude); at != std::string::npos; at = text.find(kInclude, at)) {
    at += sizeof kInclude - 1;
    const size_t end = text.find_first_of("\">", at + 1);
    const std::string name = text.substr(at + 1, end - at - 1);
    const auto header = program.headers.find(name);
    if (text[at] == '<' || header == program.headers.end()) {
      *log += program.name + ": error: could not open source file \"" + name + "\"\n";
      return false;
    }
    const KernelText* known = findText(header->second);
    if (!known || name != known->name) {
      *log += name + ": error: this is not the file that was compiled into the fake\n";
      return false;
    }
    if (!checkIncludes(program, header->second, log)) return false;
  }
  return true;
}

bool isHarmless(const std::string& option) {
  for (const char* start : {"--std=", "-std=", "--fmad=", "-fmad=", "-Xptxas=", "--ptxas-options="})
    if (option.starts_with(start)) return true;
  for (const char* whole : {"-default-device", "--device-as-default-execution-space", "-lineinfo",
                            "--generate-line-info", "--extra-device-vectorization",
                            "-extra-device-vectorization", "-w", "--disable-warnings"})
    if (option == whole) return true;
  return false;
}

int compile(Program& program, int count, const char* const* options) {
  program.log.clear();
  program.compiled = false;
  int architecture = 52;  // NVRTC's former default
  for (int i = 0; i < count; ++i) {
    const std::string option = options[i];
    const size_t equals = option.find('=');
    const std::string key = option.substr(0, equals);
    if (key == "--gpu-architecture" || key == "-arch") {
      const std::string value = option.substr(equals + 1);
      program.isPtx = value.starts_with("compute_");
      if (!program.isPtx && !value.starts_with("sm_")) {
        program.log = "nvrtc: error: invalid value for --gpu-architecture (-arch)\n";
        return kInvalidOption;
      }
      architecture = std::atoi(value.c_str() + value.find('_') + 1);
    } else if (!isHarmless(option)) {
      program.log = "nvrtc: error: the fake does not know the option " + option + "\n";
      return kInvalidOption;
    }
  }
  bool supported = false;
  for (const int each : kArchitectures) supported = supported || each == architecture;
  if (!supported) {
    program.log = "nvrtc: error: invalid value for --gpu-architecture (-arch)\n";
    return kInvalidOption;
  }
  const KernelText* known = findText(program.source);
  if (!known) {
    program.log =
        program.name + "(1): error: this is not a source that was compiled into the fake\n";
    return NVRTC_ERROR_COMPILATION;
  }
  if (!checkIncludes(program, program.source, &program.log)) return NVRTC_ERROR_COMPILATION;
  program.image = Image{known->name, architecture, program.isPtx}.text();
  program.compiled = true;
  add(&FakeCudaControl::compilations, 1);
  return NVRTC_SUCCESS;
}

int copyOut(const std::string& text, size_t* bytes, char* to) {
  if (bytes) *bytes = text.size() + 1;
  if (to) std::memcpy(to, text.c_str(), text.size() + 1);
  return bytes || to ? NVRTC_SUCCESS : kInvalidInput;
}

int giveImage(nvrtcProgram handle, const char* caller, bool ptx, size_t* bytes, char* to) {
  if (const int64_t kind = countCall()) return fault(kind);
  const auto program = find<Program>(handle, caller);
  if (!program) return kInvalidProgram;
  const std::lock_guard lock(program->mutex);
  if (!program->compiled || program->isPtx != ptx) return kInvalidProgram;
  return copyOut(program->image, bytes, to);
}

}  // namespace

namespace fake {

std::string Image::text() const {
  return (isPtx ? kPtxStart : kImageStart) + std::to_string(architecture) + " " + file + "\n";
}

std::optional<Image> Image::parse(const char* text) {
  Image image;
  image.isPtx = std::strncmp(text, kPtxStart, std::strlen(kPtxStart)) == 0;
  const char* start = image.isPtx ? kPtxStart : kImageStart;
  if (std::strncmp(text, start, std::strlen(start)) != 0) return std::nullopt;
  const char* at = text + std::strlen(start);
  image.architecture = std::atoi(at);
  const char* space = std::strchr(at, ' ');
  const char* end = std::strchr(at, '\n');
  if (!space || !end || end < space) return std::nullopt;
  image.file.assign(space + 1, end);
  return image;
}

}  // namespace fake

nvrtcResult nvrtcVersion(int* major, int* minor) {
  if (!major || !minor) return kInvalidInput;
  *major = 13;
  *minor = 0;
  return NVRTC_SUCCESS;
}

const char* nvrtcGetErrorString(nvrtcResult result) {
  switch (result) {
    case NVRTC_SUCCESS:
      return "NVRTC_SUCCESS";
    case NVRTC_ERROR_OUT_OF_MEMORY:
      return "NVRTC_ERROR_OUT_OF_MEMORY";
    case kInvalidInput:
      return "NVRTC_ERROR_INVALID_INPUT";
    case kInvalidProgram:
      return "NVRTC_ERROR_INVALID_PROGRAM";
    case kInvalidOption:
      return "NVRTC_ERROR_INVALID_OPTION";
    case NVRTC_ERROR_COMPILATION:
      return "NVRTC_ERROR_COMPILATION";
    case kInternalError:
      return "NVRTC_ERROR_INTERNAL_ERROR";
    default:
      return "NVRTC_ERROR unknown";
  }
}

nvrtcResult nvrtcGetNumSupportedArchs(int* count) {
  if (const int64_t kind = countCall()) return fault(kind);
  if (!count) return kInvalidInput;
  *count = static_cast<int>(std::size(kArchitectures));
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcGetSupportedArchs(int* architectures) {
  if (const int64_t kind = countCall()) return fault(kind);
  if (!architectures) return kInvalidInput;
  std::memcpy(architectures, kArchitectures, sizeof kArchitectures);
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcCreateProgram(nvrtcProgram* result, const char* source, const char* name,
                               int headerCount, const char* const* headers,
                               const char* const* includeNames) {
  if (const int64_t kind = countCall()) return fault(kind);
  if (!result || !source || headerCount < 0 || (headerCount > 0 && (!headers || !includeNames)))
    return kInvalidInput;
  auto program = std::make_shared<Program>(-1);
  program->source = source;
  program->name = name ? name : "default_program";
  for (int i = 0; i < headerCount; ++i) program->headers[includeNames[i]] = headers[i];
  *result = publish(program);
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcDestroyProgram(nvrtcProgram* program) {
  countFreeingCall();
  if (!program || !retire<Program>(*program, "nvrtcDestroyProgram")) return kInvalidProgram;
  *program = nullptr;
  return NVRTC_SUCCESS;
}

nvrtcResult nvrtcCompileProgram(nvrtcProgram handle, int optionCount, const char* const* options) {
  if (const int64_t kind = countCall()) return fault(kind);
  const auto program = find<Program>(handle, "nvrtcCompileProgram");
  if (!program) return kInvalidProgram;
  if (optionCount < 0 || (optionCount > 0 && !options)) return kInvalidInput;
  const std::lock_guard lock(program->mutex);
  return compile(*program, optionCount, options);
}

nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram handle, size_t* bytes) {
  if (const int64_t kind = countCall()) return fault(kind);
  const auto program = find<Program>(handle, "nvrtcGetProgramLogSize");
  if (!program) return kInvalidProgram;
  const std::lock_guard lock(program->mutex);
  return copyOut(program->log, bytes, nullptr);
}

nvrtcResult nvrtcGetProgramLog(nvrtcProgram handle, char* log) {
  if (const int64_t kind = countCall()) return fault(kind);
  const auto program = find<Program>(handle, "nvrtcGetProgramLog");
  if (!program) return kInvalidProgram;
  const std::lock_guard lock(program->mutex);
  return copyOut(program->log, nullptr, log);
}

nvrtcResult nvrtcGetCUBINSize(nvrtcProgram program, size_t* bytes) {
  return giveImage(program, "nvrtcGetCUBINSize", false, bytes, nullptr);
}
nvrtcResult nvrtcGetCUBIN(nvrtcProgram program, char* cubin) {
  return giveImage(program, "nvrtcGetCUBIN", false, nullptr, cubin);
}
nvrtcResult nvrtcGetPTXSize(nvrtcProgram program, size_t* bytes) {
  return giveImage(program, "nvrtcGetPTXSize", true, bytes, nullptr);
}
nvrtcResult nvrtcGetPTX(nvrtcProgram program, char* ptx) {
  return giveImage(program, "nvrtcGetPTX", true, nullptr, ptx);
}
