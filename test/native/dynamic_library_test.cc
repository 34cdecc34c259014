// Libraries at run time: what is opened, what is refused with the system's reason, and what this
// process has mapped.
#include "core/dynamic_library.h"

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
#endif
  thisLibraryIsKept();
  pathsAreUtf8();
}

}  // namespace vgg
