# Read after project() when prebuild.mjs builds an addon.
if(APPLE)
  # Zig's linker makes no bundles. Node loads a dynamic library as well.
  set(CMAKE_SHARED_MODULE_CREATE_CXX_FLAGS "-shared")
endif()

# Half of the compiler's time goes into the C++ library's headers. Each target reads them once.
function(precompile_headers)
  set(headers <algorithm> <array> <atomic> <chrono> <cmath> <cstdint> <cstring> <functional> <limits> <map> <memory> <mutex>
    <optional> <string> <string_view> <utility> <vector>)
  foreach(target vgg_core vgg_cuda vgg_cudnn)
    target_precompile_headers(${target} PRIVATE ${headers})
    get_target_property(sources ${target} SOURCES)
    foreach(source ${sources})
      # Precompiled headers fit sources with the same options only.
      get_source_file_property(options ${source} COMPILE_OPTIONS)
      if(options)
        set_source_files_properties(${source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
      endif()
    endforeach()
  endforeach()
  target_precompile_headers(vgg_cudnn PRIVATE <napi.h>)
endfunction()
cmake_language(DEFER CALL precompile_headers)
