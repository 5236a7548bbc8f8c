#include "userspace-proxy/ring/mailbox.h"

#include <sys/eventfd.h>

#include <memory>

#include "common/check.h"

namespace leat::ring {

Mailbox::Mailbox() : wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  LEAT_CHECK(wake_fd_.valid(), "no descriptor left for a mailbox");
}

Mailbox::~Mailbox() {
  for (Letter* letter = newest_.load(std::memory_order_acquire); letter;) delete std::exchange(letter, letter->next);
}

void Mailbox::post(std::function<void()> work) {
  Letter* older = newest_.load(std::memory_order_relaxed);
  auto* letter = new Letter{std::move(work), older};
  while (!newest_.compare_exchange_weak(older, letter, std::memory_order_release, std::memory_order_relaxed))
    letter->next = older;
  // Who finds the box empty rings; whoever comes next knows that the owner has yet to look. The letter may be gone by
  // now.
  if (older == nullptr) ::eventfd_write(wake_fd_.get(), 1);
}

void Mailbox::run_all() {
  if (newest_.load(std::memory_order_relaxed) == nullptr) return;
  Letter* oldest = nullptr;
  for (Letter* letter = newest_.exchange(nullptr, std::memory_order_acquire); letter;) {
    Letter* next = letter->next;
    letter->next = oldest;
    oldest = letter;
    letter = next;
  }
  while (oldest) {
    const std::unique_ptr<Letter> letter(std::exchange(oldest, oldest->next));
    letter->work();
  }
}

}  // namespace leat::ring
