#pragma once

#include "agent/event_loop.h"
#include "common/message_connection.h"
