#include "common/metric_help.h"

#include <algorithm>
#include <iterator>

#include "bpf/counters.h"

namespace leat {
namespace {

struct Help {
  std::string_view family;
  std::string_view text;
};

constexpr Help kCapture[] = {
#define LEAT_COUNTER_HELP(name, help) {"leat_capture_" #name "_total", help},
    LEAT_COUNTERS(LEAT_COUNTER_HELP)
#undef LEAT_COUNTER_HELP
};

// By family.
constexpr Help kOthers[] = {
    {"istio_request_bytes", "bytes of HTTP requests, with their heads"},
    {"istio_request_duration_milliseconds", "from a request's head to the end of its response"},
    {"istio_requests_total", "HTTP requests"},
    {"istio_response_bytes", "bytes of HTTP responses, with their heads"},
    {"istio_tcp_connections_closed_total", "connections whose bytes nobody looked at, ended"},
    {"istio_tcp_connections_opened_total", "connections whose bytes nobody looks at, begun"},
    {"istio_tcp_received_bytes_total", "bytes from clients of connections whose bytes nobody looks at"},
    {"istio_tcp_sent_bytes_total", "bytes to clients of connections whose bytes nobody looks at"},
    {"leat_accepted_total", "connections accepted from the listeners in pods"},
    {"leat_accepted_unknown_pod_total", "connections accepted of a pod that the model does not have, reset"},
    {"leat_access_log_dropped_total", "lines of the access log that were not written, by reason"},
    {"leat_access_log_lines_total", "lines of the access log"},
    {"leat_agent_certificate_refusals_total", "certificates that were asked for and not given"},
    {"leat_agent_certificates_total", "certificates given to proxies"},
    {"leat_agent_closed_flows_forgotten_total", "closed direct flows forgotten to make room for later ones"},
    {"leat_agent_cni_attachments", "pods that the container runtime has attached"},
    {"leat_agent_cni_held_back_total", "starts of pods that were held back because they could not be captured in time"},
    {"leat_agent_cni_refused_total", "questions of leat-cni that were refused"},
    {"leat_agent_cni_waiting", "pods that wait to be captured before they start"},
    {"leat_agent_edit_last_seconds", "from the last edit to all workers acting on it"},
    {"leat_agent_edit_longest_seconds", "the longest of the remembered edits took"},
    {"leat_agent_edit_median_seconds", "the median of the remembered edits took"},
    {"leat_agent_edits_total", "edits of objects that took force in the proxy"},
    {"leat_agent_leases_total", "leases given to proxies"},
    {"leat_agent_model_age_seconds", "since the model last changed"},
    {"leat_agent_model_generation", "generation of the compiled model"},
    {"leat_agent_pods_captured_late_total", "pods that started before they could be captured"},
    {"leat_agent_proxies_ended_total", "proxies that the agent ended, because they hung or did not let go"},
    {"leat_agent_proxy_connections_total", "connections of proxies to the agent"},
    {"leat_agent_proxy_foreign_users_total", "connections to the proxies' socket by another user, refused"},
    {"leat_agent_proxy_violations_total", "connections of proxies ended because of what they said"},
    {"leat_agent_socket_refusals_total", "sockets in pods that were asked for and not given"},
    {"leat_agent_sockets_total", "sockets in pods given to proxies"},
    {"leat_agent_source_id_refusals_total", "ids of clients outside the model that were asked for and not given"},
    {"leat_agent_source_ids_held", "ids of clients outside the model in use"},
    {"leat_agent_source_ids_total", "ids of clients outside the model given to proxies"},
    {"leat_agent_without_proxy_resets_total", "connections reset because no proxy took them in time"},
    {"leat_agent_without_proxy_slots_closed", "1: no proxy has been there for long, and pods go without it"},
    {"leat_buffer_blocks_free", "blocks of the buffer pool that nobody has"},
    {"leat_certificate_not_after_timestamp_seconds", "when a certificate ends, by identity"},
    {"leat_certificate_not_before_timestamp_seconds", "when a certificate begins, by identity"},
    {"leat_certificate_renewal_timestamp_seconds", "when a certificate is renewed, by identity"},
    {"leat_certificate_valid", "1: the identity has a certificate that holds"},
    {"leat_client_hellos_total", "ClientHellos that were waited for to route TLS of applications, by result"},
    {"leat_direct_closed_total", "connections joined in the kernel, ended, by edge"},
    {"leat_direct_failed_total", "connections joined in the kernel that failed, by edge"},
    {"leat_direct_opened_total", "connections joined in the kernel, by edge"},
    {"leat_direct_received_bytes_total", "bytes that clients received on connections joined in the kernel, by edge"},
    {"leat_direct_sent_bytes_total", "bytes that clients sent on connections joined in the kernel, by edge"},
    {"leat_ejections_total", "endpoints that outlier detection left out"},
    {"leat_endpoints_ejected", "endpoints that outlier detection leaves out now"},
    {"leat_flow_received_bytes_total", "bytes that clients received on closed flows through the proxy"},
    {"leat_flow_sent_bytes_total", "bytes that clients sent on closed flows through the proxy"},
    {"leat_flows_closed_total", "flows through the proxy that ended, by reason"},
    {"leat_flows_open", "flows through the proxy now"},
    {"leat_flows_opened_total", "flows through the proxy"},
    {"leat_hbone_breaches_total", "what peers of tunnels did wrong, by reason"},
    {"leat_hbone_resets_received_total", "streams of tunnels that peers reset"},
    {"leat_hbone_resets_sent_total", "streams of tunnels that were reset to peers"},
    {"leat_hbone_streams_accepted_total", "streams of tunnels from peers"},
    {"leat_hbone_streams_opened_total", "streams of tunnels to peers"},
    {"leat_hbone_streams_refused_total", "streams of tunnels that were refused to peers"},
    {"leat_hedges_total", "second endpoints asked because the first was slow, by result"},
    {"leat_http2_breaches_total", "what peers of HTTP/2 did wrong, by reason"},
    {"leat_http2_clients_open", "HTTP/2 connections of applications now"},
    {"leat_http2_resets_received_total", "streams of HTTP/2 that peers reset"},
    {"leat_http2_resets_sent_total", "streams of HTTP/2 that were reset to peers"},
    {"leat_http2_upstreams_dialled_total", "HTTP/2 connections to servers that were begun"},
    {"leat_http2_upstreams_open", "HTTP/2 connections to servers now"},
    {"leat_http_clients_idle", "HTTP/1.1 connections of applications between two requests"},
    {"leat_http_replay_bytes", "bytes of requests kept to be sent again"},
    {"leat_http_retries_refused_total", "retries that the budget refused"},
    {"leat_http_retries_total", "requests that were sent again"},
    {"leat_http_upstreams_idle", "HTTP/1.1 connections to servers between two requests"},
    {"leat_http_upstreams_reused_total", "requests sent on a connection that was idle"},
    {"leat_listeners", "listeners in pods that connections are accepted from"},
    {"leat_loop_accept_backoffs_total", "pauses of accepting because there was no room"},
    {"leat_loop_starved_turns_total", "turns of the event loop without a free buffer"},
    {"leat_loop_turns_total", "turns of the event loop"},
    {"leat_map_capacity", "entries that a map of the kernel has room for"},
    {"leat_map_entries", "entries of a map of the kernel"},
    {"leat_metric_series", "series of requests and of connections that are kept"},
    {"leat_mirrored_requests_total", "requests that were mirrored, by result"},
    {"leat_overflows_total", "what a limit of a DestinationRule refused, by limit"},
    {"leat_proxy_agent_connected", "1: the proxy is connected to the agent"},
    {"leat_proxy_agent_counters_age_seconds", "since the agent last said its counters"},
    {"leat_proxy_info", "1, with the proxy's version"},
    {"leat_proxy_lease_epoch", "the lease that the proxy has; 0: none"},
    {"leat_proxy_model_generation", "generation of the model that the proxy acts on"},
    {"leat_proxy_ready", "1: connections are served"},
    {"leat_proxy_workers", "worker threads"},
    {"leat_route_duration_milliseconds", "from a request's head to the end of its response, by route"},
    {"leat_scrape_connections_ended_total", "connections for metrics that were ended before their answer was sent"},
    {"leat_scrape_requests_total", "requests for metrics and health"},
    {"leat_scrapes_total", "times that metrics were gathered"},
    {"leat_spans_dropped_total", "spans that no collector got, by reason"},
    {"leat_spans_sent_total", "spans that a collector took"},
    {"leat_spans_waiting", "spans that wait to be sent"},
    {"leat_spare_sockets", "sockets in pods that are kept for the next connections"},
    {"leat_tunnels_open", "tunnels now, by direction"},
    {"process_cpu_seconds_total", "processor time of the proxy's worker process"},
};
static_assert(std::ranges::is_sorted(kOthers, {}, &Help::family));

}  // namespace

std::string_view metric_help(std::string_view family) {
  const auto other = std::ranges::lower_bound(kOthers, family, {}, &Help::family);
  if (other != std::end(kOthers) && other->family == family) return other->text;
  const auto capture = std::ranges::find(kCapture, family, &Help::family);
  return capture != std::end(kCapture) ? capture->text : std::string_view();
}

}  // namespace leat
