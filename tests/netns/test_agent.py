"""The agent alone, against proxies that are none: who may connect to it, what it takes from them, and that it goes on as if nothing was."""
import json
import socket
import subprocess
import sys

import pytest

from mesh import PLAIN

pytestmark = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")

# Connects to proxy.sock, sends each message (hex) as one frame, and prints what ended the connection.
SPEAK = """
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
    try:
        channel.connect(sys.argv[1])
        channel.settimeout(5)
        for message in sys.argv[2:]:
            channel.send(b"\\0" + bytes.fromhex(message))
        while channel.recv(65536):
            pass
        print("closed")
    except TimeoutError:
        print("kept")
    except OSError as error:
        print(type(error).__name__)
"""


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


HELLO = field(1, field(1, b"0.1.0") + field(2, b"stranger") + field(7, b"epoll"))


def speak(node, *messages, user=None):
    command = [sys.executable, "-c", SPEAK, str(node.proxy_socket), *(message.hex() for message in messages)]
    return subprocess.run(command, user=node.proxy_uid if user is None else user, capture_output=True, text=True, timeout=30).stdout.strip()


def counter(node, name):
    rows = json.loads(node.leat("metrics", "-o", "json").stdout)
    return sum(row["value"] for row in rows if row["name"] == name)


def test_only_the_proxys_user_is_let_in(shop):
    before = counter(shop.a, "leat_agent_proxy_foreign_users_total")
    assert speak(shop.a, HELLO, user=0) in ("closed", "ConnectionResetError", "BrokenPipeError")  # root is not the proxy either
    assert speak(shop.a, HELLO, user=65534) == "PermissionError"  # proxy.sock is 0600
    assert counter(shop.a, "leat_agent_proxy_foreign_users_total") == before + 1


@pytest.mark.parametrize("messages", [
    [b"\xff\xff\xff"],                                      # no message
    [field(3, b"\x08\x01")],                                # Ack before Hello
    [HELLO, HELLO],
    [HELLO, field(4, field(1, b"pod") + b"\x18\x21")],      # 33 sockets
    [HELLO, field(3, b"\x08" + b"\xff" * 9 + b"\x01")],     # Ack of a model that was never sent
    [field(1, field(1, b"0.1.0") + field(2, b"a b") + field(7, b"epoll"))],
], ids=["garbage", "ack-first", "two-hellos", "too-many-sockets", "unsent-ack", "space-in-instance"])
def test_a_proxy_that_breaks_the_protocol_is_disconnected_and_counted_and_the_mesh_goes_on(shop, messages):
    before = counter(shop.a, "leat_agent_proxy_violations_total")
    assert speak(shop.a, *messages) in ("closed", "ConnectionResetError", "BrokenPipeError")
    assert counter(shop.a, "leat_agent_proxy_violations_total") == before + 1
    assert not shop.ask(3)["failed"]


def test_a_client_of_the_api_that_sends_garbage_is_disconnected_and_others_are_served(shop):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(shop.a.api_socket))
        client.send(b"\0\xff\xff\xff")
        client.settimeout(5)
        assert client.recv(65536) == b""
    shop.a.leat("version")
