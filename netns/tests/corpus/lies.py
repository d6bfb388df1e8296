"""Ten datagrams from an address that is not the sandbox's, by one of several ways to send: `lies.py WAY LINK NUMBER`.

Each ends in "lie NUMBER". Nothing but Python's own sockets; what root of a user namespace may not do needs root.
"""
import ctypes
import mmap
import os
import socket
import struct
import sys
import time

OWN_MAC, PEER_MAC, LIE4, PEER4 = (os.environ[name] for name in ("OWN_MAC", "PEER_MAC", "LIE4", "PEER4"))
COUNT = 10
PACKET_TX_RING, PACKET_VNET_HDR, PACKET_QDISC_BYPASS = 13, 15, 20
SOL_PACKET, SO_TXTIME = 263, 61


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(payload, source=LIE4, protocol=17):
    """IPv4 and UDP around a payload."""
    length = 28 + len(payload)
    head = [0x45, 0, length, 7, 0, 64, protocol, 0, socket.inet_aton(source), socket.inet_aton(PEER4)]
    form = "!BBHHHBBH4s4s"
    head[7] = checksum(struct.pack(form, *head))
    return struct.pack(form, *head) + struct.pack("!HHHH", 5000, 6000, 8 + len(payload), 0) + payload


def frame(payload, destination=PEER_MAC, tags=b"", source=LIE4):
    return mac(destination) + mac(OWN_MAC) + tags + b"\x08\0" + packet(payload, source)


def raw(link, protocol=0):
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, protocol)
    sender.bind((link, 0))
    return sender


def plain(link, lie):
    sender = raw(link)
    for _ in range(COUNT):
        sender.send(frame(lie))


def bypass(link, lie):
    sender = raw(link)
    sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    for _ in range(COUNT):
        sender.send(frame(lie))


def tx_ring(link, lie):
    """`struct tpacket_req`, and frames in memory that both see."""
    sender = raw(link)
    size = 2048
    sender.setsockopt(SOL_PACKET, PACKET_TX_RING, struct.pack("IIII", 4096, 8, size, 16))
    ring = mmap.mmap(sender.fileno(), 4096 * 8)
    bytes_ = frame(lie)
    for number in range(COUNT):
        at = number * size
        # The data follow `struct tpacket_hdr`: at the header's aligned length (TPACKET_HDRLEN - sizeof(sockaddr_ll)).
        ring[at + 32 : at + 32 + len(bytes_)] = bytes_
        struct.pack_into("LII", ring, at, 1, len(bytes_), len(bytes_))
    sender.send(b"")


def with_header(link, lie, kind, header, size, start=0, offset=0, flags=0):
    """`struct virtio_net_hdr`: what the sender says of segments and checksums."""
    sender = raw(link)
    sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    for _ in range(COUNT):
        sender.send(struct.pack("<BBHHHH", flags, kind, header, size, start, offset) + frame(lie))


def segments(link, lie):
    # UDP_L4 (5), and a checksum to be filled in, as a train of UDP has.
    with_header(link, lie, 5, 42, 8, 34, 6, 1)


def fragments(link, lie):
    # UDP (3), which the device is to cut as IP does.
    with_header(link, lie, 3, 42, 8, 34, 6, 1)


def lying_segments(link, lie):
    # Segments of one byte, with headers that end before the addresses do.
    with_header(link, lie, 5, 20, 1, 34, 6, 1)


def checksum_elsewhere(link, lie):
    # Over the source address.
    with_header(link, lie, 0, 0, 0, 20, 6, 1)


def txtime(link, lie):
    sender = raw(link)
    sender.setsockopt(socket.SOL_SOCKET, SO_TXTIME, struct.pack("iI", 1, 0))
    for _ in range(COUNT):
        at = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 1_000_000
        sender.sendmsg([frame(lie)], [(socket.SOL_SOCKET, SO_TXTIME, struct.pack("Q", at))])


def priority(link, lie):
    """Every field that a sender can set by a socket option."""
    for value in range(COUNT):
        sender = raw(link)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, value)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, value + 1)
        sender.send(frame(lie))


def tagged(link, lie):
    sender = raw(link)
    for _ in range(COUNT):
        sender.send(frame(lie, tags=b"\x81\0\0\0"))


def twice_tagged(link, lie):
    sender = raw(link)
    for _ in range(COUNT):
        sender.send(frame(lie, tags=b"\x88\xa8\0\5\x81\0\0\6"))


def to_host(link, lie):
    sender = raw(link)
    for _ in range(COUNT):
        sender.send(frame(lie, os.environ["HOST_MAC"]))


