#!/usr/bin/env python3
"""Decoder of the wire format, version 1, as wire-format.md describes it.

    python3 wire_decoder.py [--limit N] [--swap] FILE     FILE may be - for stdin
    python3 wire_decoder.py --messages FILE
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

With --messages, each line of FILE has the canonical form of a layout and a message, both as hex.
The object of a line has the "digest" of the layout, the "value" of the message, and this value
"encoded" again. A struct is an object without `_pad`; a tuple, list or map is an array, a map one
of [key, value]; an enum is the name of its variant, with data an object {name: fields}; an option
is null or its value, and an option in an option null or [value]; an address is a string; a float
that is no number of JSON is its bits as a string `0x...`.
"""
import argparse
import ipaddress
import json
import math
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


# Sections 3 and 4: a message of any type, by the canonical form of its layout

INTEGERS = {0x01: 1, 0x02: 2, 0x03: 4, 0x04: 8, 0x05: 16, 0x06: 32, 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8, 0x15: 16}
FLOATS = {0x23: "<f", 0x24: "<d"}
BOOL, CHAR, DURATION, ADDRESS = 0x30, 0x31, 0x32, 0x33
ARRAY, TEXT, LIST, STRING, SEQUENCE, MAP, OPTION = range(0x40, 0x47)
STRUCT, ENUM, CHOICE = 0x50, 0x51, 0x52
MAX_MESSAGE = 64 << 20


class Type:
    """A type of the canonical form that begins at form[at:]; the next one begins at `end`."""

    def __init__(self, form, at=0):
        self.form, self.end = form, at
        self.of = self.take(1)[0]
        self.fields, self.item = [], None
        if self.of in INTEGERS:
            self.size = self.align = INTEGERS[self.of]
            self.align = 1 if self.size > 8 else self.size
        elif self.of in FLOATS:
            self.size = self.align = struct.calcsize(FLOATS[self.of])
        elif self.of in (BOOL, CHAR, DURATION, ADDRESS):
            self.size, self.align = {BOOL: (1, 1), CHAR: (4, 4), DURATION: (16, 8), ADDRESS: (17, 1)}[self.of]
        elif self.of in (ARRAY, LIST):
            self.count, self.item = self.number(), self.type()
            self.size, self.align = self.count * self.item.size, self.item.align
            if self.of == LIST:
                self.size, self.align = self.size + 2, 1
        elif self.of == TEXT:
            self.count = self.number()
            self.size, self.align = self.count + 2, 1
        elif self.of in (STRING, SEQUENCE, MAP):
            self.size, self.align, self.stride = 8, 4, 1
            if self.of == SEQUENCE:
                self.stride, self.item = self.number(), self.type()
                check(self.stride > 0, "Layout", "items without bytes")
            elif self.of == MAP:
                self.item = self.type()
                self.stride = self.item.size
        elif self.of == OPTION:
            self.size, self.align, self.item = self.number(), self.number(), self.type()
        elif self.of == STRUCT:
            self.size, self.align, count = self.number(), self.number(), self.number()
            for _ in range(count):
                offset, _, name = self.number(), self.number(), self.name()
                self.fields.append((name, offset, self.type()))
        elif self.of == ENUM:
            self.item = self.type()
            self.size, self.align = self.item.size, self.item.align
            values = [(integer(self.take(16), signed=True), self.name()) for _ in range(self.number())]
            self.names, self.numbers = dict(values), {name: value for value, name in values}
        elif self.of == CHOICE:
            self.size, self.align = self.number(), self.number()
            self.variants = [(self.name(), self.type()) for _ in range(self.number())]
        else:
            raise WireError("Layout", detail=f"type 0x{self.of:02x}")
        self.is_tuple = self.of == STRUCT and [name for name, *_ in self.fields] == [*map(str, range(len(self.fields)))]
        self.is_tuple = self.is_tuple and bool(self.fields)

    def take(self, count):
        check(self.end + count <= len(self.form), "Layout", "it ends too early")
        self.end += count
        return self.form[self.end - count:self.end]

    def number(self):
        return integer(self.take(8))

    def name(self):
        return self.take(self.number()).decode("utf-8")

    def type(self):
        inner = Type(self.form, self.end)
        self.end = inner.end
        return inner

    def is_fixed(self):
        if self.of == STRUCT:
            return not self.is_tuple and all(of.is_fixed() for _, _, of in self.fields)
        if self.of in (ARRAY, LIST):
            return self.item.is_fixed()
        return self.of not in (DURATION, ADDRESS, STRING, SEQUENCE, MAP, OPTION, CHOICE)

    def empty(self):
        """The value of items that are not in use."""
        if self.of in (ARRAY, LIST):
            return [self.item.empty()] * (self.count if self.of == ARRAY else 0)
        if self.of == STRUCT:
            return {name: of.empty() for name, _, of in self.fields if name != "_pad"}
        if self.of == ENUM:
            return self.names.get(0, [*self.numbers][0])
        return {BOOL: False, CHAR: "\0", TEXT: ""}.get(self.of, 0)

    def rank(self, value):
        """What the order of keys compares."""
        if self.of == ENUM:
            return self.numbers[value]
        if self.of in (ARRAY, LIST):
            return [self.item.rank(item) for item in value]
        if self.of == STRUCT:
            return [of.rank(value[name]) for name, _, of in self.fields if name != "_pad"]
        return value.encode() if self.of in (TEXT, STRING) else value


