#!/usr/bin/python3
"""The demo's server: an ordinary HTTP program that has never heard of a mesh. It answers with its name, its version and the address that
it sees its client at, and logs the same. SIGUSR1 makes it unwell, or well again: it answers 503 then.

    backend.py --name backend-v1-1 --version v1 [--port 8080]
"""
import argparse
import http.server
import json
import signal
import socket
import socketserver


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # IPv4 clients too, seen as ::ffff:a.b.c.d
        socketserver.TCPServer.server_bind(self)  # HTTPServer's asks the DNS for this host's name, which a pod may not have


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together; apart, the body waits up to 40 ms for the head's acknowledgement on any used connection
    name = version = ""
    unwell = False

    def do_GET(self):
        client = self.client_address[0].removeprefix("::ffff:")
        body = json.dumps({"pod": self.name, "version": self.version, "client": client, "traceparent": self.headers.get("traceparent"),
                           "motto": "leat-plaintext-marker"}).encode()
        self.send_response(503 if self.unwell else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print(f"{client} {self.path}", flush=True)

    def log_message(self, *_):
        """do_GET writes the log."""

    @classmethod
    def change_health(cls, *_):
        cls.unwell = not cls.unwell


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--name", required=True)
    options.add_argument("--version", required=True)
    options.add_argument("--port", type=int, default=8080)
    chosen = options.parse_args()
    Handler.name, Handler.version = chosen.name, chosen.version
    signal.signal(signal.SIGUSR1, Handler.change_health)
    server = Server(("::", chosen.port), Handler)
    print("serving", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
