#include "userspace-proxy/http2/header_list.h"

#include <algorithm>

#include "userspace-proxy/http1/name.h"

namespace leat::http2 {
namespace {

using http1::equal_ignoring_case;
using http1::Field;
using http1::FieldLine;
using http1::Name;

bool names(std::span<const FieldLine> lines, std::string_view name) {
  return std::ranges::any_of(lines, [&](const FieldLine& line) { return equal_ignoring_case(line.name, name); });
}

bool is_replaced(const http1::Edits& edits, std::string_view name) {
  return names(edits.set, name) ||
         std::ranges::any_of(edits.remove, [&](std::string_view gone) { return equal_ignoring_case(gone, name); });
}

template <typename Dropped>
void add_fields(HeaderList& list, const http1::Fields& fields, const http1::Edits& edits, Dropped dropped) {
  const bool edited = !edits.set.empty() || !edits.remove.empty();
  for (const Field& field : fields.all()) {
    if (field.hop || dropped(field) || (edited && is_replaced(edits, fields.name(field)))) continue;
    list.add(fields.name(field), fields.value(field));
  }
  for (const std::span<const FieldLine> lines : {edits.set, edits.add}) {
    for (const FieldLine& line : lines) {
      if (!equal_ignoring_case(line.name, "host")) list.add(line.name, line.value);  // :authority in a request
    }
  }
}

// What the edits make of Host.
std::string_view authority_of(const http1::RequestHead& head, const http1::Edits& edits) {
  for (const std::span<const FieldLine> lines : {edits.set, edits.add}) {
    for (const FieldLine& line : lines) {
      if (equal_ignoring_case(line.name, "host")) return line.value;
    }
  }
  return head.authority();
}

}  // namespace

void add_request(HeaderList& list, const http1::RequestHead& head, const http1::RequestEdits& edits) {
  const bool connect = head.method() == http1::Method::kConnect;
  list.add(":method", head.method_text());
  if (!connect) list.add(":scheme", "http");
  list.add(":authority", authority_of(head, edits.fields));
  if (!connect) list.add(":path", edits.target.empty() ? head.path_and_query() : edits.target);
  add_fields(list, head.fields(), edits.fields, [&](const Field& field) {
    // A client of HTTP/1.0 can't be sent the interim response that Expect asks for.
    return field.id == Name::kHost || (field.id == Name::kExpect && head.connection().http10);
  });
  if (head.connection().te_trailers) list.add("te", "trailers");
}

void add_response(HeaderList& list, const http1::ResponseHead& head, const http1::Edits& edits) {
  list.add(":status", head.status_text());
  const bool lengthless = http1::is_lengthless(head.status());
  add_fields(list, head.fields(), edits,
             [&](const Field& field) { return lengthless && field.id == Name::kContentLength; });
}

void add_trailers(HeaderList& list, const http1::Fields& trailers) {
  for (const Field& field : trailers.all()) list.add(trailers.name(field), trailers.value(field));
}

}  // namespace leat::http2
