"""What an honest program sends, by the kernel's own sockets: `honest.py NAME` in a sandbox.

`serve` is what the others talk to, in the victim's. Addresses come from the environment, as `lab.rs` names them.
"""
import os
import socket
import struct
import sys
import time

E = os.environ
PEER4, PEER6, OWN4, OWN6 = (E.get(name, "") for name in ("PEER4", "PEER6", "OWN4", "OWN6"))
ETH0 = socket.if_nametoindex("eth0")
TCP, UDP, CLOSED = 7000, 7001, 7009
IPPROTO_MPTCP, IPPROTO_UDPLITE = 262, 136
TCP_FASTOPEN, TCP_MD5SIG, UDP_SEGMENT, UDP_NO_CHECK6_TX, SO_NO_CHECK, SO_ZEROCOPY = 23, 14, 103, 101, 11, 60
IP_OPTIONS, IPV6_HOPOPTS, IPV6_DSTOPTS, IPV6_FLOWINFO_SEND, IPV6_ROUTER_ALERT = 4, 54, 59, 33, 22
KEY = b"a key of both"


def stream(family=socket.AF_INET, protocol=0):
    return socket.socket(family, socket.SOCK_STREAM, protocol)


def datagrams(family=socket.AF_INET, protocol=0):
    return socket.socket(family, socket.SOCK_DGRAM, protocol)


def md5(peer, family=socket.AF_INET):
    """`struct tcp_md5sig`."""
    address = struct.pack("=HH4s8s", family, 0, socket.inet_aton(peer), b"").ljust(128, b"\0")
    return address + struct.pack("=BBHiI", 0, 0, len(KEY), 0, 0) + KEY.ljust(80, b"\0")


def talk(sender, data=b"hello"):
    """Sends, ends and hears what comes back to its end."""
    sender.sendall(data)
    sender.shutdown(socket.SHUT_WR)
    while sender.recv(1 << 16):
        pass
    sender.close()


def tcp(family=socket.AF_INET, data=b"hello", prepare=lambda _: None):
    sender = stream(family)
    prepare(sender)
    sender.settimeout(20)
    sender.connect((PEER4 if family == socket.AF_INET else PEER6, TCP))
    talk(sender, data)


def set_option(level, option, value):
    return lambda made: made.setsockopt(level, option, value)


def udp(family=socket.AF_INET, data=b"hello", prepare=lambda _: None, to=None, port=UDP, protocol=0):
    sender = datagrams(family, protocol)
    prepare(sender)
    sender.sendto(data, (to or (PEER4 if family == socket.AF_INET else PEER6), port))


def raw(protocol, payload, to=None, family=socket.AF_INET, prepare=lambda _: None):
    sender = socket.socket(family, socket.SOCK_RAW, protocol)
    prepare(sender)
    sender.sendto(payload, (to or (PEER4 if family == socket.AF_INET else PEER6), 0))


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def icmp(kind, body, code=0):
    head = struct.pack("!BBH", kind, code, 0) + body
    raw(1, head[:2] + struct.pack("!H", checksum(head)) + body)


def fastopen():
    # The first connection brings a cookie, the second sends it with data.
    for _ in range(2):
        sender = stream()
        sender.sendto(b"hello", socket.MSG_FASTOPEN, (PEER4, TCP))
        sender.shutdown(socket.SHUT_WR)
        while sender.recv(100):
            pass


def keepalive():
    sender = stream()
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1)):
        sender.setsockopt(socket.IPPROTO_TCP, option, value)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sender.connect((PEER4, TCP))
    time.sleep(1.5)


def reset():
    sender = stream()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sender.connect((PEER4, TCP))
    sender.close()


def urgent():
    sender = stream()
    sender.connect((PEER4, TCP))
    sender.send(b"!", socket.MSG_OOB)
    talk(sender)


def refused():
    """To a port where nobody listens; what answers is a reset."""
    try:
        stream().connect((PEER4, CLOSED))
    except ConnectionRefusedError:
        pass


def zerocopy():
    sender = stream()
    sender.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    sender.connect((PEER4, TCP))
    sender.send(b"z" * 300_000, 0x4000000)
    talk(sender)


def sendfile():
    sender = stream()
    sender.connect((PEER4, TCP))
    with open(sys.executable, "rb") as file:
        os.sendfile(sender.fileno(), file.fileno(), 0, 500_000)
    talk(sender)


def mptcp():
    sender = stream(protocol=IPPROTO_MPTCP)
    sender.connect((PEER4, TCP + 2))
    talk(sender)


def tcp_md5():
    sender = stream()
    sender.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, md5(PEER4))
    sender.connect((PEER4, TCP + 1))
    talk(sender)


