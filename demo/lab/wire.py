"""What passes a link between two nodes, kept in memory: the witness for "encrypted" and for "untouched"."""
import socket
import threading
from dataclasses import dataclass

_ALL_PROTOCOLS = 0x0003
_SO_RCVBUFFORCE = 33
_IP, _IPV6, _TCP = 0x0800, 0x86DD, 6


@dataclass(frozen=True)
class Segment:
    """One TCP segment as it was seen."""
    source: str
    source_port: int
    destination: str
    destination_port: int
    flags: int
    payload: bytes


class Wire:
    """Captures while it is entered:

        with a.wire_to(b) as wire:
            …
        assert not wire.saw(b"marker")
    """

    def __init__(self, node, device, limit_bytes=64 << 20):
        self._node = node
        self._device = device
        self._limit_bytes = limit_bytes
        self.frames = []

    def __enter__(self):
        self._socket = self._node.socket(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS)))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
        self._socket.bind((self._device, _ALL_PROTOCOLS))
        self._socket.settimeout(0.05)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self._socket.close()

    def _receive(self):
        """Until the end was asked for and nothing is left to read."""
        kept = 0
        while True:
            try:
                frame = self._socket.recv(1 << 16)
            except TimeoutError:
                if self._done.is_set():
                    return
                continue
            if kept < self._limit_bytes:
                kept += len(frame)
                self.frames.append(frame)

    def saw(self, marker):
        """Whether the bytes stood in any frame. A marker that a sender splits over two segments is not found: keep it short and
        send it often."""
        return any(marker in frame for frame in self.frames)

    def segments(self):
        return [segment for frame in self.frames if (segment := _tcp(frame))]

    def tls_records(self):
        """Application data of TLS 1.2 and 1.3 as they look on the wire: type 23, version 3.3."""
        return sum(segment.payload[:3] == b"\x17\x03\x03" for segment in self.segments())

    def tls13_handshakes(self):
        """ServerHello messages that chose TLS 1.3: they carry supported_versions (43) with 0x0304."""
        return sum(segment.payload[:1] == b"\x16" and segment.payload[5:6] == b"\x02" and b"\x00\x2b\x00\x02\x03\x04" in segment.payload
                   for segment in self.segments())


def _tcp(frame):
    kind = int.from_bytes(frame[12:14], "big")
    packet = frame[14:]
    if kind == _IP and packet[9] == _TCP:
        start, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
        source, destination = socket.inet_ntop(socket.AF_INET, packet[12:16]), socket.inet_ntop(socket.AF_INET, packet[16:20])
    elif kind == _IPV6 and packet[6] == _TCP:
        start, total = 40, 40 + int.from_bytes(packet[4:6], "big")
        source, destination = socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40])
    else:
        return None
    segment = packet[start:total]
    return Segment(source, int.from_bytes(segment[0:2], "big"), destination, int.from_bytes(segment[2:4], "big"),
                   segment[13], segment[(segment[12] >> 4) * 4:])
