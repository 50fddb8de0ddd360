#!/usr/bin/env python3
"""A client of the original system, written from docs/legacy.md alone: `legacy_client.py HOST PORT [DIGEST]`.

Each line of standard input is a frame to send, and each line of standard output one that arrived: the number of the
type, and the payload in hexadecimal digits. It ends when it has received as many frames as it has sent.
"""

import socket
import struct
import sys


def main():
    host, port, *digest = sys.argv[1:]
    with socket.create_connection((host, int(port))) as stream:
        for text in digest:
            stream.sendall(struct.pack("<H32s", 32, bytes.fromhex(text)))
        sent = 0
        for line in sys.stdin:
            type_id, payload = line.split()
            payload = bytes.fromhex(payload)
            stream.sendall(struct.pack("<HI", int(type_id), len(payload)) + payload)
            sent += 1
        with stream.makefile("rb") as frames:
            for _ in range(sent):
                type_id, length = struct.unpack("<HI", exactly(frames, 6))
                print(type_id, exactly(frames, length).hex())


def exactly(frames, count):
    received = frames.read(count)
    if len(received) < count:
        sys.exit("error: the connection ended in the middle of a frame")
    return received


if __name__ == "__main__":
    main()
