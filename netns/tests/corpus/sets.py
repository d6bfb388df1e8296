"""Lies in sets of fragments and chains of extension headers, and what a receiver understands of them.

`sets.py send SEED COUNT` sends from eth0 of the attacker's namespace, `sets.py understand` counts in the victim's what its
kernel has put together, by kind of lie, until its input ends. Nothing but Python's own sockets.
"""
import json
import random
import select
import socket
import struct
import sys

OWN, PEER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
OWN4, PEER4, OTHER4 = (socket.inet_aton(f"10.1.1.{last}") for last in (1, 2, 66))
OWN6, PEER6, OTHER6, LOCAL6, PEER_LOCAL6 = (
    socket.inet_pton(socket.AF_INET6, text)
    for text in ("fd00:1::1", "fd00:1::2", "fd00:1::66", "fe80::ff:fe00:1", "fe80::ff:fe00:2")
)
ICMP, IGMP, TCP, UDP, ROUTING, FRAGMENT, AH, ICMP6, OPTIONS = 1, 2, 6, 17, 43, 44, 51, 58, 60
ANY = [0, 1, 2, 6, 17, 43, 44, 47, 50, 51, 58, 59, 60, 132, 135]


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def summed(protocol, source, message, at):
    """A message with its checksum."""
    before = b""
    if len(source) == 16:
        before = source + PEER6 + struct.pack("!II", len(message), protocol)
    elif protocol in (TCP, UDP):
        before = source + PEER4 + struct.pack("!HH", protocol, len(message))
    return message[:at] + struct.pack("!H", checksum(before + message)) + message[at + 2 :]


def udp(source, ports, payload):
    return summed(UDP, source, struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload, 6)


