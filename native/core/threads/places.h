// A number of places that all threads of the process share, given first come, first served.
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
  /** What one thread of JavaScript holds, and what it waits for. Its calls may come from any
   * thread.
   */
  class Client {
   public:
    /** Receives the amount that was given. Called on any thread; must neither throw nor call back.
     */
    using Granted = std::function<void(size_t amount)>;

    explicit Client(std::shared_ptr<Places> places);
    /** Does what `close` does. */
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /** Takes `amount` places now. False if too few are free or somebody waits. */
    bool take(size_t amount);
    /** Waits behind all others until `amount` places are free. Then it takes them and calls
     * `granted`. Only one wait may be under way. */
    void wait(size_t amount, Granted granted);
    /** The wait is for this amount from now on, and keeps its turn; for 0 it ends at once. Nothing
     * if none is under way. */
    void change(size_t amount);
    /** Gives places back. */
    void give(size_t amount);
    /** Leaves the line and gives all places back. Nothing is granted after it. */
    void close() noexcept;

   private:
    friend class Places;
    const std::shared_ptr<Places> places_;
    // Guarded by the mutex of `places_`.
    size_t held_ = 0;
    size_t wanted_ = 0;
    Granted granted_;
    std::list<Client*>
        turn_;  // holds this client while it does not wait, so waiting allocates nothing
  };

  explicit Places(size_t capacity) : free_(capacity), capacity_(capacity) {}

  /** The process's places of this name. The first who asks says how many there are. */
  static std::shared_ptr<Places> named(const std::string& name, size_t capacity);

  [[nodiscard]] size_t capacity() const { return capacity_; }
  [[nodiscard]] size_t free() const;
  /** Returns the time since anybody was last given a place. */
  [[nodiscard]] std::chrono::steady_clock::duration idle() const;

 private:
  /** Serves the first in line while there is enough for it: nobody overtakes it, or a large wait
   * might never end. */
  void serve();
  /** Ends the wait of a client in line. */
  void grant(Client& client);
  void give(Client& client, size_t amount);

  mutable std::mutex mutex_;
  size_t free_;
  const size_t capacity_;
  std::list<Client*> line_;
  std::chrono::steady_clock::time_point lastStart_ = std::chrono::steady_clock::now();
};

}  // namespace vgg
