// Available memory as the system's files give it: for the machine, for control groups of both
// versions, and without any file.
#include "core/memory/available_memory.h"

#include <filesystem>
#include <fstream>
#include <limits>

#include "core/error.h"
#include "core/memory/queue_budget.h"
#include "core/system.h"
#include "expect.h"

namespace vgg {
namespace {

namespace fs = std::filesystem;

/** A temporary folder that stands in for the root of the file system. */
class Root {
 public:
  Root() { fs::create_directories(path_); }
  ~Root() { fs::remove_all(path_); }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;
  void write(const std::string& file, const std::string& text) const {
    const fs::path path = path_.string() + file;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  [[nodiscard]] size_t available() const { return availableHostBytes(path_.string()); }

 private:
  const fs::path path_ = fs::temp_directory_path() / ("vgg-memory-" + std::to_string(processId()));
};

void availableIsWhatTheMachineHas() {
  const Root root;
  EXPECT(root.available() == std::numeric_limits<size_t>::max());
  root.write("/proc/meminfo",
             "MemTotal: 9 kB\nMemFree:  1 kB\nMemAvailable:    2000 kB\nOther: 5\n");
  EXPECT(root.available() == 2000 * 1024);
}

void availableKeepsToTheGroupOfTheProcess() {
  const Root root;
  root.write("/proc/meminfo", "MemAvailable: 2000 kB\n");
  root.write("/sys/fs/cgroup/memory.max", "max\n");
  EXPECT(root.available() == 2000 * 1024);
  // A container sees its own group as the root.
  root.write("/sys/fs/cgroup/memory.max", "1000000\n");
  root.write("/sys/fs/cgroup/memory.current", "400000\n");
  EXPECT(root.available() == 600000);
  root.write("/sys/fs/cgroup/memory.stat", "anon 5\nfile 300000\ninactive_file 100000\n");
  EXPECT(root.available() == 700000);
  // A service's group lies below it, and a parent may have the limit.
  root.write("/proc/self/cgroup", "0::/system.slice/some.service\n");
  root.write("/sys/fs/cgroup/system.slice/some.service/memory.max", "max\n");
  root.write("/sys/fs/cgroup/system.slice/memory.max", "50000\n");
  root.write("/sys/fs/cgroup/system.slice/memory.current", "60000\n");
  EXPECT(root.available() == 0);
}

void availableKeepsToAGroupOfVersion1() {
  const Root root;
  root.write("/proc/meminfo", "MemAvailable: 2000 kB\n");
  root.write("/proc/self/cgroup", "7:cpu,cpuacct:/a\n4:memory:/docker/1\n");
  root.write("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "500000\n");
  root.write("/sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes", "100000\n");
  EXPECT(root.available() == 400000);
}

void aQueueTakesWhatFitsAndOneCallOfAnySize() {
  const auto queue = std::make_shared<QueueBudget>(100);
  auto first = queue->take(60);
  const auto copiesNothing = queue->take(0);
  bool isRefused = false;
  try {
    queue->take(41);
  } catch (const Error& error) {
    isRefused = error.code() == Code::kQueueFull;
  }
  EXPECT(isRefused);
  EXPECT(queue->used() == 60);
  const auto second = queue->take(40);
  first->release();
  first = nullptr;
  EXPECT(queue->used() == 40);
  second->release();
  const auto large = queue->take(1000);
  EXPECT(queue->used() == 1000);
}

}  // namespace

void testMemory() {
  availableIsWhatTheMachineHas();
  availableKeepsToTheGroupOfTheProcess();
  availableKeepsToAGroupOfVersion1();
  aQueueTakesWhatFitsAndOneCallOfAnySize();
}

}  // namespace vgg