def udplite():
    def cover(made):
        made.setsockopt(IPPROTO_UDPLITE, 10, 8)

    udp(prepare=cover, protocol=IPPROTO_UDPLITE)


def join4(source=None):
    member = datagrams()
    group, own = socket.inet_aton("239.9.9.9"), struct.pack("=I", ETH0)
    if source:
        request = group + socket.inet_aton(OWN4) + socket.inet_aton(source)
        member.setsockopt(socket.IPPROTO_IP, 39, request)
    else:
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + b"\0" * 4 + own)
    time.sleep(1.3)


def join6():
    member = datagrams(socket.AF_INET6)
    request = socket.inet_pton(socket.AF_INET6, "ff05::9:9") + struct.pack("=I", ETH0)
    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    time.sleep(1.3)


def multicast4():
    sender = datagrams()
    by_eth0(sender)
    sender.bind(("", 5353))
    question = b"\0\0\0\0\0\1\0\0\0\0\0\0\x05_http\x04_tcp\x05local\0\0\x0c\0\1"
    sender.sendto(question, ("224.0.0.251", 5353))
    sender.sendto(b"M-SEARCH * HTTP/1.1\r\n\r\n", ("239.255.255.250", 1900))


def multicast6():
    sender = datagrams(socket.AF_INET6)
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    sender.sendto(b"\0\0\0\0\0\1\0\0\0\0\0\0\x05local\0\0\x0c\0\1", ("ff02::fb", 5353, 0, ETH0))


def by_eth0(made):
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(OWN4))


def broadcast(to):
    sender = datagrams()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    sender.sendto(b"who is there", (to, 1900))


def segments():
    sender = datagrams()
    sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
    for _ in range(5):
        sender.sendto(b"q" * 1200 * 40, (PEER4, UDP))


def segments6():
    sender = datagrams(socket.AF_INET6)
    sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
    sender.sendto(b"q" * 1200 * 40, (PEER6, UDP))


def port_zero():
    raw(17, struct.pack("!HHHH", 0, UDP, 8, 0))


def advertise():
    """A router's advertisement of fd00:9::/64."""
    prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 1800, 0) + socket.inet_pton(socket.AF_INET6, "fd00:9::")
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
    sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    for _ in range(4):
        sender.sendto(body, ("ff02::1", 0, 0, ETH0))
        time.sleep(0.5)


def unknown(family, protocol, payload, to):
    """What its receiver complains of."""
    raw(protocol, payload, to, family)


