// Wraps a descriptor of cuDNN's graph API: attributes are set, the descriptor is finalised, and
// attributes are read.
#pragma once

#include <string>
#include <vector>

#include "cuda/nvidia/context.h"

namespace vgg::cuda {

class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(Session& session, cudnnBackendDescriptorType_t type) : session_(&session) {
    cudnnBackendDescriptor_t descriptor = nullptr;
    session.call(session.api().cudnnBackendCreateDescriptor, type, &descriptor);
    handle_ = {session, descriptor};
  }

  [[nodiscard]] cudnnBackendDescriptor_t get() const { return handle_.get(); }
  explicit operator bool() const { return static_cast<bool>(handle_); }

  template <typename T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
           const std::vector<T>& values) {
    setArray(name, type, static_cast<int64_t>(values.size()), values.data());
  }
  template <typename T>
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    setArray(name, type, 1, &value);
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.get());
  }
  void setText(cudnnBackendAttributeName_t name, const std::string& text) {
    setArray(name, CUDNN_TYPE_CHAR, static_cast<int64_t>(text.size()), text.data());
  }

  /** Returns the status, also if cuDNN does not support what was described. Throws on any other
   * failure. */
  cudnnStatus_t tryFinalize() {
    const auto& finalize = session_->api().cudnnBackendFinalize;
    const cudnnStatus_t status = finalize(get());
    if (status / 1000 != 3) session_->check(finalize, status);
    return status;
  }
  /** Throws Error kUnsupported, kOutOfMemory, kDeviceLost, kInternal. */
  void finalize() { session_->call(session_->api().cudnnBackendFinalize, get()); }

  [[nodiscard]] int64_t getInteger(cudnnBackendAttributeName_t name) const {
    int64_t value = 0;
    int64_t count = 0;
    getArray(name, CUDNN_TYPE_INT64, 1, &count, &value);
    return value;
  }
  /** Returns at most `limit` notes. */
  [[nodiscard]] std::vector<int> getNotes(cudnnBackendAttributeName_t name,
                                          cudnnBackendAttributeType_t type,
                                          int64_t limit = 32) const {
    std::vector<int> notes(static_cast<size_t>(limit));
    int64_t count = 0;
    getArray(name, type, limit, &count, notes.data());
    notes.resize(static_cast<size_t>(count));
    return notes;
  }
  [[nodiscard]] std::string getText(cudnnBackendAttributeName_t name) const {
    int64_t count = 0;
    getArray(name, CUDNN_TYPE_CHAR, 0, &count, nullptr);
    std::string text(static_cast<size_t>(count), '\0');
    getArray(name, CUDNN_TYPE_CHAR, count, &count, text.data());
    return text;
  }
  /** Returns the descriptors that an attribute holds. cuDNN fills descriptors that its caller has
   * made. */
  [[nodiscard]] std::vector<Descriptor> getDescriptors(cudnnBackendAttributeName_t name,
                                                       cudnnBackendDescriptorType_t type,
                                                       bool isList) const {
    int64_t count = 1;
    if (isList) getArray(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr);
    std::vector<Descriptor> made;
    std::vector<cudnnBackendDescriptor_t> raw;
    made.reserve(static_cast<size_t>(count));
    raw.reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) raw.push_back(made.emplace_back(*session_, type).get());
    if (count > 0) getArray(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, raw.data());
    made.resize(static_cast<size_t>(count));
    return made;
  }

 private:
  void setArray(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                const void* values) {
    session_->call(session_->api().cudnnBackendSetAttribute, get(), name, type, count, values);
  }
  /** Copies at most `limit` elements, and stores how many there are. */
  void getArray(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t limit,
                int64_t* count, void* values) const {
    session_->call(session_->api().cudnnBackendGetAttribute, get(), name, type, limit, count,
                   values);
  }

  Session* session_ = nullptr;
  Handle<cudnnBackendDescriptor_t, &Api::cudnnBackendDestroyDescriptor, Lives::kOnHost> handle_;
};

}  // namespace vgg::cuda
