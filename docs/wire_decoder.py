#!/usr/bin/env python3
"""Decoder of the wire format, version 1, as wire-format.md describes it.

    python3 wire_decoder.py [--limit N] [--swap] FILE     FILE may be - for stdin
    python3 wire_decoder.py --self-test wire-format.md

Prints one JSON object a line for each frame of a recorded byte stream: the header's fields, the
extensions, and

    "payload"  for a message: its bytes as hex; the first "fixed_length" of them are the fixed part,
               the rest the tail
    "message"  for the last fragment of a message: the whole message as hex
    "swap"     with --swap, for a message of type 1: the fields of the document's example message
    "messages" for a run: the bytes of each message as hex
    "link"     for type 0: kind, name and fields of a control frame; for an unknown kind its payload
               as hex
    "notes"    what the document does not allow but names no error for

Numbers are JSON numbers of up to 64 bits (above 2**53, check your JSON reader); a correlation is a
string `0x...`. The last object may be an error, with the offset of its frame; the exit code is
then 1:

    {"error": "Extension.Order", "offset": 64, "detail": "..."}
    {"error": "Incomplete", "needed": 152, "offset": 64}

Incomplete means that the stream ends within a frame. "needed" is the size of the frame, or 24 if
its header is incomplete.
"""
import argparse
import json
import re
import struct
import sys

HEADER = struct.Struct("<BBHIHHIQ")
DEFAULT_LIMIT = 1 << 20
MAX_LIMIT = 0xFFFF_FFF8
CRITICAL = 0x8000


class WireError(Exception):
    """An error, by the document's name. `needed` of Incomplete counts from the frame's start."""

    def __init__(self, error, **more):
        super().__init__(f"{error}: {more}")
        self.name, self.object = error, {"error": error, **more}


def check(holds, name, detail):
    if not holds:
        raise WireError(name, detail=detail)


def integer(data, signed=False):
    return int.from_bytes(data, "little", signed=signed)


def padded(n):
    return (n + 7) & ~7


# Section 1: frames

def decode_frame(data, start=0, limit=DEFAULT_LIMIT):
    """The frame at data[start:], as a dict with its payload as bytes, and its size in bytes."""
    available = len(data) - start
    if available > 0:
        first = data[start]
        check(first >> 4 == 0xA, "Magic", f"first byte 0x{first:02x}")
        check(first & 15 == 1, "Version", f"version {first & 15}")
    if available < HEADER.size:
        raise WireError("Incomplete", needed=HEADER.size)
    _, flags, type_id, length, fixed, extensions, stream, sequence = HEADER.unpack_from(data, start)
    check(flags == 0, "Flags", f"flags 0x{flags:02x}")
    check(length <= limit, "TooLong", f"length {length}, limit {limit}")
    check(extensions % 8 == 0, "ExtensionsLength", f"extensions length {extensions}")
    minimum = HEADER.size + extensions + fixed
    check(length >= minimum, "TooShort", f"length {length}, header, extensions and fixed part {minimum}")
    if available < padded(length):
        raise WireError("Incomplete", needed=padded(length))
    check(not any(data[start + length:start + padded(length)]), "Padding", "after the payload")
    body = start + HEADER.size
    frame = {
        "version": 1, "flags": flags, "type": type_id, "length": length, "fixed_length": fixed,
        "extensions_length": extensions, "stream": stream, "sequence": sequence,
        "extensions": decode_extensions(bytes(data[body:body + extensions])),
        "payload": bytes(data[body + extensions:start + length]),
    }
    return frame, padded(length)


# Section 2: extensions

KNOWN_EXTENSIONS = {  # kind: name, length, decoder of the value
    1: ("trace", 25, lambda v: {"trace_id": v[:16].hex(), "span_id": v[16:24].hex(), "flags": v[24]}),
    2: ("correlation", 16, lambda v: f"0x{integer(v):032x}"),
    3: ("destination", 8, integer),
    4: ("deadline", 8, integer),
    5: ("redelivered", 0, lambda value: True),
    6: ("sent_at", 8, integer),
    0x8005: ("fragment", 10, lambda v: {"offset": integer(v[:4]), "total": integer(v[4:8]), "fixed_length": integer(v[8:])}),
}


