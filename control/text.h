// Text of names that mean the same in any case.
#pragma once

#include <algorithm>
#include <string>

namespace leat::control {

// ASCII letters only.
inline std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  return text;
}

}  // namespace leat::control
