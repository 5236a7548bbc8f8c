// Findings about a mesh's objects -> the Events that say them. Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/sources/kubernetes/event_book.h"
#include "agent/sources/kubernetes/object_facts.h"
#include "control/findings.h"

namespace leat::sources {

// Of Istio's, the Gateway API's and Leat's own kinds; of others there is nothing that Leat could be asked to say. An
// object that is gone gets none. `api_version`: that the server has a kind in.
std::vector<Event> finding_events(const std::vector<v1::Finding>& findings,
                                  const std::map<control::ObjectKey, ObjectFacts>& facts,
                                  const std::function<std::string(std::string_view kind)>& api_version);

// InvalidReference, UnsupportedField or InvalidField, by the finding's words; of what is in force, NotAsMeant.
std::string_view reason_of(const v1::Finding& finding);

}  // namespace leat::sources