def decode_extensions(area):
    """The known extensions by name; the unknown ones, in order, as a list under "unknown"."""
    found, at, before = {}, 0, 0
    while at < len(area):
        where = f"at {at} of the extensions"
        check(at + 4 <= len(area), "Extension.Truncated", where)
        kind, length = struct.unpack_from("<HH", area, at)
        where = f"kind 0x{kind:x}, length {length}, {where}"
        end = at + padded(4 + length)
        check(end <= len(area), "Extension.Truncated", where)
        check(kind != 0, "Extension.Reserved", where)
        check(kind >= before, "Extension.Order", f"{where}, after kind 0x{before:x}")
        value = area[at + 4:at + 4 + length]
        if kind in KNOWN_EXTENSIONS:
            name, size, decode = KNOWN_EXTENSIONS[kind]
            check(length == size, "Extension.Length", where)
            check(name not in found, "Extension.Duplicate", where)
            found[name] = decode(value)
        else:
            check(not kind & CRITICAL, "Extension.Critical", where)
            found.setdefault("unknown", []).append({"kind": kind, "value": value.hex()})
        check(not any(area[at + 4 + length:end]), "Extension.Padding", where)
        at, before = end, kind
    return found


# Section 3: messages

SWAP_ID, SWAP_SIZE = 1, 40
SIDES = {1: "Buy", 2: "Sell"}


def counted(data, item_size, where):
    """The items in use, as bytes, of the text or list that fills data."""
    count, capacity = integer(data[:2]), (len(data) - 2) // item_size
    check(count <= capacity, "Invalid", f"{where}: count {count}, capacity {capacity}")
    return [data[at:at + item_size] for at in range(2, 2 + count * item_size, item_size)]


