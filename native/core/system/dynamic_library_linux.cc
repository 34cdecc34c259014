// Libraries at run time on Linux alone: files that it cannot open, and what a process has mapped.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "core/dynamic_library.h"

namespace vgg {
namespace {

/** Returns how many bytes an ELF file has by its tables; 0 if it is no ELF file of 64 bits. */
uint64_t elfBytes(std::ifstream& file) {
  Elf64_Ehdr header{};
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header)) return 0;
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return 0;
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return 0;
  uint64_t end = header.e_shoff + uint64_t{header.e_shnum} * header.e_shentsize;
  Elf64_Phdr segment{};
  if (header.e_phentsize != sizeof segment) return end;
  file.seekg(static_cast<std::streamoff>(header.e_phoff));
  for (int left = header.e_phnum; left > 0; --left) {
    if (!file.read(reinterpret_cast<char*>(&segment), sizeof segment)) break;
    if (segment.p_type == PT_LOAD) end = std::max(end, segment.p_offset + segment.p_filesz);
  }
  return end;
}

}  // namespace

std::string faultOfLibraryFile(const std::string& path) {
  std::error_code failure;
  const auto status = std::filesystem::status(path, failure);
  if (!std::filesystem::exists(status)) return "";
  // To open a pipe would wait for its writer.
  if (!std::filesystem::is_regular_file(status)) return "is not a regular file";
  const uint64_t size = std::filesystem::file_size(path, failure);
  std::ifstream file(path, std::ios::binary);
  // The system's loader maps what a truncated file lacks. Reading it raises SIGBUS.
  const uint64_t bytes = elfBytes(file);
  if (failure || bytes <= size) return "";
  return "is truncated: it has " + std::to_string(size) + " of at least " + std::to_string(bytes) +
         " bytes";
}

std::string pathOfLibrary(void* library) {
  link_map* map = nullptr;
  return dlinfo(library, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map != nullptr
             ? map->l_name
             : "";
}

std::vector<std::string> mappedLibraries(const std::string& prefix) {
  struct Search {
    const std::string& prefix;
    std::vector<std::string> paths;
  } search{prefix, {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& found = *static_cast<Search*>(data);
        std::string path = info->dlpi_name;
        if (path.compare(path.rfind('/') + 1, found.prefix.size(), found.prefix) == 0)
          found.paths.push_back(std::move(path));
        return 0;
      },
      &search);
  return std::move(search.paths);
}

}  // namespace vgg
