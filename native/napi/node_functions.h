// Node-API's functions in the program that loads the addon.
#pragma once

namespace vgg::napi {

/**
 * Checks that the program has all functions of Node-API that the addon calls. On Linux and macOS
 * the addon would not be loaded otherwise.
 * @throws Error if it lacks one, because its Node.js is too old
 */
void requireNodeFunctions();

}  // namespace vgg::napi
