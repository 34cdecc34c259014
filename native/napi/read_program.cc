#include "napi/read_program.h"

#include <functional>
#include <map>

#include "core/error.h"

namespace vgg::napi {
namespace {

int integer(const Napi::Object& row, const char* key) {
  return row.Get(key).As<Napi::Number>().Int32Value();
}

/** A parameter that the row may lack. */
int optional(const Napi::Object& row, const char* key) {
  const Napi::Value value = row.Get(key);
  return value.IsNumber() ? value.As<Napi::Number>().Int32Value() : kNone;
}

float number(const Napi::Object& row, const char* key) {
  return row.Get(key).As<Napi::Number>().FloatValue();
}

bool boolean(const Napi::Object& row, const char* key) { return row.Get(key).ToBoolean(); }

template <typename T, typename Read>
std::vector<T> list(const Napi::Value& value, const Read& read) {
  const auto array = value.As<Napi::Array>();
  std::vector<T> items;
  items.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) items.push_back(read(array.Get(i)));
  return items;
}

std::vector<float> floats(const Napi::Value& value) {
  return list<float>(value,
                     [](const Napi::Value& item) { return item.As<Napi::Number>().FloatValue(); });
}

std::vector<int> integers(const Napi::Value& value) {
  return list<int>(value,
                   [](const Napi::Value& item) { return item.As<Napi::Number>().Int32Value(); });
}

Shape shape(const Napi::Value& value) {
  return list<int64_t>(
      value, [](const Napi::Value& item) { return item.As<Napi::Number>().Int64Value(); });
}

using ReadRow = std::function<Op(const Napi::Object& row, int input, int output)>;

const std::map<std::string, ReadRow>& readers() {
  static const std::map<std::string, ReadRow> map{
      {"normalize",
       [](const Napi::Object& row, int input, int output) -> Op {
         return Normalize{input, output, floats(row.Get("mean")), floats(row.Get("std"))};
       }},
      {"conv2d",
       [](const Napi::Object& row, int input, int output) -> Op {
         return Conv2d{input,
                       output,
                       integer(row, "weight"),
                       optional(row, "bias"),
                       integer(row, "stride"),
                       integer(row, "padding"),
                       boolean(row, "relu")};
       }},
      {"batchNorm",
       [](const Napi::Object& row, int input, int output) -> Op {
         return BatchNorm{input,
                          output,
                          integer(row, "weight"),
                          integer(row, "bias"),
                          integer(row, "mean"),
                          integer(row, "variance"),
                          number(row, "epsilon"),
                          boolean(row, "relu")};
       }},
      {"relu",
       [](const Napi::Object&, int input, int output) -> Op { return Relu{input, output}; }},
      {"maxPool2d",
       [](const Napi::Object& row, int input, int output) -> Op {
         return MaxPool2d{input, output, integer(row, "size"), integer(row, "stride"),
                          integer(row, "padding")};
       }},
      {"adaptiveAvgPool2d",
       [](const Napi::Object&, int input, int output) -> Op {
         return AdaptiveAvgPool2d{input, output};
       }},
      {"flatten",
       [](const Napi::Object&, int input, int output) -> Op { return Flatten{input, output}; }},
      {"gemm",
       [](const Napi::Object& row, int input, int output) -> Op {
         return Gemm{input, output, integer(row, "weight"), optional(row, "bias"),
                     boolean(row, "relu")};
       }},
      {"softmax",
       [](const Napi::Object&, int input, int output) -> Op { return Softmax{input, output}; }},
      {"topK",
       [](const Napi::Object& row, int input, int output) -> Op {
         return TopK{input, output, integer(row, "indices"), integer(row, "k")};
       }},
  };
  return map;
}

}  // namespace

DType readDType(const std::string& name) {
  static const std::map<std::string, DType> dtypes{
      {"float32", DType::kFloat32},   {"float64", DType::kFloat64}, {"float16", DType::kFloat16},
      {"bfloat16", DType::kBfloat16}, {"uint8", DType::kUint8},     {"int32", DType::kInt32},
  };
  const auto found = dtypes.find(name);
  if (found == dtypes.end()) {
    throw Error(Code::kInternal, "Expected a dtype that the core knows but received " + name);
  }
  return found->second;
}

Precision readPrecision(const std::string& name) {
  for (const Precision precision :
       {Precision::kFloat32, Precision::kTf32, Precision::kFloat16, Precision::kBfloat16}) {
    if (name == precisionName(precision)) return precision;
  }
  throw Error(Code::kUnsupported, "No device computes in " + name);
}

Program readProgram(const Napi::Object& record) {
  Program program;
  program.values = list<Value>(record.Get("values"), [](const Napi::Value& item) {
    const auto value = item.As<Napi::Object>();
    return Value{shape(value.Get("shape")), readDType(value.Get("dtype").ToString())};
  });
  program.ops = list<Op>(record.Get("rows"), [](const Napi::Value& item) {
    const auto row = item.As<Napi::Object>();
    const std::string kind = row.Get("kind").ToString();
    const auto reader = readers().find(kind);
    if (reader == readers().end())
      throw Error(Code::kInternal, "Expected a known row but received " + kind);
    return reader->second(row, integer(row, "input"), integer(row, "output"));
  });
  program.inputs = integers(record.Get("inputs"));
  program.outputs = integers(record.Get("outputs"));
  return program;
}

std::vector<ParameterSpec> readParameterSpecs(const Napi::Array& array) {
  return list<ParameterSpec>(array, [](const Napi::Value& item) {
    const auto spec = item.As<Napi::Object>();
    return ParameterSpec{spec.Get("name").ToString(), shape(spec.Get("shape"))};
  });
}

}  // namespace vgg::napi
