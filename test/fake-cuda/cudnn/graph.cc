// Parses an operation graph: a convolution, then bias and ReLU in that order.
#include <set>

#include "cudnn/cudnn.h"

namespace fake {
namespace {

constexpr int kX = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X;
constexpr int kW = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W;
constexpr int kY = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y;

int64_t idOf(const Descriptor& tensor) { return tensor.get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID); }
bool isVirtual(const Descriptor& tensor) {
  return tensor.has(CUDNN_ATTR_TENSOR_IS_VIRTUAL) && tensor.get<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL);
}
int64_t dim(const Descriptor& tensor, size_t i) {
  return tensor.get<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, i);
}
int dataType(const Descriptor& tensor) { return tensor.get<int>(CUDNN_ATTR_TENSOR_DATA_TYPE); }
Type typeOf(const Descriptor& tensor) {
  const int type = dataType(tensor);
  return type == CUDNN_DATA_FLOAT  ? Type::kFloat
         : type == CUDNN_DATA_HALF ? Type::kHalf
                                   : Type::kBfloat16;
}

// NHWC, or KRSC for a filter. Strides of dimensions of size 1 must be the usual ones too.
bool isChannelsLast(const Descriptor& t) {
  const int64_t wanted[4] = {dim(t, 1) * dim(t, 2) * dim(t, 3), 1, dim(t, 1) * dim(t, 3),
                             dim(t, 1)};
  for (size_t i = 0; i < 4; ++i)
    if (t.get<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, i) != wanted[i]) return false;
  return true;
}

struct Builder {
  std::vector<const Descriptor*> left;  // operations not yet in the chain
  std::map<int64_t, const Descriptor*> tensors;
  ConvolutionGraph graph;

  // Two descriptors may share an id only if they are equal.
  bool note(const Descriptor& tensor) {
    const auto [found, fresh] = tensors.emplace(idOf(tensor), &tensor);
    if (fresh || found->second == &tensor) return true;
    for (const auto& [attribute, value] : tensor.values) {
      const auto other = found->second->values.find(attribute);
      if (other == found->second->values.end() || other->second.bytes != value.bytes) return false;
    }
    return tensor.values.size() == found->second->values.size();
  }

  const Descriptor* takeReader(int type, int xAttribute, int64_t id) {
    for (auto at = left.begin(); at != left.end(); ++at)
      if ((*at)->type == type && idOf(*(*at)->child(xAttribute)) == id) {
        const Descriptor* operation = *at;
        left.erase(at);
        return operation;
      }
    return nullptr;
  }
};

