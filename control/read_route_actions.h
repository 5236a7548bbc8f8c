// What an entry of VirtualService.http does besides sending requests on: header edits, another address, an answer, a
// fault.
#pragma once

#include <string_view>

#include "control/field.h"
#include "leat.pb.h"

namespace leat::control {

// Everything of `entry` that the message has but its matches and destinations. What is wrong is left out of it, and an
// error.
void read_actions(const Field& entry, v1::HttpRoute& route);
// Istio's `headers`, of a route or of one destination.
void read_header_edits(const Field& headers, v1::HeaderEdits& edits);

// For the readers of other kinds of routes.
bool is_token(std::string_view text);  // a method, a name of a header
// A finding says what is wrong with a field that is not such a thing.
bool may_edit_header(const Field& place, std::string_view name);
bool is_header_value(const Field& place, std::string_view value);
bool is_path(const Field& place, std::string_view path, bool with_query);
// A share, 0 to 100. Nothing where it is absent or none.
std::optional<double> read_percent(const Field& field);

}  // namespace leat::control
