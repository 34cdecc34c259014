# One library that stands in for libcuda, cuDNN, cuBLASLt and NVRTC. `cmake --build . --target fake_cuda` writes it to
# build/fake-cuda under all their names.
set(fake_cuda_folder ${CMAKE_CURRENT_LIST_DIR})
get_filename_component(fake_cuda_root ${fake_cuda_folder}/../.. ABSOLUTE)
if(NOT DEFINED FAKE_CUDA_OUTPUT)
  set(FAKE_CUDA_OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/fake-cuda)
endif()
find_package(Threads REQUIRED)

file(GLOB fake_cuda_kernels CONFIGURE_DEPENDS ${fake_cuda_root}/native/cuda/kernels/*.cu ${fake_cuda_root}/native/cuda/kernels/*.h)
list(SORT fake_cuda_kernels)
string(REPLACE ";" "|" fake_cuda_kernel_list "${fake_cuda_kernels}")
set(fake_cuda_texts ${CMAKE_CURRENT_BINARY_DIR}/fake_cuda_kernel_texts.cc)
add_custom_command(OUTPUT ${fake_cuda_texts}
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${fake_cuda_texts} "-DSOURCES=${fake_cuda_kernel_list}" -P ${fake_cuda_folder}/embed_kernels.cmake
  DEPENDS ${fake_cuda_kernels} ${fake_cuda_folder}/embed_kernels.cmake
  VERBATIM)
# The emulator includes the kernels' sources.
set_source_files_properties(${fake_cuda_folder}/emulator/emulated_kernels.cc PROPERTIES OBJECT_DEPENDS "${fake_cuda_kernels}")
if(VGG_SANITIZE)
  # Compiling takes minutes otherwise.
  set_source_files_properties(${fake_cuda_folder}/emulator/emulated_kernels.cc PROPERTIES COMPILE_OPTIONS "-O1;-fno-sanitize=undefined")
endif()

file(GLOB_RECURSE fake_cuda_sources CONFIGURE_DEPENDS ${fake_cuda_folder}/*.cc)
add_library(fake_cuda SHARED EXCLUDE_FROM_ALL ${fake_cuda_sources} ${fake_cuda_texts})
target_include_directories(fake_cuda PRIVATE ${fake_cuda_folder} ${fake_cuda_root}/native)
target_link_libraries(fake_cuda PRIVATE Threads::Threads)
# It is never published or moved, so it may use every instruction set of this machine.
target_compile_options(fake_cuda PRIVATE -O2 -march=native)
target_link_options(fake_cuda PRIVATE -Wl,--no-undefined)
set_source_files_properties(${fake_cuda_folder}/arithmetic.cc PROPERTIES COMPILE_OPTIONS "-O3;-fno-math-errno")
set_target_properties(fake_cuda PROPERTIES
  OUTPUT_NAME fake_cuda
  CXX_VISIBILITY_PRESET hidden
  LIBRARY_OUTPUT_DIRECTORY ${FAKE_CUDA_OUTPUT})
foreach(name libcuda.so.1
    libcudnn.so.9 libcudnn_graph.so.9 libcudnn_ops.so.9 libcudnn_cnn.so.9 libcudnn_heuristic.so.9
    libcudnn_engines_precompiled.so.9 libcudnn_engines_runtime_compiled.so.9
    libcublasLt.so.13 libnvrtc.so.13 libnvrtc-builtins.so.13 libnvrtc-builtins.so.13.0)
  add_custom_command(TARGET fake_cuda POST_BUILD
    COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE_NAME:fake_cuda> ${FAKE_CUDA_OUTPUT}/${name})
endforeach()
file(GLOB fake_cuda_tests CONFIGURE_DEPENDS ${fake_cuda_root}/test/native/fake_cuda/*.cc)
if(fake_cuda_tests)
  add_executable(fake_cuda_test EXCLUDE_FROM_ALL ${fake_cuda_tests} ${fake_cuda_folder}/arithmetic.cc)
  target_include_directories(fake_cuda_test PRIVATE ${fake_cuda_folder} ${fake_cuda_root}/native)
  target_compile_definitions(fake_cuda_test PRIVATE FAKE_CUDA_KERNELS="${fake_cuda_root}/native/cuda/kernels")
  target_compile_options(fake_cuda_test PRIVATE -O2 -march=native)
  target_link_libraries(fake_cuda_test PRIVATE fake_cuda Threads::Threads)
endif()