int understand(const Descriptor& d, ConvolutionGraph* result) {
  Builder b;
  const Descriptor* forward = nullptr;
  for (const auto& operation : d.values.at(CUDNN_ATTR_OPERATIONGRAPH_OPS).children) {
    for (const auto& [attribute, value] : operation->values)
      for (const auto& child : value.children)
        if (child->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR && !b.note(*child))
          return refuse(kBadParam, "graph: unique id " + std::to_string(idOf(*child)) +
                                       " names two different tensors");
    if (operation->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR && !forward)
      forward = operation.get();
    else
      b.left.push_back(operation.get());
  }
  if (!forward) return refuse(kNotSupportedGraphPattern, "graph: no convolution");
  const Descriptor& x = *forward->child(kX);
  const Descriptor& w = *forward->child(kW);
  const Descriptor* out = forward->child(kY);
  const Descriptor& c = *forward->child(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
  ConvolutionGraph& g = b.graph;
  g.x = idOf(x);
  g.w = idOf(w);
  g.type = typeOf(x);
  g.shape = {dim(x, 0), dim(x, 1), dim(x, 2), dim(x, 3), dim(w, 0), {}};
  for (size_t i = 0; i < 2; ++i) {
    g.shape.window.size[i] = dim(w, i + 2);
    g.shape.window.before[i] = c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i);
    g.shape.window.after[i] = c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i);
    g.shape.window.stride[i] = c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i);
    g.shape.window.dilation[i] = c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, i);
  }
  std::vector<const Descriptor*> between;
  const auto follow = [&](const Descriptor* operation, int yAttribute) {
    between.push_back(out);
    out = operation->child(yAttribute);
  };
  constexpr int kPointwise = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
  while (const Descriptor* p =
             b.takeReader(kPointwise, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, idOf(*out))) {
    const bool isAdd = p->child(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR)
                           ->get<int>(CUDNN_ATTR_POINTWISE_MODE) == CUDNN_POINTWISE_ADD;
    if (isAdd ? g.hasBias || g.hasRelu : g.hasRelu || !g.hasBias)
      return refuse(kNotSupportedGraphPattern, "graph: bias, then ReLU, each at most once");
    if (isAdd) {
      const Descriptor& bias = *p->child(CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
      if (dim(bias, 0) != 1 || dim(bias, 1) != g.shape.k || dim(bias, 2) != 1 || dim(bias, 3) != 1)
        return refuse(kNotSupportedShape, "graph: the bias must be (1, K, 1, 1)");
      if (!isChannelsLast(bias)) return refuse(kNotSupportedLayout, "graph: strides of the bias");
      if (isVirtual(bias)) return refuse(kBadParam, "graph: a virtual bias");
      g.bias = idOf(bias);
      g.biasType = typeOf(bias);
      g.hasBias = true;
    } else {
      g.hasRelu = true;
    }
    follow(p, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
  }
  if (!b.left.empty())
    return refuse(kNotSupportedGraphPattern, "graph: an operation outside the chain");
  for (const Descriptor* t : between) {
    if (!isVirtual(*t))
      return refuse(kNotSupportedGraphPattern, "graph: an intermediate that is not virtual");
    if (dataType(*t) != CUDNN_DATA_FLOAT)
      return refuse(kNotSupportedDataType, "graph: an intermediate that is not FLOAT");
  }
  if (isVirtual(x) || isVirtual(w) || isVirtual(*out))
    return refuse(kBadParam, "graph: a virtual input or output");
  g.y = idOf(*out);
  if (typeOf(w) != g.type || typeOf(*out) != g.type)
    return refuse(kNotSupportedDataType, "graph: x, w and y of one type");
  if (g.hasBias && g.biasType != g.type && g.biasType != Type::kFloat)
    return refuse(kNotSupportedDataType, "graph: the bias must have y's type or be FLOAT");
  for (const auto& [id, tensor] : b.tensors) {
    if (!isChannelsLast(*tensor))
      return refuse(kNotSupportedLayout,
                    "graph: tensor " + std::to_string(id) + " has not NHWC's natural strides");
    if (tensor->get<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) < 16)
      return refuse(kNotSupportedLayout,
                    "graph: tensor " + std::to_string(id) + " is not aligned to 16 bytes");
  }
  const size_t distinct = 3 + (g.hasBias ? 1 : 0) + between.size();
  if (b.tensors.size() != distinct) return refuse(kBadParam, "graph: unique ids must differ");
  *result = g;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

int finalizeOperationGraph(Descriptor& d) {
  if (d.has(CUDNN_ATTR_OPERATIONGRAPH_HANDLE)) {
    d.handle = d.get<cudnnHandle_t>(CUDNN_ATTR_OPERATIONGRAPH_HANDLE);
    if (!find<CudnnHandle>(d.handle, "finalize of an operation graph"))
      return refuse(kBadParam, "graph: a handle that is not alive");
  }
  return understand(d, &d.graph);
}

std::vector<int64_t> ConvolutionGraph::numbers() const {
  std::vector<int64_t> all{static_cast<int64_t>(type),
                           hasBias ? static_cast<int64_t>(biasType) : -1,
                           hasRelu,
                           shape.n,
                           shape.c,
                           shape.h,
                           shape.w,
                           shape.k,
                           x,
                           w,
                           bias,
                           y};
  const Window& window = shape.window;
  for (size_t i = 0; i < 2; ++i)
    all.insert(all.end(), {window.size[i], window.before[i], window.after[i], window.stride[i],
                           window.dilation[i]});
  return all;
}

std::optional<ConvolutionGraph> ConvolutionGraph::fromNumbers(const std::vector<int64_t>& n) {
  if (n.size() != 22 || n[0] < 0 || n[0] > 2 || n[1] < -1 || n[1] > 2) return std::nullopt;
  ConvolutionGraph g;
  g.type = static_cast<Type>(n[0]);
  g.hasBias = n[1] >= 0;
  if (g.hasBias) g.biasType = static_cast<Type>(n[1]);
  g.hasRelu = n[2] != 0;
  g.shape = {n[3], n[4], n[5], n[6], n[7], {}};
  g.x = n[8];
  g.w = n[9];
  g.bias = n[10];
  g.y = n[11];
  Window& window = g.shape.window;
  size_t at = 12;
  for (size_t i = 0; i < 2; ++i) {
    window.size[i] = n[at];
    window.before[i] = n[at + 1];
    window.after[i] = n[at + 2];
    window.stride[i] = n[at + 3];
    window.dilation[i] = n[at + 4];
    at += 5;
  }
  return g;
}

std::vector<int64_t> ConvolutionGraph::ids() const {
  return hasBias ? std::vector{x, w, bias, y} : std::vector{x, w, y};
}

int64_t ConvolutionGraph::elements(int64_t id) const {
  const Window& window = shape.window;
  if (id == x) return shape.n * shape.c * shape.h * shape.w;
  if (id == w) return shape.k * shape.c * window.size[0] * window.size[1];
  if (hasBias && id == bias) return shape.k;
  return shape.n * shape.k * window.outputs(0, shape.h) * window.outputs(1, shape.w);
}

}  // namespace fake
