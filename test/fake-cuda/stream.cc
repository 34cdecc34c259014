// A stream's thread, its queue, and the rules of capture.
#include "stream.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "memory.h"

namespace fake {
namespace {

// Both are guarded by captureMutex(), except for the first check.
std::atomic<int> capturesUnderWay{0};
std::vector<std::weak_ptr<Capture>>& captures() {
  static auto* const all = new std::vector<std::weak_ptr<Capture>>;
  return *all;
}

void merge(Reached& into, const Reached& from) {
  for (const auto& [stream, count] : from) into[stream] = std::max(into[stream], count);
}

}  // namespace

std::mutex& captureMutex() {
  static auto* const mutex = new std::mutex;
  return *mutex;
}

std::shared_ptr<Stream> Stream::start(Context& context) {
  auto stream = std::make_shared<Stream>(context.device);
  stream->context_ = &context;
  {
    const std::lock_guard lock(context.mutex);
    context.streams.push_back(stream);
  }
  std::thread([stream] { stream->work(); }).detach();
  return stream;
}

void Stream::work() {
  for (;;) {
    Step step;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      step = std::move(queue_.front());
      queue_.pop_front();
    }
    if (const int64_t delay = read(&FakeCudaControl::delayMicroseconds); delay > 0)
      std::this_thread::sleep_for(std::chrono::microseconds(delay));
    if (step.always || !context_->lost) {
      try {
        step.run(*this);
        clock += step.nanoseconds;
        if (step.counter) add(step.counter, 1);
      } catch (const std::exception& error) {
        context_->lose(error.what());
      }
    }
    step = {};
    {
      const std::lock_guard lock(mutex_);
      ++finished_;
    }
    changed_.notify_all();
  }
}

void Stream::enqueue(Step step) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(step));
    ++submitted_;
  }
  changed_.notify_all();
}

int Stream::push(Step step) {
  {
    const std::lock_guard lock(captureMutex());
    if (capture) {
      if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      capture->steps.push_back(std::move(step));
      ++captured;
      return CUDA_SUCCESS;
    }
  }
  enqueue(std::move(step));
  return CUDA_SUCCESS;
}

void Stream::synchronize() {
  const UnderWay call;
  std::unique_lock lock(mutex_);
  const uint64_t wanted = submitted_;
  changed_.wait(lock, [&] { return finished_ >= wanted; });
}

void Stream::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
}

bool Stream::isCapturing() const {
  const std::lock_guard lock(captureMutex());
  return capture != nullptr;
}

int recordEvent(const std::shared_ptr<Event>& event, const std::shared_ptr<Stream>& stream) {
  {
    const std::lock_guard lock(captureMutex());
    if (stream->capture) {
      if (stream->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      event->capture = stream->capture;
      event->lastWasCaptured = true;
      event->reached = stream->reached;
      event->reached[stream.get()] = stream->captured;
      return CUDA_SUCCESS;
    }
    event->lastWasCaptured = false;
  }
  uint64_t number = 0;
  {
    const std::lock_guard lock(event->mutex);
    number = ++event->recorded;
  }
  stream->enqueue({.run =
                       [event, number](Stream& on) {
                         {
                           const std::lock_guard lock(event->mutex);
                           event->completed = std::max(event->completed, number);
                           event->clock = on.clock;
                         }
                         event->changed.notify_all();
                       },
                   .always = true});
  return CUDA_SUCCESS;
}

int waitForEvent(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Event>& event) {
  {
    const std::lock_guard lock(captureMutex());
    const auto from = event->lastWasCaptured ? event->capture.lock() : nullptr;
    if (event->lastWasCaptured && !from) return CUDA_ERROR_INVALID_VALUE;  // that capture ended
    if (stream->capture) {
      if (stream->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      if (from != stream->capture) {
        stream->capture->invalid = true;
        return kCaptureIsolation;
      }
      merge(stream->reached, event->reached);
      return CUDA_SUCCESS;
    }
    if (from) {  // The stream joins the capture.
      if (from->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      stream->capture = from;
      stream->captured = 1;
      stream->reached = event->reached;
      from->members.push_back(stream);
      return CUDA_SUCCESS;
    }
  }
  uint64_t number = 0;
  {
    const std::lock_guard lock(event->mutex);
    number = event->recorded;
  }
  stream->enqueue({.run =
                       [event, number](Stream& on) {
                         std::unique_lock lock(event->mutex);
                         event->changed.wait(lock, [&] { return event->completed >= number; });
                         on.clock = std::max(on.clock, event->clock);
                       },
                   .always = true});
  return CUDA_SUCCESS;
}

int beginCapture(const std::shared_ptr<Stream>& stream) {
  const std::lock_guard lock(captureMutex());
  if (stream->capture) return CUDA_ERROR_INVALID_VALUE;
  auto capture = std::make_shared<Capture>();
  capture->owner = std::this_thread::get_id();
  capture->origin = stream.get();
  capture->members.push_back(stream);
  stream->capture = capture;
  stream->captured = 0;
  stream->reached.clear();
  captures().push_back(capture);
  ++capturesUnderWay;
  return CUDA_SUCCESS;
}

int endCapture(const std::shared_ptr<Stream>& stream, std::vector<Step>* steps) {
  const std::lock_guard lock(captureMutex());
  const auto capture = stream->capture;
  if (!capture) return CUDA_ERROR_INVALID_VALUE;
  if (capture->origin != stream.get()) return kCaptureUnmatched;
  if (capture->owner != std::this_thread::get_id()) return kCaptureWrongThread;
  bool joined = true;
  for (const auto& member : capture->members) {
    const auto found = stream->reached.find(member.get());
    joined = joined && (member == stream ||
                        (found != stream->reached.end() && found->second == member->captured));
    member->capture = nullptr;
  }
  std::erase_if(captures(), [&](const auto& weak) { return weak.lock() == capture; });
  --capturesUnderWay;
  capture->members.clear();
  if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (!joined) return kCaptureUnjoined;
  *steps = std::move(capture->steps);
  return CUDA_SUCCESS;
}

int forbidWhileCapturing() {
  if (capturesUnderWay == 0) return CUDA_SUCCESS;
  const std::lock_guard lock(captureMutex());
  bool any = false;
  for (const auto& weak : captures()) {
    const auto capture = weak.lock();
    if (!capture || capture->owner != std::this_thread::get_id()) continue;
    capture->invalid = true;
    any = true;
  }
  return any ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

int forbidOnCapturing(const Stream& stream) {
  const std::lock_guard lock(captureMutex());
  if (!stream.capture) return CUDA_SUCCESS;
  stream.capture->invalid = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

int findStream(CUstream handle, const char* caller, std::shared_ptr<Stream>* stream) {
  if (!handle) {
    misuse(std::string(caller) + ": the null stream, which waits for all others");
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *stream = find<Stream>(handle, caller);
  if (!*stream) return CUDA_ERROR_INVALID_HANDLE;
  const Context* context = currentContext();
  if (context && context->device != (*stream)->device) return CUDA_ERROR_INVALID_HANDLE;
  return CUDA_SUCCESS;
}

}  // namespace fake
