#!/usr/bin/env python3
"""Reads the counters of a process, as observability.md describes them.

    python3 counters_reader.py PID

Prints one JSON object a line for each line of counters: its region, kind, label and values, and
whether its writer has ended. The process takes no part: it may spin, hang, or be stopped. It needs
64-bit Linux, and the user of the process, or root.
"""
import fcntl
import json
import mmap
import os
import struct
import sys

FIRST = "/memfd:mycelium-counters (deleted)"
FURTHER = "/memfd:mycelium-counters-more (deleted)"
GET_SEALS, SEALS = 1034, 2 | 4  # against shrinking and growing


class Words:
    """The words of a memfd, mapped read-only. Each one is loaded at once."""

    def __init__(self, path):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if fcntl.fcntl(file, GET_SEALS) & SEALS != SEALS:
            os.close(file)
            raise OSError(f"{path} has no seals yet")
        self.inode = os.fstat(file).st_ino
        memory = mmap.mmap(file, 0, prot=mmap.PROT_READ)
        os.close(file)
        self.words = memoryview(memory).cast("Q")

    def __getitem__(self, index):
        return self.words[index]

    def text(self, first, count, length):
        raw = struct.pack(f"<{count}Q", *self.words[first : first + count])
        return raw[:length].split(b"\0")[0].decode("utf-8", "replace")


def descriptors(process, name):
    directory = f"/proc/{process}/fd"
    try:
        numbers = sorted(os.listdir(directory), key=int)
        for path in (f"{directory}/{number}" for number in numbers):
            try:
                # An empty memfd is being made.
                if os.readlink(path) == name and os.stat(path).st_size > 0:
                    yield path
            except FileNotFoundError:
                pass  # Closed meanwhile.
    except OSError as error:
        sys.exit(f"no access to the descriptors of process {process}: {error.strerror}")


def number_inside(process):
    """The number of the process in its own namespace."""
    with open(f"/proc/{process}/status") as status:
        numbers = [line.split()[-1] for line in status if line.startswith("NSpid:")]
    return int(numbers[0]) if numbers else process


def mapped(process, name):
    for path in descriptors(process, name):
        try:
            yield Words(path)
        except OSError as error:
            # Being made, closed meanwhile, or foreign memory that may be taken away.
            print(f"left out: {error}", file=sys.stderr)


def lines(process, first):
    if first[0] != int.from_bytes(b"mycelcnt", "little"):
        sys.exit(f"the counters of process {process} are being made: try again")
    if first[1] != 6:
        sys.exit(f"expected counters of version 6, found {first[1]}")
    head = list(first.words[:16])  # Words that do not change, but for the words of a liar.
    if 0 in (head[word] for word in (7, 9, 10, 12, 13)):
        raise ValueError("the header has a size of 0")
    kinds = []
    for kind in range(head[5]):
        start = head[11] + head[12] * kind
        size = head[13]
        names = [first.text(start + 1 + size * n, size, 8 * size) for n in range(1 + first[start])]
        kinds.append((names[0], names[1:]))
    for _ in range(4):
        replaced = first[15]
        further = {words.inode: words for words in mapped(process, FURTHER)}
        found = list(once(first, head, kinds, further))
        if replaced % 2 == 0 and first[15] == replaced:
            break
    return found


def once(first, head, kinds, further):
    left, segments = first[3], first[8]
    if head[6] + head[7] * segments > len(first.words):
        raise ValueError(f"the list of {segments} segments ends after the first one")
    for segment in range(segments):
        entry = head[6] + head[7] * segment
        first_word, room, descriptor, values, inode, _ = (first[entry + n] for n in range(6))
        used, left = min(left, room), left - min(left, room)
        words = first if segment == 0 else further.get(inode)
        if words is None:
            print(f"segment {segment} is out of reach", file=sys.stderr)
            continue
        for line in range(used):
            place = descriptor - first_word + head[9] * line
            value = values - first_word + head[10] * line
            for _ in range(4):
                generation = words[place]
                if generation == 0:
                    break
                name, names = kinds[words[place + 1]]
                label = words.text(place + 3, head[9] - 3, words[place + 2])
                found = {}
                for n, title in enumerate(names):
                    second = head[10] - 1 - n
                    more = words[value + second] if second >= len(names) else 0
                    found[title] = (words[value + n] + more) % 2**64
                if words[place] == generation:
                    ended = generation % 2 == 0
                    yield {"kind": name, "label": label, "ended": ended, "values": found}
                    break


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit(f"usage: {sys.argv[0]} PID")
    process = int(sys.argv[1])
    # A forked child has the descriptors of its parent.
    inside = number_inside(process)
    regions = [first for first in mapped(process, FIRST) if first[14] == inside]
    if not regions:
        sys.exit(f"process {process} has no counters")
    for number, first in enumerate(regions):
        try:
            found = lines(process, first)
        except (IndexError, ValueError, MemoryError, struct.error) as error:
            sys.exit(f"region {number} of process {process} contradicts itself: {error}")
        for line in found:
            print(json.dumps({"region": number, **line}))


if __name__ == "__main__":
    main()
