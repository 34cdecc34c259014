#include "napi/read_program.h"

#include <functional>
#include <limits>
#include <map>

#include "core/check_program.h"
#include "core/error.h"
#include "napi/arguments.h"

namespace vgg::napi {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int>::max();

/** Reads an index or a size. checkProgram validates it. */
int integer(const Napi::Object& row, const char* key) {
  return static_cast<int>(integerOf(ownProperty(row, key), key, 0, kMaxInt));
}

/** Reads a parameter that the row may lack. */
int optional(const Napi::Object& row, const char* key) {
  const Napi::Value value = ownProperty(row, key);
  return value.IsUndefined() ? kNone : static_cast<int>(integerOf(value, key, kNone, kMaxInt));
}

bool boolean(const Napi::Object& row, const char* key) {
  return booleanOf(ownProperty(row, key), key);
}

/** Reads a boolean that the row may lack. */
bool flag(const Napi::Object& row, const char* key) {
  const Napi::Value value = ownProperty(row, key);
  return !value.IsUndefined() && booleanOf(value, key);
}

std::vector<float> floats(const Napi::Object& row, const char* key) {
  return listOf<float>(ownProperty(row, key), key,
                       [&](const Napi::Value& item) { return floatOf(item, key); });
}

std::vector<int> integers(const Napi::Object& record, const char* key) {
  return listOf<int>(ownProperty(record, key), key, [&](const Napi::Value& item) {
    return static_cast<int>(integerOf(item, key, 0, kMaxInt));
  });
}

Shape shape(const Napi::Object& value) {
  return listOf<int64_t>(ownProperty(value, "shape"), "shape", [](const Napi::Value& item) {
    return integerOf(item, "shape", 0, kMaxDimension);
  });
}

using ReadRow = std::function<Op(const Napi::Object& row, int input, int output)>;

const std::map<std::string, ReadRow>& readers() {
  static const std::map<std::string, ReadRow> map{
      {"normalize",
       [](const Napi::Object& row, int input, int output) -> Op {
         return Normalize{input, output, floats(row, "mean"), floats(row, "std")};
       }},
      {"conv2d",
       [](const Napi::Object& row, int input, int output) -> Op {
         return Conv2d{input,
                       output,
                       integer(row, "weight"),
                       optional(row, "bias"),
                       integer(row, "stride"),
                       integer(row, "padding"),
                       boolean(row, "relu"),
                       flag(row, "precise")};
       }},
      {"batchNorm",
       [](const Napi::Object& row, int input, int output) -> Op {
         return BatchNorm{input,
                          output,
                          integer(row, "weight"),
                          integer(row, "bias"),
                          integer(row, "mean"),
                          integer(row, "variance"),
                          floatOf(ownProperty(row, "epsilon"), "epsilon"),
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

DType readDType(const Napi::Value& value) {
  const std::string name = stringOf(value, "dtype");
  std::string known;
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBfloat16,
                            DType::kUint8, DType::kInt32}) {
    if (name == dtypeName(dtype)) return dtype;
    known += (known.empty() ? "" : ", ") + std::string(dtypeName(dtype));
  }
  throw ArgumentError("Expected one of " + known + " for dtype but received " + name);
}

Precision readPrecision(const Napi::Value& value) {
  const std::string name = stringOf(value, "precision");
  for (const Precision precision :
       {Precision::kFloat32, Precision::kTf32, Precision::kFloat16, Precision::kBfloat16}) {
    if (name == precisionName(precision)) return precision;
  }
  throw Error(Code::kUnsupported, "No device computes in " + name);
}

Program readProgram(const Napi::Value& value, const std::vector<ParameterSpec>& parameters) {
  const Napi::Object record = objectOf(value, "record");
  Program program;
  program.values =
      listOf<Value>(ownProperty(record, "values"), "values", [](const Napi::Value& item) {
        const Napi::Object made = objectOf(item, "a value");
        return Value{shape(made), readDType(ownProperty(made, "dtype"))};
      });
  program.ops = listOf<Op>(ownProperty(record, "rows"), "rows", [](const Napi::Value& item) {
    const Napi::Object row = objectOf(item, "a row");
    const std::string kind = stringOf(ownProperty(row, "kind"), "kind");
    const auto reader = readers().find(kind);
    if (reader == readers().end())
      throw ArgumentError("Expected a known row for kind but received " + kind);
    return reader->second(row, integer(row, "input"), integer(row, "output"));
  });
  program.inputs = integers(record, "inputs");
  program.outputs = integers(record, "outputs");
  checkProgram(program, parameters);
  return program;
}

std::vector<ParameterSpec> readParameterSpecs(const Napi::Value& value) {
  return listOf<ParameterSpec>(value, "parameters", [](const Napi::Value& item) {
    const Napi::Object spec = objectOf(item, "a parameter");
    return ParameterSpec{stringOf(ownProperty(spec, "name"), "name"), shape(spec)};
  });
}

}  // namespace vgg::napi