class Decoder:
    """Reads a message that has all of these bytes."""

    def __init__(self, layout, data):
        self.data, self.end, self.strict = data, layout.size, not layout.is_fixed()
        check(layout.size <= len(data) <= MAX_MESSAGE, "Size", f"{len(data)} bytes, fixed part {layout.size}")
        self.value = self.read(layout, 0)
        check(self.end == len(data), "Invalid" if self.strict else "Size", f"ends at {self.end} of {len(data)}")

    def bytes(self, at, count):
        check(at + count <= len(self.data), "Invalid", f"{count} bytes at {at} of {len(self.data)}")
        return self.data[at:at + count]

    def integer(self, at, size, signed=False):
        return integer(self.bytes(at, size), signed)

    def zeros(self, start, end):
        check(not any(self.bytes(start, max(end - start, 0))), "Invalid", f"{start} to {end} is not zero")

    def text(self, at, count):
        try:
            return self.bytes(at, count).decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError("Invalid", detail=f"text at {at}: {error}") from None

    def body(self, at, stride):
        place, count = self.integer(at, 4), self.integer(at + 4, 4)
        expected = padded(self.end) if count else 0
        check(place == expected, "Invalid", f"body at {place}, expected {expected}")
        if count:
            self.bytes(place, count * stride)
            self.zeros(self.end, place)
            self.end = place + count * stride
        return place, count

    def read(self, of, at):
        kind = of.of
        if kind in INTEGERS:
            return self.integer(at, of.size, signed=kind > 0x10)
        if kind in FLOATS:
            value, = struct.unpack(FLOATS[kind], self.bytes(at, of.size))
            return value if math.isfinite(value) else f"0x{self.integer(at, of.size):0{2 * of.size}x}"
        if kind == BOOL:
            value = self.integer(at, 1)
            check(value < 2, "Value", f"bool {value} at {at}")
            return value == 1
        if kind == CHAR:
            value = self.integer(at, 4)
            check(value < 0x110000 and not 0xD800 <= value < 0xE000, "Value", f"char {value:#x} at {at}")
            return chr(value)
        if kind == ENUM:
            value = self.read(of.item, at)
            check(value in of.names, "Value", f"enum {value} at {at}")
            return of.names[value]
        if kind == DURATION:
            seconds, nanoseconds = self.integer(at, 8), self.integer(at + 8, 4)
            self.zeros(at + 12, at + 16)
            check(nanoseconds < 10 ** 9, "Value", f"{nanoseconds} nanoseconds at {at}")
            return {"seconds": seconds, "nanoseconds": nanoseconds}
        if kind == ADDRESS:
            version, address = self.integer(at, 1), self.bytes(at + 1, 16)
            check(version == 6 or version == 4 and not any(address[4:]), "Value", f"address of version {version} at {at}")
            return str(ipaddress.ip_address(address[:4] if version == 4 else address))
        if kind == ARRAY:
            return self.items(of.item, at, of.count, of.item.size)
        if kind in (TEXT, LIST):
            count, size = self.integer(at, 2), of.item.size if of.item else 1
            check(count <= of.count, "Invalid", f"count {count} at {at}, capacity {of.count}")
            if kind == LIST:
                items = self.items(of.item, at + 2, of.count, size)
                unused = Encoder.of_item(of.item, of.item.empty()) * (of.count - count)
                same = self.bytes(at + 2 + count * size, len(unused)) == unused
                check(same or not self.strict, "Invalid", f"unused items at {at}")
                return items[:count]
            value = self.text(at + 2, count)
            if self.strict:
                self.zeros(at + 2 + count, at + of.size)
            return value
        if kind == STRING:
            return self.text(*self.body(at, 1))
        if kind == SEQUENCE:
            return self.items(of.item, *self.body(at, of.stride), of.stride)
        if kind == MAP:
            entries = self.items(of.item, *self.body(at, of.stride), of.stride)
            key = of.item.fields[0][2]
            ranks = [key.rank(entry[0]) for entry in entries]
            check(all(a < b for a, b in zip(ranks, ranks[1:])), "Invalid", f"keys of the map at {at}")
            return entries
        if kind == OPTION:
            flag = self.integer(at, 1)
            check(flag < 2, "Value", f"option {flag} at {at}")
            first = of.align if flag else of.size
            self.zeros(at + 1, at + first)
            value = self.read(of.item, at + first) if flag else None
            if flag:
                self.zeros(at + first + of.item.size, at + of.size)
            return [value] if flag and of.item.of == OPTION else value
        if kind == STRUCT:
            return self.fields(of, at, at + of.size)
        number = self.integer(at, 1)
        check(number < len(of.variants), "Value", f"variant {number} at {at}")
        name, variant = of.variants[number]
        self.zeros(at + 1, at + of.align)
        value = self.fields(variant, at + of.align, at + of.size)
        return {name: value} if variant.fields else name

    def items(self, item, at, count, stride):
        return [self.read(item, at + index * stride) for index in range(count)]

    def fields(self, of, at, limit):
        values, end = {}, at
        for name, offset, field in of.fields:
            if self.strict:
                self.zeros(end, at + offset)
            value = self.read(field, at + offset)
            end = at + offset + field.size
            if name != "_pad":
                values[name] = value
        if self.strict:
            self.zeros(end, limit)
        return [*values.values()] if of.is_tuple else values


