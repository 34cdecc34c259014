// A fixed number of places that all threads of the process share, granted first come, first served.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>

namespace vgg {

class Places {
 public:
  /** The places that one JavaScript thread holds and waits for. Callable on any thread. */
  class Client {
   public:
    /** Receives the granted amount. Called on any thread; must neither throw nor call back. */
    using Granted = std::function<void(size_t amount)>;

    explicit Client(std::shared_ptr<Places> places);
    /** Calls `close`. */
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /** Takes `amount` places now. Returns false if too few are free or somebody waits. */
    bool take(size_t amount);
    /** Waits behind all others until `amount` places are free, then takes them and calls `granted`.
     * Only one wait may be pending. */
    void wait(size_t amount, Granted granted);
    /** Changes the amount of the pending wait, which keeps its turn. With 0 the wait ends at once.
     * Does nothing if no wait is pending. */
    void change(size_t amount);
    /** Releases places. */
    void give(size_t amount);
    /** Leaves the queue and releases all places. Nothing is granted afterwards. */
    void close() noexcept;

   private:
    friend class Places;
    const std::shared_ptr<Places> places_;
    // Guarded by the mutex of `places_`.
    size_t held_ = 0;
    size_t wanted_ = 0;
    Granted granted_;
    std::list<Client*>
        turn_;  // holds this client while it is not queued, so waiting allocates nothing
  };

  explicit Places(size_t capacity) : free_(capacity), capacity_(capacity) {}

  /** Returns the process's places of this name. The first call sets the capacity. */
  static std::shared_ptr<Places> named(const std::string& name, size_t capacity);

  [[nodiscard]] size_t capacity() const { return capacity_; }
  [[nodiscard]] size_t free() const;
  /** Returns the time since a place was last granted. */
  [[nodiscard]] std::chrono::steady_clock::duration idle() const;

 private:
  /** Serves the first in the queue while enough places are free. Nobody overtakes it; otherwise a
   * large wait might never end. */
  void serve();
  /** Ends the wait of a client that is in the queue. */
  void grant(Client& client);
  void give(Client& client, size_t amount);

  mutable std::mutex mutex_;
  size_t free_;
  const size_t capacity_;
  std::list<Client*> line_;
  std::chrono::steady_clock::time_point lastStart_ = std::chrono::steady_clock::now();
};

}  // namespace vgg
