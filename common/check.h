// Impossible states stop the program with a message; they are never handled.
#pragma once

#include <cstdio>
#include <cstdlib>

#define LEAT_CHECK(condition, what)                                                                     \
  do {                                                                                                  \
    if (!(condition)) [[unlikely]] {                                                                    \
      std::fprintf(stderr, "%s:%d: impossible state: %s (%s)\n", __FILE__, __LINE__, what, #condition); \
      std::abort();                                                                                     \
    }                                                                                                   \
  } while (0)