def from_host(link, lie):
    """What the host sends to the sandbox, from addresses that are nobody's, so that it comes back with them."""
    sender = raw(link)
    for _ in range(COUNT):
        sender.send(mac(OWN_MAC) + mac("02:00:00:77:77:77") + b"\x08\0" + packet(lie))
    time.sleep(0.1)


def routed(_, lie):
    """By IP, from an address that rules or routes inside make."""
    for number in range(COUNT):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.sendto(lie, (PEER4, 6000 + number))


def spoofed(_, lie):
    """By IP, with a header of one's own."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for _ in range(COUNT):
        sender.sendto(packet(lie), (PEER4, 0))


def tap(link, lie):
    """By a TAP: frames that a machine behind it would send."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    import fcntl

    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH14x", link.encode(), 0x1002))
    os.system(os.environ["UP"])
    for _ in range(COUNT):
        os.write(device, frame(lie))
    time.sleep(0.2)


def macvtap(link, lie):
    """By a character device that is made for it; no udev does it here."""
    major, minor = open(f"/sys/class/net/{link}/tap{socket.if_nametoindex(link)}/dev").read().split(":")
    path = f"/run/devices/{link}"
    os.mknod(path, 0o20600, os.makedev(int(major), int(minor)))
    device = os.open(path, os.O_RDWR)
    import fcntl

    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH14x", b"", 0x1002))
    for _ in range(COUNT):
        os.write(device, frame(lie))
    os.unlink(path)


def vxlan(link, lie):
    """Inside of VXLAN to oneself, whose device hands the frame on."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(COUNT):
        sender.sendto(b"\x08\0\0\0\0\0\7\0" + frame(lie), ("127.0.0.1", 4789))
    time.sleep(0.2)


def xdp_socket(link, lie, pieces=0):
    """AF_XDP without a program: sending needs none. The first bytes can be in a piece of their own."""
    AF_XDP, SOL_XDP, SIZE, ROOM = 44, 283, 2048, 64
    made = socket.socket(AF_XDP, socket.SOCK_RAW, 0)
    memory = mmap.mmap(-1, SIZE * ROOM)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    made.setsockopt(SOL_XDP, 4, struct.pack("QQIII4x", address, SIZE * ROOM, SIZE, 0, 0))
    for ring in (5, 6, 3):
        made.setsockopt(SOL_XDP, ring, struct.pack("I", ROOM))
    offsets = struct.unpack("16Q", made.getsockopt(SOL_XDP, 1, 128))
    producer, _, descriptors, _ = offsets[4:8]
    ring = mmap.mmap(made.fileno(), descriptors + ROOM * 16, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=0x80000000)
    # Copied, on the first queue, and several pieces a frame.
    libc = ctypes.CDLL(None, use_errno=True)
    how = 1 << 1 | (1 << 4 if pieces else 0)
    name = struct.pack("HHIII", AF_XDP, how, socket.if_nametoindex(link), 0, 0)
    if libc.bind(made.fileno(), name, len(name)):
        raise OSError(ctypes.get_errno(), "bind")
    bytes_ = frame(lie)
    all_pieces = [bytes_[:pieces], bytes_[pieces:]] if pieces else [bytes_]
    place = 0
    for _ in range(COUNT):
        for piece in all_pieces:
            at = place * SIZE
            memory[at : at + len(piece)] = piece
            options = 0 if piece is all_pieces[-1] else 1
            struct.pack_into("QII", ring, descriptors + place * 16, at, len(piece), options)
            place += 1
    struct.pack_into("I", ring, producer, place)
    made.send(b"", socket.MSG_DONTWAIT)
    time.sleep(0.2)


def xdp_pieces(link, lie):
    # The Ethernet header by itself.
    xdp_socket(link, lie, pieces=14)


def headless(link, lie):
    """A socket that leaves the Ethernet header to the kernel."""
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    for _ in range(COUNT):
        sender.sendto(packet(lie), (link, 0x0800, 0, 0, mac(PEER_MAC)))


def transparent(_, lie):
    """By IP, from a socket that is bound to an address that is nobody's here."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, 19, 1)
    sender.bind((LIE4, 5000))
    for number in range(COUNT):
        sender.sendto(lie, (PEER4, 6000 + number))


def flapping(link, lie):
    sender = raw(link)
    for _ in range(COUNT):
        os.system(f"ip link set {link} down; ip link set {link} up")
        time.sleep(0.3)
        try:
            sender.send(frame(lie))
        except OSError:
            # Down, the socket says so once.
            sender.send(frame(lie))


