#!/usr/bin/python3
"""A collector of spans that takes everything and looks at nothing: collector.py PORT."""
import http.server
import sys


class Taker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Taker)
print("serving", flush=True)
server.serve_forever()
