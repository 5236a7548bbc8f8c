// Counters in Prometheus' text format (version 0.0.4) and in OpenMetrics' (1.0): families sorted by name, each with its
// type and a sentence (metric_help.h). What has the same name and labels is summed. The text is made in pieces, so that
// many series need little memory: a set of labels is kept once, however many metrics have it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "leat.pb.h"

namespace leat {

enum class ExpositionFormat : uint8_t { kPrometheus, kOpenMetrics };

// As the answer's header says it.
std::string_view content_type(ExpositionFormat format);

// A histogram as Prometheus tells it: how many values are not above each bound.
struct Buckets {
  explicit Buckets(const v1::Histogram& histogram);
  std::vector<std::pair<double, uint64_t>> cumulative;  // (bound, count)
  uint64_t total = 0;                                   // those above every bound too
};

class Exposition {
 public:
  void add(const v1::Counter& counter);

  // One reading of all of it; the exposition outlives it and does not change meanwhile.
  class Text {
   public:
    Text(const Exposition& of, ExpositionFormat format);
    // Appends at least `enough` bytes, or what is left; a sample more at most. False: that was the end.
    bool append(std::string& out, size_t enough);

   private:
    void begin_family(std::string& out);

    const Exposition& of_;
    ExpositionFormat format_;
    size_t family_ = 0;
    size_t member_ = 0;
    std::vector<const std::string*> names_;
    std::vector<const std::string*> members_;  // labels of the family under way
  };

 private:
  struct Value {
    double value = 0;
    std::unique_ptr<v1::Histogram> histogram;
  };
  struct ByText {
    bool operator()(const std::string* left, const std::string* right) const { return *left < *right; }
  };
  struct Family {
    bool gauge = false;
    bool histogram = false;
    std::map<const std::string*, Value, ByText> members;  // by labels_
    [[nodiscard]] std::string_view type() const { return histogram ? "histogram" : gauge ? "gauge" : "counter"; }
  };

  std::set<std::string> labels_;  // each: name="value",…
  std::map<std::string, Family> families_;
};

// All at once.
std::string exposition_text(const google::protobuf::RepeatedPtrField<v1::Counter>& counters, ExpositionFormat format);

}  // namespace leat