def first_fragment():
    """The first of two, so that its receiver waits in vain."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 77, 0x2000, 64, 17, 0, socket.inet_aton(OWN4), socket.inet_aton(PEER4))
    sender.sendto(packet + struct.pack("!HHHH", 5000, 6000, 100, 0) + b"x" * 24, (PEER4, 0))


def lldp():
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind(("eth0", 0))
    own = bytes.fromhex(E["OWN_MAC"].replace(":", ""))
    units = b"\x02\7\4" + own + b"\x04\7\3" + own + b"\x06\2\0\x78\0\0"
    sender.send(bytes.fromhex("0180c200000e") + own + b"\x88\xcc" + units)


def echo_back(listener):
    while True:
        made, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            try:
                while data := made.recv(1 << 20):
                    made.sendall(data[:100])
            except ConnectionError:
                pass
            os._exit(0)
        made.close()


def serve():
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for port, protocol in ((TCP, 0), (TCP + 1, 0), (TCP + 2, IPPROTO_MPTCP)):
        try:
            listener = stream(socket.AF_INET if port == TCP + 1 else socket.AF_INET6, protocol)
        except OSError:
            continue
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        if port == TCP:
            listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 5)
        if port == TCP + 1:
            listener.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, md5("10.1.1.1"))
        listener.listen()
        if os.fork() == 0:
            echo_back(listener)
    sinks = [datagrams(socket.AF_INET6), datagrams(socket.AF_INET6, IPPROTO_UDPLITE)]
    for sink in sinks:
        sink.bind(("", UDP))
    print("ready", flush=True)
    while True:
        sinks[0].recv(1 << 16)


PAD = b"\1\4\0\0\0\0"
six = socket.AF_INET6
GRE = b"\0\0\x08\0" + b"\x45" + b"\0" * 23
WAYS = {
    "serve": serve,
    "tcp4": tcp,
    "tcp6": lambda: tcp(six),
    "fastopen": fastopen,
    "keepalive": keepalive,
    "reset": reset,
    "urgent": urgent,
    "refused": refused,
    "zerocopy": zerocopy,
    "sendfile": sendfile,
    "mptcp": mptcp,
    "tcp_md5": tcp_md5,
    "burst": lambda: tcp(data=b"b" * 8_000_000),
    "burst6": lambda: tcp(six, data=b"b" * 8_000_000),
    "small_segments": lambda: tcp(data=b"s" * 2000, prepare=set_option(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)),
    "no_checksum": lambda: udp(prepare=set_option(socket.SOL_SOCKET, SO_NO_CHECK, 1)),
    "no_checksum6": lambda: udp(six, prepare=set_option(socket.IPPROTO_UDP, UDP_NO_CHECK6_TX, 1)),
    "empty": lambda: udp(data=b""),
    "long4": lambda: udp(data=b"l" * 65507),
    "long6": lambda: udp(six, data=b"l" * 65527),
    "small_fragments": lambda: udp(data=b"f" * 300),
    "fragments_of_tcp": lambda: tcp(data=b"f" * 300),
    "segments": segments,
    "segments6": segments6,
    "udplite": udplite,
    "port_zero": port_zero,
    "closed4": lambda: udp(port=CLOSED),
    "closed6": lambda: udp(six, port=CLOSED),
    "unknown4": lambda: unknown(socket.AF_INET, 253, b"x" * 20, PEER4),
    "unknown6": lambda: unknown(six, 253, b"x" * 20, PEER6),
    "unknown_option": lambda: udp(six, prepare=set_option(socket.IPPROTO_IPV6, IPV6_DSTOPTS, b"\0\0\x82\2\0\0\1\0")),
    "router_alert": lambda: udp(prepare=set_option(socket.IPPROTO_IP, IP_OPTIONS, b"\x94\4\0\0")),
    "timestamps": lambda: udp(prepare=set_option(socket.IPPROTO_IP, IP_OPTIONS, b"\x44\x0c\x05\0" + b"\0" * 8)),
    "hop_by_hop": lambda: udp(six, prepare=set_option(socket.IPPROTO_IPV6, IPV6_HOPOPTS, b"\0\0" + PAD)),
    "destination_options": lambda: udp(six, prepare=set_option(socket.IPPROTO_IPV6, IPV6_DSTOPTS, b"\0\0" + PAD)),
    "ecn_marks": lambda: udp(prepare=set_option(socket.IPPROTO_IP, socket.IP_TOS, 0xB9)),
    "igmp": join4,
    "igmp_source": lambda: join4(source="10.1.1.2"),
    "mld": join6,
    "multicast4": multicast4,
    "multicast6": multicast6,
    "broadcast": lambda: broadcast("255.255.255.255"),
    "subnet_broadcast": lambda: broadcast("10.1.1.255"),
    "sctp": lambda: raw(132, bytes.fromhex("17701b5800000000") + b"\0" * 4 + bytes.fromhex("01000014000000010000ffff000a000a00000001")),
    "dccp": lambda: raw(33, bytes.fromhex("17701b580500000001000000000000010000000000000000")),
    "gre": lambda: raw(47, GRE),
    "gre6": lambda: raw(47, GRE, family=six),
    "esp": lambda: raw(50, b"\0\0\1\0\0\0\0\1" + b"e" * 48),
    "esp6": lambda: raw(50, b"\0\0\1\0\0\0\0\1" + b"e" * 48, family=six),
    "ah": lambda: raw(51, b"\x11\4\0\0\0\0\1\0\0\0\0\1" + b"a" * 12 + b"\x17\x70\x1b\x59\0\x08\0\0"),
    "ip_in_ip": lambda: raw(4, b"\x45\0\0\x14\0\0\0\0\x40\xfd\0\0\xc0\xa8\7\7\xc0\xa8\7\x08"),
    "ip6_in_ip": lambda: raw(41, b"\x60\0\0\0\0\0\x3b\x40" + b"\0" * 32),
    "l2tp": lambda: raw(115, b"\0\0\0\1" + b"l" * 40),
    "vrrp": lambda: raw(112, b"\x21\7\x64\1\0\1\0\0\x0a\1\1\1" + b"\0" * 8, to="224.0.0.18", prepare=by_eth0),
    "ospf": lambda: raw(89, b"\2\1\0\x18" + b"\0" * 20, to="224.0.0.5", prepare=by_eth0),
    "icmp_timestamp": lambda: icmp(13, b"\0\1\0\1" + b"\0" * 12),
    "icmp_router_solicitation": lambda: icmp(10, b"\0" * 4),
    "icmp_extended_echo": lambda: icmp(42, b"\0\1\1\1" + b"\0\3\0\x0ceth0".ljust(12, b"\0")),
    "advertise": advertise,
    "first_fragment": first_fragment,
    "lldp": lldp,
    "pim": lambda: raw(103, b"\x20\0\xdf\xff", to="224.0.0.13", prepare=by_eth0),
    "igmp_query": lambda: raw(2, b"\x11\x64\xee\x9b\0\0\0\0", to="224.0.0.1", prepare=by_eth0),
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()
