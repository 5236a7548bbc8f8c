"""Ethernet frames made by hand: what a pod with NET_RAW can put on its neighbours' link."""
import ipaddress
import socket
import struct

SYN, SYN_ACK = 0x02, 0x12


def syn(source_mac, destination_mac, source, destination, source_port, destination_port):
    """A frame that opens a TCP connection."""
    a, b = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    tcp = struct.pack("!HHIIBBHHH", source_port, destination_port, 1, 0, 5 << 4, SYN, 64240, 0, 0)
    pseudo = a + b + (struct.pack("!HH", 6, len(tcp)) if len(a) == 4 else struct.pack("!II", len(tcp), 6))
    tcp = tcp[:16] + struct.pack("!H", _checksum(pseudo + tcp)) + tcp[18:]
    if len(a) == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + a + b
        packet, kind = head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + tcp, 0x0800
    else:
        packet, kind = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + a + b + tcp, 0x86DD
    return _mac(destination_mac) + _mac(source_mac) + struct.pack("!H", kind) + packet


def send(frames, device="eth0"):
    """Sends frames and returns the pairs (source port, destination port) of every SYN-ACK that came back within half a second."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as sock:
        sock.bind((device, 3))
        sock.settimeout(0.5)
        for frame in frames:
            sock.send(frame)
        answers = set()
        try:
            while True:
                answers |= _syn_acks(sock.recv(65536))
        except TimeoutError:
            return answers


def _syn_acks(frame):
    tcp = frame[34:] if frame[12:14] == b"\x08\0" and frame[23] == 6 else frame[54:] if frame[12:14] == b"\x86\xdd" and frame[20] == 6 else b""
    return {struct.unpack("!HH", tcp[:4])} if len(tcp) >= 14 and tcp[13] & 0x3F == SYN_ACK else set()


def _mac(text):
    return bytes.fromhex(text.replace(":", ""))


def _checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
