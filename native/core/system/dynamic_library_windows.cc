// Libraries at run time on Windows: LoadLibraryExW and the list of the process's modules.
// clang-format off
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#include <psapi.h>
// clang-format on

#include <algorithm>
#include <sstream>

#include "core/dynamic_library.h"
#include "core/path.h"
#include "core/system.h"

namespace vgg {
namespace {

using std::filesystem::path;

/** Returns the system's sentence for an error, with its number. Some name the file as "%1". */
std::string messageOf(DWORD error, const path& file) {
  wchar_t* text = nullptr;
  const DWORD length = FormatMessageW(
      FORMAT_MESSAGE_ALLOCATE_BUFFER | FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS,
      nullptr, error, 0, reinterpret_cast<wchar_t*>(&text), 0, nullptr);
  std::wstring sentence = text == nullptr ? std::wstring() : std::wstring(text, length);
  LocalFree(text);
  while (!sentence.empty() && (sentence.back() <= L' ' || sentence.back() == L'.'))
    sentence.pop_back();
  if (const size_t at = sentence.find(L"%1"); at != std::wstring::npos)
    sentence.replace(at, 2, file.wstring());
  const std::string number = "error " + std::to_string(error);
  return sentence.empty() ? number : utf8Of(path(sentence)) + " (" + number + ")";
}

path pathOfModule(HMODULE module) {
  constexpr size_t kMaxPath = 32768;  // the longest path that Windows knows
  std::wstring text(kMaxPath, L'\0');
  text.resize(GetModuleFileNameW(module, text.data(), static_cast<DWORD>(text.size())));
  return text;
}

/** Opens a file. The libraries that it needs are looked for beside it and in the system's folders,
 * and then also in PATH. */
HMODULE openFile(const path& file) {
  const HMODULE module = LoadLibraryExW(
      file.c_str(), nullptr, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
  if (module != nullptr || GetLastError() != ERROR_MOD_NOT_FOUND) return module;
  return LoadLibraryExW(file.c_str(), nullptr, LOAD_WITH_ALTERED_SEARCH_PATH);
}

}  // namespace

// The system compares a file with its header before it maps it.
std::string faultOfLibraryFile(const std::string& /*path*/) { return ""; }

OpenedLibrary openLibrary(const std::string& name) {
  path file = pathFromUtf8(name);
  if (file.has_parent_path()) {
    std::error_code failure;
    file = std::filesystem::absolute(file, failure).make_preferred();
    if (HMODULE module = openFile(file)) return {module, ""};
    return {nullptr, messageOf(GetLastError(), file)};
  }
  if (HMODULE module = LoadLibraryExW(file.c_str(), nullptr, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS))
    return {module, ""};
  DWORD error = GetLastError();
  // The system's own search of PATH would begin with the current folder.
  std::istringstream folders(environmentVariable("PATH"));
  for (std::string folder; std::getline(folders, folder, kListSeparator);) {
    const path candidate = (pathFromUtf8(folder) / file).make_preferred();
    if (!candidate.is_absolute() || !isPresent(candidate)) continue;
    if (HMODULE module = openFile(candidate)) return {module, ""};
    error = GetLastError();
  }
  return {nullptr, messageOf(error, file)};
}

void* findOpenLibrary(const std::string& name) {
  HMODULE module = nullptr;
  return GetModuleHandleExW(0, pathFromUtf8(name).c_str(), &module) != 0 ? module : nullptr;
}

void* findSymbol(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}

std::string pathOfLibrary(void* library) {
  return utf8Of(pathOfModule(static_cast<HMODULE>(library)));
}

std::string pathOfSymbol(const void* address) {
  HMODULE module = nullptr;
  const DWORD flags =
      GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
  if (GetModuleHandleExW(flags, static_cast<const wchar_t*>(address), &module) == 0) return "";
  return pathOfLibrary(module);
}

std::vector<std::string> mappedLibraries(const std::string& prefix) {
  std::vector<std::string> paths;
  std::vector<HMODULE> modules(1024);
  DWORD bytes = 0;
  if (K32EnumProcessModules(GetCurrentProcess(), modules.data(),
                            static_cast<DWORD>(modules.size() * sizeof(HMODULE)), &bytes) == 0)
    return paths;
  modules.resize(std::min(modules.size(), bytes / sizeof(HMODULE)));
  for (HMODULE module : modules) {
    const path file = pathOfModule(module);
    if (utf8Of(file.filename()).starts_with(prefix)) paths.push_back(utf8Of(file));
  }
  return paths;
}

void keepThisLibrary() {
  HMODULE module = nullptr;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     reinterpret_cast<const wchar_t*>(&keepThisLibrary), &module);
}

}  // namespace vgg
