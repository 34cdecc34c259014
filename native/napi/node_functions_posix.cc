// Node-API's functions on Linux and macOS, where the system finds them as it loads the addon.
#include "napi/node_functions.h"

namespace vgg::napi {

void requireNodeFunctions() {}

}  // namespace vgg::napi
