"""Writes every packet that passes a network namespace to a file; run there, as root.

    ip netns exec NAME python sniffer.py FILE

It prints "ready" when it sees what passes, and ends when its input is closed. If the
kernel had no room for a packet, so that the file lacks it, the exit status is 1.
"""

from __future__ import annotations

import select
import socket
import struct
import sys

# Of Linux's headers; `socket` has no names for them.
ETH_P_ALL, SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS = 3, 33, 263, 6

LONGEST = 2**20  # The kernel may pass on many segments of TCP as one packet.
ROOM = 2**28  # For what is sent while this process has no turn.


def write_packets(packets, file):
    """Writes what comes until the input is closed, and then what had come by then."""
    buffer = memoryview(bytearray(LONGEST))
    while True:
        ready, _, _ = select.select([packets, sys.stdin], [], [])
        if packets not in ready:
            return
        size, (_, _, kind, *_) = packets.recvfrom_into(buffer)
        if kind != socket.PACKET_OUTGOING:  # It was seen where it came in.
            file.write(buffer[:size])


def main(path):
    kind = socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)
    with open(path, "wb") as file, socket.socket(*kind) as packets:
        packets.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        print("ready", flush=True)
        write_packets(packets, file)
        counts = packets.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
    _, num_lost = struct.unpack("II", counts)
    if num_lost:
        sys.exit(f"there was no room for {num_lost} packets")


if __name__ == "__main__":
    main(*sys.argv[1:])
