// Streams as threads with a queue, events on them, and captured graphs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "device.h"

namespace fake {

/** One operation on a stream. `run` throws if the device is lost by it. */
struct Step {
  std::function<void(Stream&)> run;
  double nanoseconds = 0;  // on the device's accounted clock
  Field counter = nullptr;
  bool always = false;  // runs on a lost device too, because others wait for it
};

/** The number of steps of each stream that are known to be done. */
using Reached = std::map<const Stream*, uint64_t>;

/** One capture under way. captureMutex() guards all fields. */
struct Capture {
  std::thread::id owner;
  const Stream* origin = nullptr;
  bool invalid = false;
  std::vector<Step> steps;
  std::vector<std::shared_ptr<Stream>> members;
};
std::mutex& captureMutex();

struct Event : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kEvent;
  using Handle = CUevent;

  unsigned flags = 0;
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t recorded = 0;
  uint64_t completed = 0;
  double clock = 0;
  // Of the last record, if it was captured. captureMutex() guards it.
  std::weak_ptr<Capture> capture;
  bool lastWasCaptured = false;
  Reached reached;
};

struct Stream : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kStream;
  using Handle = CUstream;

  static std::shared_ptr<Stream> start(Context& context);
  /** Queues the step, or records it into the capture. Returns CUDA_SUCCESS or an error. */
  int push(Step step);
  void synchronize();
  void close();
  bool isCapturing() const;

  double clock = 0;  // used only by the stream's thread
  // Guarded by captureMutex():
  std::shared_ptr<Capture> capture;
  uint64_t captured = 0;
  Reached reached;

 private:
  void enqueue(Step step);
  void work();

  Context* context_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Step> queue_;
  uint64_t submitted_ = 0;
  uint64_t finished_ = 0;
  bool closing_ = false;

  friend int recordEvent(const std::shared_ptr<Event>&, const std::shared_ptr<Stream>&);
  friend int waitForEvent(const std::shared_ptr<Stream>&, const std::shared_ptr<Event>&);
};

struct Graph : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kGraph;
  using Handle = CUgraph;
  std::vector<Step> steps;
};

struct GraphExec : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kGraphExec;
  using Handle = CUgraphExec;
  std::vector<Step> steps;
  std::mutex running;  // launches of one executable never overlap
};

int recordEvent(const std::shared_ptr<Event>& event, const std::shared_ptr<Stream>& stream);
int waitForEvent(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Event>& event);
int beginCapture(const std::shared_ptr<Stream>& stream);
int endCapture(const std::shared_ptr<Stream>& stream, std::vector<Step>* steps);
/** For calls that a capturing thread may not make. Ends its captures and returns the status. */
int forbidWhileCapturing();
/** The same for a call about one stream, from any thread. */
int forbidOnCapturing(const Stream& stream);

/** Finds the live stream, which is never the null stream. Returns 0 or the status to answer. */
int findStream(CUstream handle, const char* caller, std::shared_ptr<Stream>* stream);

}  // namespace fake
