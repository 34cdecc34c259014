#include "core/threads/places.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/error.h"

namespace vgg {

std::shared_ptr<Places> Places::named(const std::string& name, size_t capacity) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<Places>> all;
  const std::lock_guard lock(mutex);
  std::shared_ptr<Places>& places = all[name];
  if (places == nullptr) places = std::make_shared<Places>(capacity);
  return places;
}

size_t Places::free() const {
  const std::lock_guard lock(mutex_);
  return free_;
}

std::chrono::steady_clock::duration Places::idle() const {
  const std::lock_guard lock(mutex_);
  return std::chrono::steady_clock::now() - lastStart_;
}

void Places::give(Client& client, size_t amount) {
  free_ -= amount;
  client.held_ += amount;
  if (amount > 0) lastStart_ = std::chrono::steady_clock::now();
}

void Places::grant(Client& client) {
  client.turn_.splice(client.turn_.end(), line_, std::ranges::find(line_, &client));
  give(client, client.wanted_);
  std::exchange(client.granted_, nullptr)(client.wanted_);
}

void Places::serve() {
  while (!line_.empty() && line_.front()->wanted_ <= free_) grant(*line_.front());
}

Places::Client::Client(std::shared_ptr<Places> places)
    : places_(std::move(places)), turn_({this}) {}

Places::Client::~Client() { close(); }

bool Places::Client::take(size_t amount) {
  const std::lock_guard lock(places_->mutex_);
  if (!places_->line_.empty() || places_->free_ < amount) return false;
  places_->give(*this, amount);
  return true;
}

void Places::Client::wait(size_t amount, Granted granted) {
  const std::lock_guard lock(places_->mutex_);
  if (turn_.empty()) throw Error(Code::kInternal, "Expected one wait at a time");
  if (amount > places_->capacity_)
    throw Error(Code::kInternal, "Expected at most as many places as there are");
  wanted_ = amount;
  granted_ = std::move(granted);
  places_->line_.splice(places_->line_.end(), turn_);
  places_->serve();
}

void Places::Client::change(size_t amount) {
  const std::lock_guard lock(places_->mutex_);
  if (!turn_.empty()) return;
  if (amount > places_->capacity_)
    throw Error(Code::kInternal, "Expected at most as many places as there are");
  wanted_ = amount;
  if (amount == 0) places_->grant(*this);
  places_->serve();
}

void Places::Client::give(size_t amount) {
  const std::lock_guard lock(places_->mutex_);
  if (amount > held_) throw Error(Code::kInternal, "Expected places that are held");
  held_ -= amount;
  places_->free_ += amount;
  places_->serve();
}

void Places::Client::close() noexcept {
  const std::lock_guard lock(places_->mutex_);
  if (turn_.empty())
    turn_.splice(turn_.end(), places_->line_, std::ranges::find(places_->line_, this));
  granted_ = nullptr;
  places_->free_ += std::exchange(held_, 0);
  places_->serve();
}

}  // namespace vgg
