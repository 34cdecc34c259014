// Libraries at run time: what is opened, what is refused with the system's reason, and what this
// process has mapped.
#include "core/dynamic_library.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/path.h"
#include "expect.h"

namespace vgg {
namespace {

/** The C++ library, which the system searches for by this bare name on Linux. */
constexpr const char* kLibrary = "libstdc++.so.6";

void aMissingLibraryHasAReason() {
  const OpenedLibrary missing = openLibrary("vgg-no-such-library");
  EXPECT(missing.handle == nullptr);
  EXPECT(missing.error.find("vgg-no-such-library") != std::string::npos);
  EXPECT(findOpenLibrary("vgg-no-such-library") == nullptr);
}

void anOpenLibraryHasAPathAndSymbols() {
  const OpenedLibrary opened = openLibrary(kLibrary);
  EXPECT(opened.handle != nullptr && opened.error.empty());
  if (opened.handle == nullptr) return;
  EXPECT(findOpenLibrary(kLibrary) == opened.handle);
  const std::string path = pathOfLibrary(opened.handle);
  EXPECT(isPresent(pathFromUtf8(path)));
  void* address = findSymbol(opened.handle, "__cxa_throw");
  EXPECT(address != nullptr);
  EXPECT(pathOfSymbol(address) == path);
  EXPECT(findSymbol(opened.handle, "vgg_no_such_symbol") == nullptr);
  const std::vector<std::string> mapped = mappedLibraries("libstdc++");
  EXPECT(mapped.size() == 1 && mapped.front() == path);
  EXPECT(mappedLibraries("vgg-no-such-library").empty());
}

/** A file that begins as this one, and what opening it gives. */
std::string errorOfPart(const std::string& content, size_t bytes) {
  const std::string path = "dynamic_library_test.part.so";
  std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(bytes));
  const OpenedLibrary opened = openLibrary("./" + path);
  std::filesystem::remove(path);
  EXPECT(opened.handle == nullptr);
  return opened.error;
}

void aTruncatedLibraryIsNotOpened() {
  const std::string path = pathOfLibrary(openLibrary(kLibrary).handle);
  EXPECT(faultOfLibraryFile(path).empty());
  EXPECT(faultOfLibraryFile("no such file").empty());
  EXPECT(faultOfLibraryFile(".") == "is not a regular file");
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  EXPECT(content.size() > 100'000);
  for (const size_t bytes : {size_t{64}, size_t{200}, size_t{100'000}, content.size() - 1})
    EXPECT(errorOfPart(content, bytes).find("is truncated") != std::string::npos);
  for (const size_t bytes : {size_t{0}, size_t{4}, size_t{63}})
    EXPECT(!errorOfPart(content, bytes).empty());
}

void thisLibraryIsKept() {
  EXPECT(pathOfSymbol(reinterpret_cast<const void*>(&thisLibraryIsKept)).find("core_test") !=
         std::string::npos);
  keepThisLibrary();
}

void pathsAreUtf8() {
  const std::string text = "J\xc3\xb6rg/\xe7\x8c\xab.bin";
  EXPECT(utf8Of(pathFromUtf8(text)) == text);
  EXPECT(utf8Of(pathFromUtf8(text).filename()) == "\xe7\x8c\xab.bin");
  EXPECT(isPresent("."));
  EXPECT(!isPresent(pathFromUtf8("no such folder/" + text)));
}

}  // namespace

void testDynamicLibraries() {
  aMissingLibraryHasAReason();
#ifdef __linux__
  anOpenLibraryHasAPathAndSymbols();
  aTruncatedLibraryIsNotOpened();
#endif
  thisLibraryIsKept();
  pathsAreUtf8();
}

}  // namespace vgg
