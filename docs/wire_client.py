#!/usr/bin/env python3
"""A node without types of its own, written from wire-format.md alone.

    python3 wire_client.py TOPIC ECHO     speaks on stdin and stdout

It takes the type and the digest of TOPIC from the catalogue of the other node, requests the layout, and
reads TOPIC. It turns each message into JSON, encodes it from that again, and publishes it on ECHO, to
which the other node subscribes. It ends when TOPIC has ended and ECHO is sent.
"""
import json
import os
import sys

from wire_decoder import (
    HEADER, LINK_KINDS, SIZES, Decoder, Encoder, Streams, Type, WireError, check, decode_frame, decode_link, digest,
    integer, padded,
)

WINDOW = 256  # how many messages of TOPIC may be on their way
LIMIT = 1 << 20  # the longest frame and message
ECHO_STREAM, EPOCH = 9, 0xEC0


def frame(payload, fixed=None, type_id=0, stream=0, sequence=0):
    """Section 1: a frame without extensions. All of a control frame is its fixed part."""
    fixed = len(payload) if fixed is None else fixed
    data = HEADER.pack(0xA1, 0, type_id, HEADER.size + len(payload), fixed, 0, stream, sequence) + payload
    return data + bytes(padded(len(data)) - len(data))


def control(name, stream=0, sequence=0, **fields):
    """Section 5: a control frame. Its mode and start are numbers here."""
    kind, spec = next((kind, spec) for kind, (known, spec) in LINK_KINDS.items() if known == name)
    payload = kind.to_bytes(2, "little")
    for field, of in (part.split(":") for part in spec.split()):
        size, value = SIZES.get(of) or int(of), fields.get(field, 0)
        if of == "name":
            text = value.encode()
            payload += len(text).to_bytes(2, "little") + text.ljust(62, b"\0")
        else:
            payload += value if isinstance(value, bytes) else value.to_bytes(size, "little")
    return frame(payload, stream=stream, sequence=sequence)


class Client:
    def __init__(self, topic, echo):
        self.topic, self.echo = topic, echo
        self.unread, self.streams = b"", Streams()
        self.waiting = []  # messages of ECHO
        self.type_id = self.digest = self.layout = self.subscriber = None
        self.described = b""
        self.read = self.sent = self.credit = 0
        self.topic_ended = False

    def run(self):
        self.write(control("hello", lowest=1, highest=1, longest_frame=LIMIT, boot=1, keep_alive_ms=5000, topics=1,
                           streams=1, longest_message=LIMIT, fragmented_messages=1, node="python"))
        self.write(control("describe", topic=""))
        while not self.topic_ended or self.waiting:
            data = os.read(0, 1 << 16)
            if not data:
                return 1
            self.unread += data
            at = 0
            while at < len(self.unread):
                try:
                    found, size = decode_frame(self.unread, at, LIMIT)
                except WireError as error:
                    if error.name != "Incomplete":
                        raise
                    break
                self.take(found)
                at += size
            self.unread = self.unread[at:]
            self.send()
        self.write(control("end", stream=ECHO_STREAM, sequence=self.sent))
        self.write(control("close", reason=1, words=""))
        return 0

    def write(self, data):
        while data:
            data = data[os.write(1, data):]

    def take(self, found):
        whole = self.streams.take(found)
        if found["type"] == 0:
            link = decode_link(found["payload"])
            handler = getattr(self, f"on_{link['name']}", None)
            return handler(found, link) if handler else None
        check(found["type"] == self.type_id, "Type", f"type {found['type']}")
        if "fragment" in found["extensions"] and whole is None:
            return None
        payload, fixed = whole or (found["payload"], found["fixed_length"])
        check(fixed == self.layout.size, "Size", f"fixed length {fixed}, layout {self.layout.size}")
        value = json.loads(json.dumps(Decoder(self.layout, payload).value))
        self.waiting.append(bytes(Encoder(self.layout, value).data))
        self.read += 1
        if self.read % (WINDOW // 4) == 0:
            self.write(control("window", stream=found["stream"], sequence=found["sequence"] + 1,
                               granted=self.read + WINDOW))
        return None

    def send(self):
        while self.waiting and self.sent < self.credit:
            self.write(frame(self.waiting.pop(0), self.layout.size, self.type_id, ECHO_STREAM, self.sent))
            self.sent += 1

    def on_descriptor(self, _, link):
        """A piece of the catalogue, and then of the layout."""
        self.described += bytes.fromhex(link["bytes"])[:link["length"]]
        check(link["total"] > 0, "Describe", "the topic or the catalogue is unknown")
        if len(self.described) < link["total"]:
            topic = "" if self.type_id is None else self.topic
            return self.write(control("describe", offset=len(self.described), topic=topic))
        described, self.described = self.described, b""
        if self.type_id is None:
            self.type_id, self.digest = self.in_catalogue(described)
            return self.write(control("describe", topic=self.topic))
        check(digest(described) == self.digest, "Digest", "the layout has another digest")
        self.layout = Type(described)
        if self.subscriber:
            self.answer()
        return self.write(control("subscribe", type=self.type_id, subscription=1, digest=self.digest, window=WINDOW,
                                  topic=self.topic))

    def in_catalogue(self, data):
        at = 8
        for _ in range(integer(data[:8])):
            type_id, length = integer(data[at:at + 2]), integer(data[at + 2:at + 4])
            name = data[at + 24:at + 24 + length].decode()
            if name == self.topic:
                return type_id, data[at + 8:at + 24]
            at += 24 + length
        raise WireError("Catalogue", detail=f"{self.topic} is not in it")

    def on_subscribe(self, _, link):
        self.subscriber = link
        if self.layout:
            self.answer()

    def answer(self):
        link = self.subscriber
        check(link["topic"] == self.echo and bytes.fromhex(link["digest"]) == self.digest, "Subscribe", f"{link}")
        self.credit = link["window"]
        self.write(control("stream", stream=ECHO_STREAM, subscription=link["subscription"], epoch=EPOCH,
                                  keeps=WINDOW, publisher="python"))

    def on_window(self, found, link):
        if found["stream"] == ECHO_STREAM:
            self.credit = link["granted"]

    def on_ping(self, _, link):
        self.write(control("pong", token=link["token"]))

    def on_end(self, *_):
        self.topic_ended = True

    def on_close(self, *_):
        sys.exit("the other node has closed the link")


if __name__ == "__main__":
    sys.exit(Client(*sys.argv[1:]).run())
