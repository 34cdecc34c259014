#include "cuda/nvidia/convolution.h"

#include <algorithm>

namespace vgg::cuda {
namespace {

// The identifiers of a graph's tensors in a variant pack.
enum Id : uint8_t { kInput = 1, kFilter, kBias, kOutput, kProduct, kSum };

/** Makes the descriptors of one graph, children before parents. */
class Writer {
 public:
  Writer(Session& session, std::vector<Descriptor>& made) : session_(session), made_(made) {}

  /** Takes logical dimensions (N, C, H, W) or (K, C, R, S). In memory the channels are innermost. A
   * virtual tensor lives only inside a kernel, in float32. */
  size_t tensor(Id id, cudnnDataType_t type, int64_t n, int64_t c, int64_t h, int64_t w,
                bool isVirtual = false) {
    Descriptor& t = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE,
          isVirtual ? cudnnDataType_t{CUDNN_DATA_FLOAT} : type);
    t.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, std::vector<int64_t>{n, c, h, w});
    t.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64,
          std::vector<int64_t>{h * w * c, 1, w * c, c});
    t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, int64_t{id});
    t.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, int64_t{16});
    if (isVirtual) t.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, true);
    return finish(t);
  }

  void convolution(const Convolution& c, size_t input, size_t filter, size_t output) {
    Descriptor& shape = make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    const auto pair = [](int64_t value) { return std::vector<int64_t>{value, value}; };
    shape.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE,
              cudnnDataType_t{CUDNN_DATA_FLOAT});
    shape.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
              cudnnConvolutionMode_t{CUDNN_CROSS_CORRELATION});
    shape.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, int64_t{2});
    shape.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, pair(c.padding));
    shape.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, pair(c.padding));
    shape.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, pair(1));
    shape.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, pair(c.stride));
    const size_t description = finish(shape);
    Descriptor& op = make(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, made_[description]);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, made_[input]);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, made_[filter]);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, made_[output]);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1.0F);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 0.0F);
    operations.push_back(finish(op));
  }

  /** `second` is the addend of an addition. ReLU has none. */
  void pointwise(cudnnPointwiseMode_t mode, size_t input, std::optional<size_t> second,
                 size_t output) {
    Descriptor& rule = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    rule.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
    rule.set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE,
             cudnnDataType_t{CUDNN_DATA_FLOAT});
    // cuDNN's default turns NaN into 0.
    if (mode == CUDNN_POINTWISE_RELU_FWD)
      rule.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION,
               cudnnNanPropagation_t{CUDNN_PROPAGATE_NAN});
    const size_t description = finish(rule);
    Descriptor& op = make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, made_[description]);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, made_[input]);
    if (second) op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, made_[*second]);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, made_[output]);
    operations.push_back(finish(op));
  }

  std::vector<size_t> operations;

 private:
  Descriptor& make(cudnnBackendDescriptorType_t type) { return made_.emplace_back(session_, type); }
  size_t finish(Descriptor& descriptor) {
    descriptor.finalize();
    return made_.size() - 1;
  }

  Session& session_;
  std::vector<Descriptor>& made_;
};

void setTarget(Descriptor& descriptor, const Target& target, cudnnBackendAttributeName_t handle,
               cudnnBackendAttributeName_t description) {
  if (target.description != nullptr) {
    descriptor.set(description, CUDNN_TYPE_BACKEND_DESCRIPTOR, target.description);
  } else if (handle >= 0) {
    descriptor.set(handle, CUDNN_TYPE_HANDLE, target.handle);
  }
}

}  // namespace

const char* nameOf(Form form) { return form == Form::kPlain ? "plain" : "fused"; }

cudnnDataType_t cudnnType(Precision precision) {
  if (precision == Precision::kFloat16) return CUDNN_DATA_HALF;
  if (precision == Precision::kBfloat16) return CUDNN_DATA_BFLOAT16;
  return CUDNN_DATA_FLOAT;
}

bool Engine::has(int numericalNote) const {
  return std::count(numericalNotes.begin(), numericalNotes.end(), numericalNote) > 0;
}

bool Engine::isCompiledAtRunTime() const {
  return std::count(behaviorNotes.begin(), behaviorNotes.end(),
                    int{CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION}) > 0;
}

bool isAllowed(const Engine& engine, Precision precision, bool deterministic) {
  if (engine.has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)) return false;
  if (engine.has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) return false;
  // In float32, tensor cores mean TF32.
  if (precision == Precision::kFloat32 && engine.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE))
    return false;
  return !deterministic || !engine.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
}

