#include "cuda/plan/launches.h"

#include <iterator>

#include "core/fold.h"
#include "cuda/kernels/launch.h"

namespace vgg::cuda {

std::vector<Launch> Launches::forward() const {
  std::vector<Launch> all;
  for (const int value : program_.inputs) {
    if (!choices_.isUnplaced[value]) all.push_back(input(value));
  }
  for (const Op& op : program_.ops) {
    if (choices_.isPartOfAnotherStep(op)) continue;
    std::ranges::move(std::visit([this](const auto& o) { return of(o); }, op),
                      std::back_inserter(all));
  }
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    if (std::optional<Launch> launch = output(i)) all.push_back(*std::move(launch));
  }
  return all;
}

Launch Launches::perVector(const std::string& name, const std::string& file,
                           const std::string& kernel, size_t readBytes, const Buffer& output,
                           double operations) {
  return {.name = name,
          .file = file,
          .kernel = typed(kernel, output.type),
          .grid = {static_cast<size_t>(geometry::blocksFor(output.vectors()))},
          .bytes = readBytes + bytesOf(output),
          .operations = operations};
}

Launch Launches::transpose(const std::string& name, const std::string& kernel, const Buffer& buffer,
                           int64_t channels, size_t bytes) {
  return {.name = name,
          .file = "layout",
          .kernel = typed(kernel, buffer.type),
          .grid = {static_cast<size_t>(geometry::transposeBlocks(buffer.batch, buffer.pixels())),
                   static_cast<size_t>(geometry::transposeSlices(channels))},
          .bytes = bytes};
}

size_t Launches::apiBytes(int value) const {
  const Value& v = program_.values[value];
  return elementCount(v.shape) * byteSize(v.dtype) * static_cast<size_t>(batch_);
}

std::string Launches::layerOf(int parameter) const {
  const std::string& name = specs_[parameter].name;
  return name.substr(0, name.rfind('.'));
}

size_t Launches::bytesOf(const Buffer& buffer) {
  return static_cast<size_t>(buffer.batch * buffer.pixels() * buffer.padded) *
         byteSize(buffer.type);
}

double Launches::elementsOf(const Buffer& buffer) {
  return static_cast<double>(buffer.batch * buffer.pixels() * buffer.channels);
}

std::vector<Launch> launchesOf(const Program& program, const std::vector<ParameterSpec>& specs,
                               Precision precision, int64_t batch, std::optional<Form> wanted) {
  const Program folded = foldBatchNorm(program).program;
  const Choices choices = choose(folded, specs, precision, batch);
  return Launches(folded, specs, precision, batch, choices, wanted).forward();
}

}  // namespace vgg::cuda