def many(link, _):
    """Sources and senders that nobody has heard of, to fill tables: ten thousand frames."""
    sender = raw(link)
    for number in range(10_000):
        source = b"\x06" + struct.pack("!IB", number, 6)
        sender.send(mac(PEER_MAC) + source + b"\x88\xb5" + b"x" * 46)


def many_neighbours(link, _):
    sender = raw(link)
    for number in range(10_000):
        who = socket.inet_aton("10.1.1.0")[:2] + struct.pack("!H", 512 + number)
        arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, mac(OWN_MAC), who, b"\0" * 6, socket.inet_aton(PEER4))
        sender.send(b"\xff" * 6 + mac(OWN_MAC) + b"\x08\6" + arp)


def many_groups(link, _):
    """Reports of five thousand groups, from the own address: no lie."""
    sender = raw(link)
    own = socket.inet_aton(os.environ["OWN4"])
    for number in range(5000):
        group = bytes([239, 7, number >> 8, number & 255])
        report = struct.pack("!BBH4s", 0x16, 0, 0, group)
        report = struct.pack("!BBH4s", 0x16, 0, checksum(report), group)
        head = [0x46, 0, 32, 0, 0, 1, 2, 0, own, group, b"\x94\4\0\0"]
        form = "!BBHHHBBH4s4s4s"
        head[7] = checksum(struct.pack(form, *head))
        sender.send(b"\x01\0\x5e" + group[1:] + mac(OWN_MAC) + b"\x08\0" + struct.pack(form, *head) + report)


def offload(link, value, commands=(0x17, 0x19, 0x1F, 0x24)):
    """Checksums, segments and pages left to the device, or not: `struct ethtool_value`."""
    import fcntl

    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for command in commands:
        setting = ctypes.create_string_buffer(struct.pack("II", command, int(value)))
        request = struct.pack("16sQ16x", link.encode(), ctypes.addressof(setting))
        fcntl.ioctl(asked, 0x8946, request)


def load(kind, link):
    """A program that hands frames on, pinned where `tc` and `ip` find it."""
    # `struct bpf_insn`: code, registers, offset, number.
    def step(code, to=0, number=0, of=0):
        return struct.pack("<BBhi", code, of << 4 | to, 0, number)

    index, xdp = socket.if_nametoindex(link), kind.startswith("xdp")
    helper = {"redirect": 23, "redirect_peer": 155, "clone_redirect": 13, "xdp_redirect": 23}.get(kind)
    if kind == "xdp_tx":
        # To the victim, from where it came: the frame's first six bytes are written over, if there are as many.
        first, rest = struct.unpack("<iH", mac(PEER_MAC))
        steps = [
            struct.pack("<BBhi", 0x61, 1 << 4 | 2, 0, 0),
            struct.pack("<BBhi", 0x61, 1 << 4 | 3, 4, 0),
            step(0xBF, 4, of=2),
            step(0x07, 4, 14),
            step(0xB7, 0, 2),
            struct.pack("<BBhi", 0x2D, 3 << 4 | 4, 3, 0),
            struct.pack("<BBhi", 0x62, 2, 0, first),
            struct.pack("<BBhi", 0x6A, 2, 4, rest),
            step(0xB7, 0, 3),
        ]
    elif kind == "clone_redirect":
        steps = [step(0xB7, 2, index), step(0xB7, 3), step(0x85, number=helper), step(0xB7, 0, 2)]
    else:
        steps = [step(0xB7, 1, index), step(0xB7, 2), step(0x85, number=helper)]
    program = ctypes.create_string_buffer(b"".join(steps + [step(0x95)]))
    license = ctypes.create_string_buffer(b"GPL")
    libc = ctypes.CDLL(None, use_errno=True)

    def bpf(command, attributes):
        result = libc.syscall(321, command, attributes, len(attributes))
        if result < 0:
            raise OSError(ctypes.get_errno(), "bpf")
        return result

    attributes = struct.pack(
        "IIQQ", 6 if xdp else 3, len(steps) + 1, ctypes.addressof(program), ctypes.addressof(license)
    )
    fd = bpf(5, attributes.ljust(128, b"\0"))
    path = ctypes.create_string_buffer(b"/run/programs/way")
    if os.path.exists("/run/programs/way"):
        os.unlink("/run/programs/way")
    bpf(6, struct.pack("QI", ctypes.addressof(path), fd).ljust(128, b"\0"))


if __name__ == "__main__" and sys.argv[1] == "load":
    load(*sys.argv[2:4])
elif __name__ == "__main__" and sys.argv[1] == "offload":
    offload(*sys.argv[2:4])
elif __name__ == "__main__" and sys.argv[1] == "gro":
    offload(sys.argv[2], 1, [0x2C])
elif __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2], b"lie %d" % int(sys.argv[3]))
