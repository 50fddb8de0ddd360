#!/usr/bin/env python3
"""A name server for the job `hosts`: dns.py ADDRESS ZONE

Each line of the file ZONE, which is read for each question, is a name and its address, or `fails`
(no such name), or `silent` (no answer at all). Each question is printed with what was found.
"""

import socket
import struct
import sys


def main():
    address, zone = sys.argv[1:]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        question, peer = server.recvfrom(1500)
        reply = answer(question, zone)
        if reply:
            server.sendto(reply, peer)


def answer(question, zone):
    end, labels = 12, []
    while question[end]:
        labels.append(question[end + 1 : end + 1 + question[end]].decode())
        end += 1 + question[end]
    kind = struct.unpack(">H", question[end + 1 : end + 3])[0]
    with open(zone, encoding="utf-8") as lines:
        known = dict(line.split() for line in lines if line.strip())
    found = known.get(".".join(labels).lower(), "fails")
    print(".".join(labels), found, flush=True)
    if found == "silent":
        return None
    asked = question[12 : end + 5]
    if found == "fails":
        return question[:2] + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + asked
    # An address of version 4, without caching.
    records = []
    if kind == 1:
        records = [struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(found)]
    header = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
    return header + asked + b"".join(records)


main()
