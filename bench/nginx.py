"""The peer: Debian's nginx as the leanest HTTP hop that it can be, one worker, no log; bytes by its stream module."""
import shutil
from pathlib import Path

BASE_PORT = 9080
WEIGHTS = (90, 10)  # of two servers
_CONNECTIONS = 19000
_STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def start(node, servers, ports, http=(), h2=()):
    """As haproxy.start(). Towards servers nginx speaks HTTP/2 as gRPC only, which does for any call."""
    program = shutil.which("nginx")
    if program is None or not _STREAM.exists():
        raise RuntimeError("nginx is not there: apt-get install nginx-light libnginx-mod-stream (which also starts it on port 80 of this "
                           "machine, where there is an init: systemctl disable --now nginx)")
    folder = Path(node.folder) / "nginx"
    folder.mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(node.gateway4, servers, ports, http, h2, folder))
    cgroup = node.cgroup.child("nginx")
    return node.part(cgroup).start([program, "-c", configuration, "-p", folder, "-e", folder / "error.log", "-g", "daemon off;"]), cgroup


def _configuration(address, servers, ports, http, h2, folder):
    temporary = "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = f"""load_module {_STREAM};
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/pid;
events {{ worker_connections {_CONNECTIONS}; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
{temporary}"""
    for port, own in ports.items():
        if port not in http and port not in h2:
            continue
        group = "".join(f"    server {server}:{port}" + (f" weight={WEIGHTS[each]}" if len(servers) > 1 else "") + ";\n"
                        for each, server in enumerate(servers))
        text += f"  upstream service{port} {{\n{group}    keepalive 2048;\n    keepalive_requests 1000000000;\n  }}\n"
        if port in h2:
            text += (f"  server {{ listen {address}:{own} http2 backlog=4096;\n"
                     f"    location / {{ grpc_pass grpc://service{port}; }} }}\n")
        else:
            text += (f"  server {{ listen {address}:{own} backlog=4096;\n    location / {{ proxy_pass http://service{port}; "
                     "proxy_http_version 1.1; proxy_set_header Connection \"\"; } }\n")
    text += "}\nstream {\n"
    for port, own in ports.items():
        if port not in http and port not in h2:
            text += f"  server {{ listen {address}:{own}; proxy_pass {servers[0]}:{port}; }}\n"
    return text + "}\n"