def text(data, where):
    try:
        return b"".join(counted(data, 1, where)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError("Invalid", detail=f"{where}: {error}") from None


def decode_swap(payload, fixed_length=None):
    """The message `Swap` in the fixed part of a payload; without fixed_length, in all of it."""
    fixed = len(payload) if fixed_length is None else fixed_length
    check(fixed == SWAP_SIZE <= len(payload), "Size", f"fixed length {fixed}, size of the message {SWAP_SIZE}")
    check(payload[20] in SIDES, "Value", f"side {payload[20]}")
    check(payload[21] in (0, 1), "Value", f"open {payload[21]}")
    return {
        "price": integer(payload[0:8]),
        "amount": integer(payload[8:16], signed=True),
        "pool": integer(payload[16:20]),
        "side": SIDES[payload[20]],
        "open": payload[21] == 1,
        "symbol": text(payload[22:32], "symbol"),
        "fills": [integer(item) for item in counted(payload[32:40], 2, "fills")],  # any u16 is valid
    }


# Section 4: schema digest

def digest(canonical_bytes):
    """FNV-1a, 128 bits, most significant byte first, of the canonical form of a struct."""
    result = 0x6C62272E07BB014262B821756295C58D
    for byte in canonical_bytes:
        result = (result ^ byte) * 0x0000000001000000000000000000013B % (1 << 128)
    return result.to_bytes(16, "big")


# Section 5: the link

LINK_KINDS = {  # the fields after the kind, a u16; `_` are bytes to ignore
    1: ("hello",
     "lowest:u8 highest:u8 longest_frame:u32 boot:u64 keep_alive_ms:u32 topics:u16 streams:u16 "
     "longest_message:u32 fragmented_messages:u16 known:u16 node:name"),
    2: ("close", "reason:u16 detail:u32 words:name"),
    3: ("subscribe", "type:u16 subscription:u32 digest:16 mode:mode start:start resumes:u16 window:u32 topic:name"),
    4: ("resume", "moved:u16 subscription:u32 epoch:u64 next:u64"),
    5: ("unsubscribe", "_:2 subscription:u32"),
    6: ("accept", "_:2 subscription:u32"),
    7: ("reject", "reason:u16 subscription:u32 digest:16"),
    8: ("stream", "_:2 subscription:u32 epoch:u64 keeps:u32 _:4 publisher:name"),
    9: ("gone", "_:2 subscription:u32 epoch:u64"),
    10: ("gap", "reason:u16 _:4 missed:u64"),
    11: ("end", "_:6"),
    12: ("window", "_:6 granted:u64"),
    13: ("ping", "_:6 token:u64"),
    14: ("pong", "_:6 token:u64"),
    15: ("left", "_:2 subscription:u32"),
    16: ("features", "_:2 bits:u32"),
    17: ("describe", "_:2 offset:u32 topic:name"),
    18: ("descriptor", "length:u16 offset:u32 total:u32 bytes:84"),
    19: ("run", "skip:u16 count:u32 stride:u32 length:u32"),
    20: ("demand", "_:6"),
    21: ("memory", "_:6 token:16"),
    0x8016: ("region", "_:2 number:u32"),
}
MAX_RUN = 262144
MODES = {0: "gating", 2: "rejecting"}  # any other: observing
STARTS = {1: "oldest"}  # any other: next
SIZES = {"u8": 1, "mode": 1, "start": 1, "u16": 2, "u32": 4, "u64": 8, "name": 2 + 62}


class Streams:
    """What may follow in a recorded byte stream: the open messages, and the sequences at which streams moved to
    memory, by the number of their stream."""

    def __init__(self):
        self.open, self.moved = {}, {}

    def take(self, frame):
        """If this frame is the last fragment of a message: the message and its fixed length."""
        stream, part = frame["stream"], frame["extensions"].get("fragment")
        if frame["type"] == 0:
            check(part is None, "Extension.Critical", "a fragment of type 0")
            # The items of a run are read by decode_run.
            return self.control(stream, frame["sequence"], decode_link(frame["payload"])["name"])
        check(stream not in self.moved, "Moved", f"a message of stream {stream}")
        if part is None:
            check(stream not in self.open, "Fragment.Open", f"a message of stream {stream}")
            return None
        first, before = self.open.get(stream, (part, b""))
        check({**part, "offset": 0} == {**first, "offset": 0}, "Fragment.Changed", f"{part} after {first}")
        check(part["offset"] == len(before), "Fragment.Offset", f"{part}, {len(before)} bytes before")
        length, rest = len(frame["payload"]), part["total"] - part["offset"]
        last = length == rest
        check(0 < length <= rest and length < part["total"] and (last or length % 8 == 0)
              and frame["fixed_length"] == 0 and part["fixed_length"] <= part["total"], "Fragment.Length", f"{part}")
        message = before + frame["payload"]
        self.open[stream] = (first, message)
        return (self.open.pop(stream)[1], part["fixed_length"]) if last else None

    def control(self, stream, sequence, name):
        if name in ("gap", "run", "region"):
            check(stream not in self.moved, "Moved", f"a {name} of stream {stream}")
        if name == "gap":
            self.open.pop(stream, None)
        check(name not in ("end", "region") or stream not in self.open, "Fragment.Open", f"the {name} of stream {stream}")
        if name == "region":
            check(sequence < (1 << 64) - 1, "Sequence", f"the region of stream {stream} at {sequence}")
            self.moved[stream] = sequence
        if name == "end":
            first = self.moved.pop(stream, 0)
            check(sequence >= first, "Sequence", f"the end of stream {stream} at {sequence}, it moved at {first}")
        check(name != "run" or stream not in self.open, "Run.Open", f"a run of stream {stream}")


def decode_link(payload):
    """The fields of a control frame, from the payload of a frame of type 0."""
    check(len(payload) >= 2, "ControlSize", f"{len(payload)} bytes are too short for a kind")
    kind = integer(payload[:2])
    if kind not in LINK_KINDS:
        check(kind != 0 and not kind & CRITICAL, "ControlKind", f"kind 0x{kind:x}")
        return {"kind": kind, "name": "unknown", "payload": payload.hex()}
    name, fields = LINK_KINDS[kind]
    fields = [(field, of, SIZES.get(of) or int(of)) for field, of in (part.split(":") for part in fields.split())]
    size = 2 + sum(size for _, _, size in fields)
    check(len(payload) == size, "ControlSize", f"{name}: {len(payload)} bytes, expected {size}")
    values, at = {"kind": kind, "name": name}, 2
    for field, of, size in fields:
        part, at = payload[at:at + size], at + size
        if of == "name":
            try:
                values[field] = text(part, f"{name}.{field}")
            except WireError as error:
                raise WireError("Text", detail=error.object["detail"]) from None
        elif of == "mode":
            values[field] = MODES.get(integer(part), "observing")
        elif of == "start":
            values[field] = STARTS.get(integer(part), "next")
        elif field != "_":
            values[field] = integer(part) if of in SIZES else part.hex()
    if name == "descriptor":
        length, end = values["length"], values["offset"] + values["length"]
        check(length <= 84 and (length == 0 or end <= values["total"]), "Piece", f"{length} bytes up to {end}")
    return values


def decode_run(run, rest, size, limit):
    """The messages of a run, from the bytes after its frame, and the size of its items."""
    skip, count, stride, length = (run[field] for field in ("skip", "count", "stride", "length"))
    check(stride % 8 == 0 and skip % 8 == 0 and 0 < length <= 0xFFFF and skip + length <= stride, "Run.Shape", f"{run}")
    check(0 < count * stride <= MAX_RUN and length + HEADER.size <= limit, "Run.Length", f"{run}")
    if len(rest) < count * stride:
        raise WireError("Incomplete", needed=size + count * stride)
    items = range(skip, count * stride, stride)
    return [bytes(rest[at:at + length]) for at in items], count * stride


# The command

def describe(frame, swap=False, message=None):
    """A frame with its decoded payload, and the message that it completes, as one JSON object."""
    payload = frame["payload"]
    line = {**frame, "payload": payload.hex()}
    if frame["type"] == 0:
        del line["payload"]
        line["link"] = decode_link(payload)
        if frame["extensions_length"] or frame["fixed_length"] != len(payload):
            line["notes"] = ["a control frame with extensions or with a tail"]
    elif "fragment" in frame["extensions"]:
        if message is not None:
            line["message"] = message[0].hex()
    else:
        message = payload, frame["fixed_length"]
    if swap and frame["type"] == SWAP_ID and message is not None:
        line["swap"] = decode_swap(*message)
    return line


def decode_stream(data, limit=DEFAULT_LIMIT, swap=False):
    """Yields an object for each frame of a byte stream; the last may be an error."""
    at, streams = 0, Streams()
    while at < len(data):
        try:
            frame, size = decode_frame(data, at, limit)
            line = {"offset": at, **describe(frame, swap, streams.take(frame))}
            if line.get("link", {}).get("name") == "run":
                messages, more = decode_run(line["link"], data[at + size:], size, limit)
                line["messages"], size = [message.hex() for message in messages], size + more
            yield line
        except WireError as error:
            yield {**error.object, "offset": at}
            return
        at += size


SWAP_EXAMPLE = {"price": 1234567890123, "amount": -5, "pool": 77, "side": "Sell", "open": True, "symbol": "ETH",
                "fills": [7, 300]}
EXAMPLES = {  # the values of the document's frames, by its text and comments
    "plain": {"type": 1, "length": 64, "fixed_length": 40, "stream": 3, "sequence": 9, "extensions": {},
              "swap": SWAP_EXAMPLE},
    "tail": {"type": 513, "length": 33, "fixed_length": 4, "stream": 1, "sequence": 1 << 40,
             "payload": "01020304" + b"hello".hex()},
    "full": {"length": 152, "extensions_length": 88, "stream": 3, "sequence": 10, "swap": SWAP_EXAMPLE, "extensions": {
        "trace": {"trace_id": "101112131415161718191a1b1c1d1e1f", "span_id": "2021222324252627", "flags": 1},
        "correlation": "0x0102030405060708090a0b0c0d0e0f10", "destination": 42, "deadline": 1700000000000000000}},
    "redelivered": {"length": 72, "sequence": 11, "swap": SWAP_EXAMPLE, "extensions": {"redelivered": True}},
    "sent_at": {"length": 80, "sequence": 12, "swap": SWAP_EXAMPLE, "extensions": {"sent_at": 1700000000123456789}},
    "unknown": {"extensions": {"unknown": [{"kind": 0x21, "value": b"new".hex()}]}, "payload": "0500000000000000"},
    "critical": {"error": "Extension.Critical"},
    "first": {"stream": 1, "sequence": 100, "extensions": {"fragment": {"offset": 0, "total": 40, "fixed_length": 40}}},
    "rest": {"error": "Fragment.Offset"},  # alone; after the first: see check_example
}
LINK_EXAMPLES = {  # stream, sequence and the fields after the kind
    "hello": (0, 0, 1, 1, 1048576, 7, 5000, 3, 4, 1048576, 8, 0, "right"),
    "subscribe": (0, 0, 1, 1, "d951b210f68d7797a59308674285af0a", "gating", "next", 0, 8, "swaps"),
    "accept": (0, 0, 1), "stream": (1, 100, 1, 77, 1024, "feed"), "window": (1, 105, 8), "gap": (1, 105, 1, 5),
    "end": (2, 105), "resume": (0, 0, 0, 1, 77, 105), "gone": (0, 0, 1, 78), "unsubscribe": (0, 0, 4), "left": (0, 0, 4),
    "demand": (1, 0), "memory": (0, 0, bytes(range(0x10, 0x20)).hex()), "region": (1, 105, 3),
    "features": (0, 0, 23), "run": (1, 100, 8, 2, 48, 40), "describe": (0, 0, 168, "swaps"),
    "descriptor": (0, 0, 84, 168, 315,
                   "00030000000000000042757902000000000000000000000000000000040000000000000053656c6c"
                   "1500000000000000010000000000000004000000000000006f70656e3016000000000000000a000000000000"),
    "reject": (0, 0, 2, 5, "05" * 16), "ping": (0, 0, 0), "pong": (0, 0, 0), "close": (0, 0, 1, 0, ""),
}


def check_example(name, data, blocks):
    """The error in an example of the document, or None."""
    if name in ("canonical", "digest"):
        return None if digest(blocks["canonical"]) == blocks["digest"] else "the digest of canonical differs"
    if name == "rest":
        line = list(decode_stream(blocks["first"] + data, swap=True))[-1]
        if line.get("swap") != SWAP_EXAMPLE:
            return f"after the first it is {line}"
    line, *more = decode_stream(data, swap=True)
    if more or "notes" in line or name not in {**EXAMPLES, **LINK_EXAMPLES}:
        return f"unexpected: {line}, {more}"
    if name == "run" and [decode_swap(bytes.fromhex(message)) for message in line["messages"]] != [SWAP_EXAMPLE] * 2:
        return f"has the messages {line['messages']}"
    if name in LINK_EXAMPLES and "link" in line:
        _, kind, *fields = line["link"].values()
        found = (kind, line["stream"], line["sequence"], *fields)
        return None if found == (name, *LINK_EXAMPLES[name]) else f"has {found}"
    expected = EXAMPLES.get(name, {"link": "something"})
    return None if all(line.get(key) == expected[key] for key in expected) else f"is {line}"


def self_test(document):
    with open(document, encoding="utf-8") as file:
        found = re.findall(r"^```hex *(\w*)\n(.*?)^```$", file.read(), re.M | re.S)
    blocks = {name: bytes.fromhex(re.sub(r";.*", "", lines)) for name, lines in found}
    missing = sorted({*EXAMPLES, *LINK_EXAMPLES, "canonical", "digest"} - blocks.keys())
    results = {name: "is not in the document" for name in missing}
    results |= {name: check_example(name, data, blocks) for name, data in blocks.items()} if not missing else {}
    if len(blocks) < len(found):
        results["document"] = "has two examples with one name"
    for name, wrong in results.items():
        print(f"{name}: {wrong or 'ok'}")
    return 1 if any(results.values()) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE", help="- for stdin; with --self-test the document")
    parser.add_argument("--limit", metavar="N", type=int, default=DEFAULT_LIMIT,
                        help="the longest frame (default: %(default)s)")
    parser.add_argument("--swap", action="store_true", help="decode payloads of type 1 as the document's Swap")
    parser.add_argument("--self-test", action="store_true", help="check all hex examples in the document FILE")
    arguments = parser.parse_args()
    if not 0 <= arguments.limit <= MAX_LIMIT:
        parser.error(f"invalid --limit: expected 0 to {MAX_LIMIT}")
    if arguments.self_test:
        return self_test(arguments.file)
    with open(0 if arguments.file == "-" else arguments.file, "rb") as file:
        data = file.read()
    line = {}
    for line in decode_stream(data, arguments.limit, arguments.swap):
        print(json.dumps(line))
    return 1 if "error" in line else 0


if __name__ == "__main__":
    sys.exit(main())
