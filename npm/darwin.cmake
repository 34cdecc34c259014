# Read after project() when prebuild.mjs builds for macOS: Zig's linker makes no bundles. Node loads a dynamic library as well.
set(CMAKE_SHARED_MODULE_CREATE_CXX_FLAGS "-shared")
