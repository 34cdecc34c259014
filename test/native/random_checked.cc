// A checked copy of the random numbers, because the build for the sanitizers compiles theirs
// without checks. They stand before the library's in the link of core_test.
#include "core/random.cc"