class Encoder:
    """Writes a message with this value, as Decoder reads it."""

    def __init__(self, layout, value):
        self.data = bytearray(layout.size)
        self.write(layout, 0, value)

    @staticmethod
    def of_item(item, value):
        return bytes(Encoder(item, value).data)

    def integer(self, at, size, value, signed=False):
        self.data[at:at + size] = value.to_bytes(size, "little", signed=signed)

    def body(self, at, count, stride):
        if count == 0:
            return 0
        place = padded(len(self.data))
        self.data.extend(bytes(place - len(self.data) + count * stride))
        self.integer(at, 4, place)
        self.integer(at + 4, 4, count)
        return place

    def write(self, of, at, value):
        kind = of.of
        if kind in INTEGERS:
            self.integer(at, of.size, value, signed=kind > 0x10)
        elif kind in FLOATS:
            number = int(value, 16).to_bytes(of.size, "little") if isinstance(value, str) else struct.pack(FLOATS[kind], value)
            self.data[at:at + of.size] = number
        elif kind == BOOL:
            self.data[at] = value
        elif kind == CHAR:
            self.integer(at, 4, ord(value))
        elif kind == ENUM:
            self.write(of.item, at, of.numbers[value])
        elif kind == DURATION:
            self.integer(at, 8, value["seconds"])
            self.integer(at + 8, 4, value["nanoseconds"])
        elif kind == ADDRESS:
            address = ipaddress.ip_address(value)
            self.data[at] = address.version
            self.data[at + 1:at + 1 + len(address.packed)] = address.packed
        elif kind == ARRAY:
            self.items(of.item, at, value, of.item.size)
        elif kind in (TEXT, LIST):
            used = value.encode() if kind == TEXT else value
            self.integer(at, 2, len(used))
            if kind == TEXT:
                self.data[at + 2:at + 2 + len(used)] = used
            else:
                self.items(of.item, at + 2, used + [of.item.empty()] * (of.count - len(used)), of.item.size)
        elif kind == STRING:
            text = value.encode()
            place = self.body(at, len(text), 1)
            self.data[place:place + len(text)] = text
        elif kind in (SEQUENCE, MAP):
            self.items(of.item, self.body(at, len(value), of.stride), value, of.stride)
        elif kind == OPTION:
            if value is not None:
                self.data[at] = 1
                self.write(of.item, at + of.align, value[0] if of.item.of == OPTION else value)
        elif kind == STRUCT:
            self.fields(of, at, value)
        else:
            name, inner = next(iter(value.items())) if isinstance(value, dict) else (value, {})
            number = [variant for variant, _ in of.variants].index(name)
            self.data[at] = number
            self.fields(of.variants[number][1], at + of.align, inner)

    def items(self, item, at, values, stride):
        for index, value in enumerate(values):
            self.write(item, at + index * stride, value)

    def fields(self, of, at, value):
        for name, offset, field in of.fields:
            if name != "_pad":
                self.write(field, at + offset, value[int(name)] if of.is_tuple else value[name])


def decode_message(form, data):
    """The digest of a layout, the value of a message as JSON has it, and its encoding from that JSON."""
    layout = Type(form)
    check(layout.end == len(form), "Layout", "bytes after the form")
    value = json.loads(json.dumps(Decoder(layout, data).value))
    return {"digest": digest(form).hex(), "value": value, "encoded": bytes(Encoder(layout, value).data).hex()}


