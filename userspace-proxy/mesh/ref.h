// Counted references to immutable objects of the mesh model. The count is atomic because the control thread builds the
// objects and every worker reads them; it is touched a few times a connection and never a message.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace leat::proxy {

class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) {}  // a copy starts with its own count
  RefCounted& operator=(const RefCounted&) = delete;

 private:
  template <typename T>
  friend class Ref;
  mutable std::atomic<uint32_t> references_{0};
};

// Like a pointer: may be null, compares by identity. T is (const) and derives from RefCounted.
template <typename T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}  // NOLINT(google-explicit-constructor): null is a value of a pointer
  explicit Ref(T* object) : object_(object) { hold(); }
  Ref(const Ref& other) : object_(other.object_) { hold(); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ && object_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete object_;
  }

  [[nodiscard]] T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  // Nobody else holds the object, so nobody else can begin to.
  [[nodiscard]] bool is_sole() const { return object_ && object_->references_.load(std::memory_order_acquire) == 1; }
  friend bool operator==(const Ref& a, const Ref& b) { return a.object_ == b.object_; }

 private:
  void hold() {
    if (object_) object_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  T* object_ = nullptr;
};

template <typename T, typename... Args>
Ref<const T> make_ref(Args&&... args) {
  return Ref<const T>(new T(std::forward<Args>(args)...));
}

}  // namespace leat::proxy
