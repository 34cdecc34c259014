// The fake cuDNN's own types: handles, descriptors as checked sets of attributes, and the
// convolution that an operation graph describes.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "arithmetic.h"
#include "device.h"
#include "ledger.h"

namespace fake {

// Statuses beyond those that the addon names (cudnn_graph.h).
enum : int {
  kCudnnNotInitialized = 1001,
  kCudnnSerializationVersionMismatch = 1003,
  kBadParam = 2000,
  kBadParamNullPointer = 2002,
  kBadParamMisaligned = 2003,
  kBadParamNotFinalized = 2004,
  kBadParamOutOfBound = 2005,
  kBadParamSizeInsufficient = 2006,
  kBadParamShapeMismatch = 2008,
  kBadParamDuplicated = 2009,
  kBadParamAttributeType = 2010,
  kBadParamDescriptorType = 2012,
  kNotSupportedGraphPattern = 3001,
  kNotSupportedShape = 3002,
  kNotSupportedDataType = 3003,
  kNotSupportedLayout = 3004,
  kNotSupportedArchMismatch = 3007,
  kExecutionFailedDriver = 5001,
};

// Attributes that the addon does not name but another program may set.
enum : int {
  kTensorIsByValue = 908,
  kPointwiseAlpha1 = 754,
  kPointwiseAlpha2 = 755,
  kEngineOperationGraph = 1300,
  kEngineDeviceProp = 1307,
  kEngineConfigWorkspaceSize = 303,
};

struct CudnnHandle : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kCudnnHandle;
  using Handle = cudnnHandle_t;
  std::mutex mutex;
  CUstream stream = nullptr;
  std::atomic<int> users{0};
};

/** A convolution and the operations after it. Tensors are (N, C, H, W) in NHWC order. */
struct ConvolutionGraph {
  Type type = Type::kFloat;
  bool hasBias = false;
  Type biasType = Type::kFloat;
  bool hasRelu = false;
  ConvolutionShape shape{};
  int64_t x = 0, w = 0, bias = 0, y = 0;  // unique ids

  std::vector<int64_t> numbers() const;
  static std::optional<ConvolutionGraph> fromNumbers(const std::vector<int64_t>& numbers);
  int64_t elements(int64_t id) const;
  Type typeOf(int64_t id) const { return hasBias && id == bias ? biasType : type; }
  std::vector<int64_t> ids() const;
};

struct Engine {
  int64_t id;
  std::vector<int> numericalNotes;
  std::vector<int> behaviorNotes;
  int64_t workspaceBytes = 0;
  bool writesWorkspace = false;
  int finalizeStatus = CUDNN_STATUS_SUCCESS;
  int executeStatus = CUDNN_STATUS_SUCCESS;
  Rounding rounding = Rounding::kNone;
  double flopsPerNanosecond = 1e5;
  double extraNanoseconds = 0;
  bool isWrong = false;  // each output is the neighbouring filter's
};

/** Finds the engines for the graph, best first. Returns a cuDNN status. `why` gives the reason. */
int findEngines(const ConvolutionGraph& graph, int mode, int capability,
                std::vector<Engine>* engines, std::string* why);
std::optional<Engine> engineById(const ConvolutionGraph& graph, int capability, int64_t id);

struct Descriptor : Object {
  explicit Descriptor(int type) : Object(-1), type(type) {}
  static constexpr Kind kKind = Kind::kCudnnDescriptor;
  using Handle = cudnnBackendDescriptor_t;

  struct Value {
    std::vector<unsigned char> bytes;
    std::vector<std::shared_ptr<Descriptor>> children;
  };

  const int type;
  std::atomic<bool> finalized{false};
  std::mutex mutex;  // held by the call that sets, finalises or reads
  std::map<int, Value> values;
  // Set by finalising, or filled with a heuristic's results:
  ConvolutionGraph graph;
  Engine engine{};
  int capability = 0;
  std::vector<Engine> results;
  cudnnHandle_t handle = nullptr;
  std::string json;

  bool has(int attribute) const { return values.contains(attribute); }
  Descriptor* child(int attribute) const { return values.at(attribute).children.at(0).get(); }
  template <class T>
  T get(int attribute, size_t index = 0) const {
    T value;
    __builtin_memcpy(&value, values.at(attribute).bytes.data() + index * sizeof(T), sizeof(T));
    return value;
  }
  size_t count(int attribute, size_t size) const {
    return values.at(attribute).bytes.size() / size;
  }
  /** Whether any descriptor below this one was destroyed. */
  bool lostChild() const;
};

struct Attribute {
  int descriptor, attribute, type;
  int64_t minimum, maximum;
  enum Use : uint8_t { kRequired, kOptional, kReadOnly } use;
};
/** Null if this descriptor has no such attribute. */
const Attribute* findAttribute(int descriptor, int attribute);
std::span<const Attribute> allAttributes();
size_t sizeOfAttributeType(int type);

/** Remembers the text for cudnnGetLastErrorString and returns the status. */
int refuse(int status, const std::string& text);
const std::string& lastRefusal();

/** The status of the failure that a test asked for. It may lose the device. */
int cudnnFault(int64_t kind, int device = -1);

/** Checks the descriptor by its type and fills the fields that finalising sets. */
int finalizeDescriptor(Descriptor& descriptor);
int finalizeOperationGraph(Descriptor& descriptor);
int finalizePlan(Descriptor& descriptor);
int cudnnVersion();
/** Runs the convolution. Throws if a range is wrong. */
void executeConvolution(const ConvolutionGraph& graph, const Engine& engine, int device,
                        const std::map<int64_t, void*>& pointers, void* workspace);
double convolutionCost(const ConvolutionGraph& graph, const Engine& engine);

}  // namespace fake
