"""Frames made by scapy, each sent from this network namespace when it is asked for.

Arguments: the own link's name and the addresses, as NAME=VALUE. A line on standard input is a number and an expression of
scapy. The frame is sent, and after it a datagram to everybody that ends in "marker NUMBER"; the answer on standard output is
the frame in hexadecimal digits. A number below zero sends no marker. The marker goes through the same queues as the frame and after it, so once it
has arrived the frame has arrived, or never will.
"""
import errno
import os
import socket
import sys
import time

from scapy.config import conf
from scapy.contrib.igmp import IGMP
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import *
from scapy.layers.inet import *
from scapy.layers.inet6 import *
from scapy.layers.l2 import *
from scapy.layers.sctp import *
from scapy.layers.vxlan import VXLAN
from scapy.packet import Padding, Raw
from scapy.utils import mac2str
from scapy.utils6 import in6_getnsmac
import scapy.contrib.igmpv3 as igmpv3

conf.verb = 0
BROADCAST = "ff:ff:ff:ff:ff:ff"
# A port reports at most a hundred violations a second; more are only counted.
PACE = 0.012


def raw_mac(text):
    return mac2str(text)


def marked(mark, make):
    """What is made while MARK is these bytes."""
    globals()["MARK"] = Raw(mark)
    return make()


def fragments(to="169.254.169.254", port=6000):
    """A datagram in two fragments, each 48 bytes at most."""
    whole = IP(src=OWN4, dst=to) / UDP(sport=5000, dport=port) / Raw(b"x" * 40) / MARK
    datagram = bytes(whole)[20:]
    first = TO_HOST / IP(src=OWN4, dst=to, proto=17, id=9, flags="MF") / Raw(datagram[:48])
    return [first, TO_HOST / IP(src=OWN4, dst=to, proto=17, id=9, frag=6) / Raw(datagram[48:])]


def fragments6(to="fd00:ec2::254"):
    datagram = bytes(IPv6(src=OWN6, dst=to) / UDP(sport=5000, dport=6000) / Raw(b"x" * 40) / MARK)[40:]
    head = TO_HOST / IPv6(src=OWN6, dst=to)
    first = head / IPv6ExtHdrFragment(nh=17, id=9, m=1) / Raw(datagram[:48])
    return [first, head / IPv6ExtHdrFragment(nh=17, id=9, offset=6) / Raw(datagram[48:])]


def send(sender, frame):
    """A backlog that others' frames have filled has room again in a moment."""
    for _ in range(100):
        try:
            return sender.send(frame)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            time.sleep(PACE)


def main():
    names = dict(argument.split("=", 1) for argument in sys.argv[2:])
    globals().update(names)
    own, peer = names["OWN_MAC"], names["PEER_MAC"]
    globals()["TO_PEER"] = Ether(src=own, dst=peer)
    globals()["TO_HOST"] = Ether(src=own, dst=names["HOST_MAC"])
    globals()["TO_ALL"] = Ether(src=own, dst=BROADCAST)

    def to_group(address):
        if ":" in address:
            mac = in6_getnsmac(socket.inet_pton(socket.AF_INET6, address))
        else:
            low = socket.inet_aton(address)
            mac = "01:00:5e:%02x:%02x:%02x" % (low[1] & 0x7F, low[2], low[3])
        return Ether(src=own, dst=mac)

    globals()["TO_GROUP"] = to_group
    # Frames that go one way through one processor stay in order.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((sys.argv[1], 0))
    print("ready", flush=True)
    for line in sys.stdin:
        number, expression = line.split(" ", 1)
        frame = bytes(eval(expression))
        marker = TO_ALL / IP(src=names["OWN4"], dst=names["PEER4"]) / UDP(sport=9, dport=9)
        time.sleep(PACE)
        send(sender, frame)
        if int(number) >= 0:
            send(sender, bytes(marker / Raw(b"marker %d" % int(number))))
        print(frame.hex(), flush=True)


main()
