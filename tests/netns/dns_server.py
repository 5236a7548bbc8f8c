"""A tiny DNS server for tests, over UDP: it answers from a JSON file that is read at each question, so that a test may edit it.
{"host": {"A": [...], "AAAA": [...], "ttl": 1}}; a host that is not there does not exist; {"": "silent"} answers nobody."""
import ipaddress
import json
import socket
import struct

TYPES = {1: "A", 28: "AAAA"}


def serve_dns(say, port, path):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", port))
    say("listening")
    while True:
        question, client = sock.recvfrom(512)
        with open(path, encoding="utf-8") as file:
            zone = json.load(file)
        if "" not in zone:
            sock.sendto(answer(question, zone), client)


def answer(question, zone):
    name, at = [], 12
    while size := question[at]:
        name.append(question[at + 1:at + 1 + size].decode().lower())
        at += 1 + size
    kind, = struct.unpack("!H", question[at + 1:at + 3])
    asked, host = question[12:at + 5], zone.get(".".join(name))
    found = (host or {}).get(TYPES.get(kind, ""), [])
    code = 0 if host is not None else 3  # NXDOMAIN
    records = b"".join(struct.pack("!HHHIH", 0xc00c, kind, 1, host.get("ttl", 1), len(packed)) + packed
                       for packed in (ipaddress.ip_address(address).packed for address in found))
    return question[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(found), 0, 0) + asked + records
