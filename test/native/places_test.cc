// Tests of Places, which threads share.
#include "core/threads/places.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "expect.h"

namespace vgg {
namespace {

using Client = Places::Client;

void placesAreGivenFirstComeFirstServed() {
  const auto places = std::make_shared<Places>(10);
  Client a(places);
  Client b(places);
  Client c(places);
  std::string order;
  const auto as = [&](char name) {
    return [&order, name](size_t amount) { order += name + std::to_string(amount) + " "; };
  };
  EXPECT(a.take(8));
  EXPECT(!b.take(3));
  b.wait(9, as('b'));
  // c waits behind b, although enough is free for it.
  EXPECT(!c.take(1));
  c.wait(1, as('c'));
  a.give(6);
  EXPECT(order.empty() && places->free() == 8);
  a.give(2);
  EXPECT(order == "b9 c1 " && places->free() == 0);
  // A waiter may leave the line from any position.
  a.wait(5, as('a'));
  b.wait(1, as('b'));
  b.change(0);
  EXPECT(order == "b9 c1 b0 ");
  // The others keep their turns.
  b.wait(1, as('b'));
  c.give(1);
  EXPECT(order == "b9 c1 b0 ");
  a.change(1);
  EXPECT(order == "b9 c1 b0 a1 ");
  a.change(7);
  EXPECT(order == "b9 c1 b0 a1 ");
  b.close();
  EXPECT(places->free() == 9);
  c.close();
  a.close();
  EXPECT(places->free() == 10);
}

void placesOfOneWhoGoesAreFree() {
  const auto places = Places::named("test", 2);
  EXPECT(Places::named("test", 7) == places && places->capacity() == 2);
  Client stays(places);
  auto goes = std::make_unique<Client>(places);
  bool isServed = false;
  EXPECT(goes->take(2));
  stays.wait(2, [&](size_t) { isServed = true; });
  goes->wait(1, [](size_t) { EXPECT(false); });
  goes = nullptr;
  EXPECT(isServed && places->free() == 0);
  bool isRefused = false;
  try {
    stays.give(3);
  } catch (const Error&) {
    isRefused = true;
  }
  EXPECT(isRefused);
}

void placesAreNeverGivenTwice() {
  const auto places = std::make_shared<Places>(5);
  std::atomic<size_t> held = 0;
  std::atomic<size_t> most = 0;
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      Client client(places);
      for (size_t i = 0; i < 2000; ++i) {
        const size_t amount = 1 + (i + thread) % 5;
        std::atomic<bool> isServed = client.take(amount);
        if (!isServed) {
          client.wait(amount, [&](size_t) {
            isServed = true;
            isServed.notify_one();
          });
          isServed.wait(false);
        }
        size_t now = held += amount;
        size_t before = most;
        while (now > before && !most.compare_exchange_weak(before, now)) {
        }
        held -= amount;
        client.give(amount);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT(most > 0 && most <= 5);
  EXPECT(places->free() == 5);
}

}  // namespace

void testPlaces() {
  placesAreGivenFirstComeFirstServed();
  placesOfOneWhoGoesAreFree();
  placesAreNeverGivenTwice();
}

}  // namespace vgg