def decode_messages(lines):
    """Yields an object for each line with a canonical form and a message, both as hex."""
    for line in lines:
        form, message = (bytes.fromhex(part) for part in line.split(" "))
        try:
            yield decode_message(form, message)
        except WireError as error:
            yield error.object


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
    8: ("stream", "retains:u16 subscription:u32 epoch:u64 keeps:u32 _:4 publisher:name"),
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
    23: ("unit", "bits:u16 subscription:u32"),
    24: ("recall", "_:2 subscription:u32 epoch:u64 before:u64"),
    25: ("retained", "end:u16 subscription:u32 epoch:u64 total:u32 offset:u32"),  # and bytes of the message
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
    payload, rest = (payload[:size], payload[size:]) if name == "retained" else (payload, b"")
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
    if name == "retained" and not values["end"]:
        end, total = values["offset"] + len(rest), values["total"]
        check(end <= total and (rest or not total), "Retained", f"{len(rest)} bytes up to {end} of {total}")
        values["bytes"] = rest.hex()
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
        has_tail = frame["fixed_length"] != len(payload) and line["link"]["name"] != "retained"
        if frame["extensions_length"] or has_tail:
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
NOTE_EXAMPLE = {"at": {"seconds": 7, "nanoseconds": 500}, "title": "gas", "tags": ["a", "", "bc"], "level": 3,
                "kind": {"Price": {"cents": -1}}}
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
    "accept": (0, 0, 1), "stream": (1, 100, 0, 1, 77, 1024, "feed"), "window": (1, 105, 8), "gap": (1, 105, 1, 5),
    "end": (2, 105), "resume": (0, 0, 0, 1, 77, 105), "gone": (0, 0, 1, 78), "unsubscribe": (0, 0, 4), "left": (0, 0, 4),
    "unit": (0, 0, 12, 4), "recall": (0, 0, 6, 79, 300), "retained": (0, 299, 0, 6, 79, 8, 0, b"retained".hex()),
    "demand": (1, 0), "memory": (0, 0, bytes(range(0x10, 0x20)).hex()), "region": (1, 105, 3),
    "features": (0, 0, 55), "run": (1, 100, 8, 2, 48, 40), "describe": (0, 0, 168, "swaps"),
    "descriptor": (0, 0, 84, 168, 315,
                   "00030000000000000042757902000000000000000000000000000000040000000000000053656c6c"
                   "1500000000000000010000000000000004000000000000006f70656e3016000000000000000a000000000000"),
    "reject": (0, 0, 2, 5, "05" * 16), "ping": (0, 0, 0), "pong": (0, 0, 0), "close": (0, 0, 1, 0, ""),
}


def check_example(name, data, blocks):
    """The error in an example of the document, or None."""
    if name in ("canonical", "digest"):
        swap = decode_message(blocks["canonical"], blocks["plain"][24:])["value"]
        same = digest(blocks["canonical"]) == blocks["digest"] and swap == SWAP_EXAMPLE
        return None if same else f"the digest of canonical differs, or the value: {swap}"
    if name in ("note", "note_layout"):
        found = decode_message(blocks["note_layout"], blocks["note"])
        same = found["value"] == NOTE_EXAMPLE and found["encoded"] == blocks["note"].hex()
        return None if same else f"is {found}"
    if name == "rest":
        line = list(decode_stream(blocks["first"] + data, swap=True))[-1]
        if line.get("swap") != SWAP_EXAMPLE:
            return f"after the first it is {line}"
    if name == "packet":
        lines = list(decode_stream(data, swap=True))
        found = [(line.get("link", {}).get("name"), line["sequence"]) for line in lines]
        same = found == [("stream", 9), (None, 9), ("run", 10), ("end", 12)] and lines[1]["swap"] == SWAP_EXAMPLE
        return None if same else f"is {lines}"
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
    missing = sorted({*EXAMPLES, *LINK_EXAMPLES, "packet", "canonical", "digest", "note", "note_layout"} - blocks.keys())
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
    parser.add_argument("--messages", action="store_true", help="decode lines with a layout and a message, in hex")
    parser.add_argument("--self-test", action="store_true", help="check all hex examples in the document FILE")
    arguments = parser.parse_args()
    if not 0 <= arguments.limit <= MAX_LIMIT:
        parser.error(f"invalid --limit: expected 0 to {MAX_LIMIT}")
    if arguments.self_test:
        return self_test(arguments.file)
    with open(0 if arguments.file == "-" else arguments.file, "rb") as file:
        data = file.read()
    line = {}
    lines = decode_messages(data.decode().splitlines()) if arguments.messages else None
    for line in lines or decode_stream(data, arguments.limit, arguments.swap):
        print(json.dumps(line))
    return 1 if "error" in line else 0


if __name__ == "__main__":
    sys.exit(main())