class Liar:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.bind(("eth0", 0))

    def lie4(self):
        """A protocol's number and a message."""
        more = bytes(self.random.choice([0, 3, 20, 60, 200]))
        error = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 60, 1, 0, 64, 6, 0, PEER4, OTHER4)
        return self.random.choice(
            [
                (UDP, udp(OWN4, (67, 68), more)),
                (ICMP, summed(ICMP, OWN4, bytes([5, 1, 0, 0]) + OTHER4 + error + more, 2)),
                (ICMP, summed(ICMP, OWN4, bytes([3, 4, 0, 0, 0, 0, 2, 0]) + error + more, 2)),
                (IGMP, summed(IGMP, OWN4, bytes([0x11, 0, 0, 0, 224, 0, 0, 1]) + more, 2)),
                (TCP, summed(TCP, OWN4, struct.pack("!HHIIBBHHH", 1, 2, 3, 4, 0x50, 3, 100, 0, 0) + more, 16)),
            ]
        )

    def lie6(self):
        """The same, with a source address."""
        any_source, local = self.random.choice([OWN6, LOCAL6]), LOCAL6
        error = struct.pack("!IHBB", 6 << 28, 20, 6, 64) + PEER6 + OTHER6 + bytes(20)
        own_mac, more = bytes([2, 1]) + OWN, bytes(self.random.choice([0, 8, 64]))
        protocol, source, message, at = self.random.choice(
            [
                (UDP, any_source, struct.pack("!HHHH", 547, 546, 8 + len(more), 0) + more, 6),
                (ICMP6, local, bytes([134, 0, 0, 0, 64, 0, 7, 8]) + bytes(8) + bytes([1, 1]) + OWN, 2),
                (ICMP6, any_source, bytes([136, 0, 0, 0, 0x20, 0, 0, 0]) + OTHER6 + own_mac, 2),
                (ICMP6, local, bytes([137, 0, 0, 0, 0, 0, 0, 0]) + OTHER6 + OTHER6 + own_mac, 2),
                (ICMP6, any_source, bytes([2, 0, 0, 0, 0, 0, 5, 0]) + error, 2),
                (ICMP6, local, bytes([130, 0, 0, 0, 0, 0, 0, 0]) + bytes(16), 2),
            ]
        )
        return protocol, source, summed(protocol, source, message, at)

    def ip4(self, protocol, body, number=0, offset=0, more=False, options=b""):
        field = offset // 8 | (0x2000 if more else 0)
        lengths = [0x45 + len(options) // 4, 0, 20 + len(options) + len(body)]
        head = lengths + [number, field, self.random.choice([1, 64, 255]), protocol, 0, OWN4, PEER4]
        head[7] = checksum(struct.pack("!BBHHHBBH4s4s", *head) + options)
        self.send(b"\x08\x00" + struct.pack("!BBHHHBBH4s4s", *head) + options + body)

    def ip6(self, following, source, body, length=None):
        length = len(body) if length is None else length
        hops = self.random.choice([1, 255, 255, 255])
        self.send(b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, length, following, hops) + source + PEER6 + body)

    def send(self, packet):
        # What has grown beyond the MTU is not sent.
        if len(packet) <= 1502:
            self.socket.send(PEER + OWN + packet)

    def chained(self, following, body, most):
        """Extension headers before a body: of any kind, in any order, some with impossible lengths."""
        for _ in range(self.random.randrange(most + 1)):
            kind = self.random.choice([0, OPTIONS, OPTIONS, ROUTING, FRAGMENT, AH])
            if kind in (0, OPTIONS):
                header = self.options(following, self.random.choice([0, 0, 1, 2, 30]))
            elif kind == ROUTING:
                length, left = self.random.choice([(0, 0), (0, 0), (0, 1), (2, 0)])
                header = bytes([following, length, self.random.choice([0, 2, 3, 4, 253]), left]) + bytes(4)
            elif kind == FRAGMENT:
                field = self.random.choice([0, 0, 0, 1, 8, 9, 6])
                header = struct.pack("!BBHI", following, 0, field, self.random.getrandbits(32))
            else:
                header = bytes([following, 1]) + bytes(10)
            following, body = kind, header + body
        return following, body

    def options(self, following, units):
        """Padding options, which fill a header of so many units of eight bytes, and one."""
        header = bytes([following, units])
        while (left := units * 8 + 8 - len(header)) > 0:
            length = min(left - 2, 255)
            header += b"\0" if left == 1 else bytes([1, length]) + bytes(length)
        return header

    def pieces(self, body):
        """Fragments of a body (an offset, bytes, whether more follow): cut anywhere, overlapping, out of order, doubled."""
        last = max(len(body), 9)
        cuts = {0} | {self.random.randrange(0, last, 8) for _ in range(self.random.randrange(4))}
        cuts = sorted(cut for cut in cuts if cut < len(body)) + [len(body)]
        pieces = []
        for start, end in zip(cuts, cuts[1:]):
            start = max(0, start - 8 * self.random.choice([0, 0, 0, 0, 1, 2]))
            end = min(len(body), end + 8 * self.random.choice([0, 0, 0, 1, 2]))
            if end < len(body):
                end -= (end - start) % 8
            if end > start:
                pieces.append((start, body[start:end], end < len(body)))
        if self.random.random() < 0.3:
            self.random.shuffle(pieces)
        if pieces and self.random.random() < 0.3:
            pieces.append(self.random.choice(pieces))
        return pieces

    def among(self, pieces, source):
        """With the beginning of an honest datagram among the fragments, before or after the others."""
        if self.random.random() < 0.3:
            honest = udp(source, (5000, 6000), bytes(40))[: 8 * self.random.choice([1, 2, 3])]
            pieces.insert(self.random.choice([0, len(pieces)]), (0, honest, True))
        return pieces

    def called(self, protocol):
        """What a fragment says that it carries: mostly the truth."""
        return protocol if self.random.random() < 0.8 else self.random.choice(ANY)

    def set4(self):
        protocol, message = self.lie4()
        if self.random.random() < 0.25:
            options = [b"", b"\1" * 4, b"\x94\4\0\0", bytes(4), b"\7\7\4" + bytes(5), b"\x44\x0c\5\0" + bytes(8)]
            self.ip4(protocol, message, options=self.random.choice(options))
            return
        number = self.random.randrange(1, 65536)
        for offset, piece, more in self.among(self.pieces(message), OWN4):
            self.ip4(self.called(protocol), piece, number, offset, more)

    def set6(self):
        protocol, source, message = self.lie6()
        form = self.random.randrange(4)
        if form == 0:
            following, body = self.chained(protocol, message, 3)
            length = self.random.choice([0, len(body) - 8, *[len(body)] * 18])
            self.ip6(following, source, body, length)
            return
        following, body = self.chained(protocol, message, 2)
        # A whole packet can be a fragment, too.
        pieces = [(0, body, False)] if form == 1 else self.among(self.pieces(body), source)
        number = self.random.getrandbits(32)
        for offset, piece, more in pieces:
            field = offset | more | self.random.choice([0, 0, 2, 4, 6])
            piece = struct.pack("!BBHI", self.called(following), 0, field, number) + piece
            self.ip6(*self.before(source, piece))

    def before(self, source, fragment):
        first, body = FRAGMENT, fragment
        if self.random.random() < 0.3:
            first, body = self.chained(first, body, 2)
        return first, source, body


