#!/usr/bin/python3
"""The demo's client: asks a server over and over, some requests a connection, and tells in one JSON line who answered.

    frontend.py http://backend:8080/ --count 100 --each 5
"""
import argparse
import collections
import http.client
import json
import time
import urllib.parse


def ask(url, count, each, pause_s):
    """Makes `count` requests, at most `each` of them on one connection. What fails is counted by its reason; its connection is left."""
    seen = {"pods": collections.Counter(), "versions": collections.Counter(), "clients": collections.Counter(), "failed": collections.Counter(),
            "traces": set()}
    connection = None
    for number in range(count):
        if connection is None or number % each == 0:
            if connection:
                connection.close()
            connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=10)
        try:
            connection.request("GET", url.path or "/")
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                seen["failed"][f"{response.status}: {body[:80].decode(errors='replace')}"] += 1
                continue
            answer = json.loads(body)
            seen["pods"][answer["pod"]] += 1
            seen["versions"][answer["version"]] += 1
            seen["clients"][answer["client"]] += 1
            if answer["traceparent"]:
                seen["traces"].add(answer["traceparent"].split("-")[1])
        except (OSError, http.client.HTTPException) as error:
            seen["failed"][f"{type(error).__name__}: {error}"] += 1
            connection.close()
            connection = None
        time.sleep(pause_s)
    if connection:
        connection.close()
    return {**seen, "traces": sorted(seen["traces"])}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", type=urllib.parse.urlsplit)
    options.add_argument("--count", type=int, default=100)
    options.add_argument("--each", type=int, default=1, help="requests a connection")
    options.add_argument("--pause", type=float, default=0, help="seconds between two requests")
    chosen = options.parse_args()
    print(json.dumps(ask(chosen.url, chosen.count, chosen.each, chosen.pause)))


if __name__ == "__main__":
    main()
