// The random numbers under the sanitizers, which the addon's build for them leaves out for speed.
// They stand before the library's in the link of core_test.
#include "core/random.cc"