def kind4(protocol, packet):
    """Which lie a packet is that has come from the attacker's addresses; nothing if it is none."""
    if packet[12:16] not in (OWN4, OTHER4):
        return None
    # A raw socket hears a message that is cut off as well.
    message = packet[(packet[0] & 15) * 4 :].ljust(48, b"\0")
    if packet[12:16] != OWN4:
        return "a foreign source"
    if protocol == UDP and message[:4] == struct.pack("!HH", 67, 68):
        return "DHCP"
    if protocol == ICMP and message[0] == 5:
        return "a redirect"
    if protocol == ICMP and message[0] == 3 and message[24:28] == OTHER4:
        return "an error"
    if protocol == IGMP and message[0] == 0x11:
        return "an IGMP query"
    if protocol == TCP and message[13] & 3 == 3:
        return "SYN and FIN"
    return None


def kind6(protocol, source, message):
    if source in (PEER6, PEER_LOCAL6):
        return None
    if source not in (OWN6, LOCAL6):
        return "a foreign IPv6 source"
    if protocol == UDP:
        return "DHCPv6" if message[:4] == struct.pack("!HH", 547, 546) else None
    message = message.ljust(48, b"\0")
    names = {134: "a router advertisement", 137: "an IPv6 redirect", 130: "an MLD query"}
    if message[0] == 136 and message[8:24] == OTHER6:
        return "an advertisement"
    if message[0] == 2 and message[32:48] == OTHER6:
        return "an IPv6 error"
    return names.get(message[0])


def understand():
    kinds = [(socket.AF_INET, protocol) for protocol in (UDP, ICMP, IGMP, TCP)]
    kinds += [(socket.AF_INET6, protocol) for protocol in (UDP, ICMP6)]
    sockets = {}
    for family, protocol in kinds:
        hears = socket.socket(family, socket.SOCK_RAW, protocol)
        # SO_RCVBUFFORCE
        hears.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
        sockets[hears] = (family, protocol)
    print("ready", flush=True)
    counts, is_over = {}, False
    while True:
        ready = select.select([*sockets] + ([] if is_over else [sys.stdin]), [], [], 0 if is_over else None)[0]
        if not ready:
            break
        for hears in ready:
            if hears is sys.stdin:
                is_over = True
                continue
            (family, protocol), (data, sender) = sockets[hears], hears.recvfrom(65536)
            if family == socket.AF_INET:
                kind = kind4(protocol, data)
            else:
                kind = kind6(protocol, socket.inet_pton(family, sender[0].split("%")[0]), data)
            if kind:
                counts[kind] = counts.get(kind, 0) + 1
    print(json.dumps(counts), flush=True)


if sys.argv[1] == "understand":
    understand()
else:
    liar = Liar(int(sys.argv[2]))
    for _ in range(int(sys.argv[3])):
        liar.random.choice([liar.set4, liar.set6, liar.set6])()