ConvolutionGraph::ConvolutionGraph(Session& session, const Target& target, const Convolution& c,
                                   Form form)
    : session_(session),
      target_(target),
      form_(form),
      descriptors_(std::make_shared<std::vector<Descriptor>>()) {
  descriptors_->reserve(32);  // Writer keeps references while it adds descriptors
  Writer writer(session, *descriptors_);
  const int64_t height = c.outputHeight();
  const int64_t width = c.outputWidth();
  const auto value = [&](Id id, bool isVirtual) {
    return writer.tensor(id, c.type, c.batch, c.filters, height, width, isVirtual);
  };
  const size_t input = writer.tensor(kInput, c.type, c.batch, c.channels, c.height, c.width);
  const size_t filter =
      writer.tensor(kFilter, c.type, c.filters, c.channels, c.filterHeight, c.filterWidth);
  if (form == Form::kPlain) {
    writer.convolution(c, input, filter, value(kOutput, false));
  } else {
    // The bias has the output's type, because cuDNN has no compiled engines for a float32 bias and
    // a 16-bit output.
    const size_t bias = writer.tensor(kBias, c.type, 1, c.filters, 1, 1);
    const size_t product = value(kProduct, true);
    const size_t output = value(kOutput, false);
    writer.convolution(c, input, filter, product);
    const size_t sum = c.relu ? value(kSum, true) : output;
    writer.pointwise(CUDNN_POINTWISE_ADD, product, bias, sum);
    if (c.relu) writer.pointwise(CUDNN_POINTWISE_RELU_FWD, sum, std::nullopt, output);
  }
  Descriptor graph(session, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (target.handle != nullptr)
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
  std::vector<cudnnBackendDescriptor_t> operations;
  operations.reserve(writer.operations.size());
  for (const size_t index : writer.operations) operations.push_back((*descriptors_)[index].get());
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, operations);
  graph.finalize();
  descriptors_->push_back(std::move(graph));
}

std::vector<Engine> ConvolutionGraph::engines(cudnnBackendHeurMode_t mode) const {
  Descriptor heuristics(session_, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph());
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
  setTarget(heuristics, target_, -1, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
  std::vector<Engine> list;
  if (heuristics.tryFinalize() != CUDNN_STATUS_SUCCESS) return list;
  for (Descriptor& configuration : heuristics.getDescriptors(
           CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, true)) {
    Engine engine;
    engine.configuration = std::move(configuration);
    const std::vector<Descriptor> of = engine.configuration.getDescriptors(
        CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, false);
    engine.index = of[0].getInteger(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
    engine.numericalNotes =
        of[0].getNotes(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE);
    engine.behaviorNotes =
        of[0].getNotes(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE);
    list.push_back(std::move(engine));
  }
  return list;
}

std::optional<Plan> ConvolutionGraph::plan(Engine engine) const {
  Descriptor plan(session_, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, engine.configuration);
  setTarget(plan, target_, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  if (plan.tryFinalize() != CUDNN_STATUS_SUCCESS) return std::nullopt;
  return Plan(session_, std::move(plan), form_, {descriptors_, std::move(engine.configuration)});
}

std::vector<Engine> allowedEngines(const ConvolutionGraph& graph, Precision precision,
                                   bool deterministic) {
  std::vector<Engine> allowed;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    const bool isFallback = mode == CUDNN_HEUR_MODE_FALLBACK && !allowed.empty();
    for (Engine& engine : graph.engines(mode)) {
      if (!isAllowed(engine, precision, deterministic)) continue;
      // NVRTC takes seconds for each engine that it compiles. These are used only if there is no
      // other.
      if (isFallback && engine.isCompiledAtRunTime()) continue;
      allowed.push_back(std::move(engine));
    }
  }
  return allowed;
}

std::string planKey(const Convolution& c, Precision precision, bool isPooled) {
  std::string text =
      std::string("convolution ") + precisionName(precision) + (isPooled ? " pooled" : "");
  for (const int64_t number : {c.batch, c.channels, c.height, c.width, c.filters, c.filterHeight,
                               c.filterWidth, c.stride, c.padding, int64_t{c.relu}})
    text += " " + std::to_string(number);
  return text;
}

std::string plannedKey(const std::string& gpuName, const Libraries& libraries,
                       const std::string& problem) {
  return "planned for " + gpuName + " cuDNN " + libraries.cudnn.version + " " + problem;
}

std::string planText(const Plan& plan) {
  return std::string(nameOf(plan.form())) + "\n" + plan.json();
}

std::optional<Plan> parsePlan(Session& session, const Target& target, const std::string& text) {
  const size_t end = text.find('\n');
  if (end == std::string::npos) return std::nullopt;
  for (const Form form : {Form::kPlain, Form::kFused}) {
    if (text.compare(0, end, nameOf(form)) == 0)
      return Plan::parse(session, target, form, text.substr(end + 1));
  }
  return std::nullopt;
}

Plan::Plan(Session& session, Descriptor plan, Form form, PlanSource source)
    : session_(&session),
      source_(std::move(source)),
      plan_(std::move(plan)),
      form_(form),
      workspaceBytes_(
          static_cast<size_t>(plan_.getInteger(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE))) {}

std::optional<Plan> Plan::parse(Session& session, const Target& target, Form form,
                                const std::string& json) {
  Descriptor plan(session, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.setText(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, json);
  setTarget(plan, target, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  try {
    if (plan.tryFinalize() != CUDNN_STATUS_SUCCESS) return std::nullopt;
  } catch (const Error& error) {
    // The text is from another version of cuDNN, or damaged.
    if (error.code() != Code::kInternal) throw;
    return std::nullopt;
  }
  return Plan(session, std::move(plan), form);
}

std::string Plan::json() const {
  return plan_.getText(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
}

void Plan::execute(cudnnHandle_t handle, const ConvolutionBuffers& buffers) const {
  std::vector<int64_t> ids{kInput, kFilter, kOutput};
  std::vector<CUdeviceptr> addresses{buffers.input, buffers.filter, buffers.output};
  if (form_ != Form::kPlain) {
    ids.push_back(kBias);
    addresses.push_back(buffers.bias);
  }
  Descriptor pack(*session_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, addresses);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, buffers.workspace);
  pack.finalize();
  session_->call(session_->api().cudnnBackendExecute, handle, plan_.get(), pack.get());
}

}  // namespace vgg::cuda
