"""Reads parts of a recording with the package `mcap`, up to where each was cut off. Each counts its
messages as it says, misses none, and goes on where the last one ended, or before."""

import json
import struct
import sys

from mcap.exceptions import McapError
from mcap.records import Channel, Message
from mcap.stream_reader import StreamReader

covered = 0
for path in sys.argv[1:]:
    channels, counts, sums = {}, {}, {}
    try:
        for record in StreamReader(open(path, "rb"), validate_crcs=True).records:
            if isinstance(record, Channel):
                channels[record.id] = record.topic
            if not isinstance(record, Message):
                continue
            if channels[record.channel_id] != "mycelium/events":
                counts[record.channel_id] = counts.get(record.channel_id, 0) + 1
                continue
            event = json.loads(record.data)
            if event["event"] == "counts":
                sums.update((stream["channel"], stream) for stream in event["streams"])
    except (McapError, struct.error):
        # The file was cut off; in the middle of a number, the error is that of `struct`.
        pass
    for channel, stream in sums.items():
        assert stream["first"] + stream["recorded"] == stream["next"], (path, stream)
        assert stream["recorded"] == counts.get(channel, 0), (path, stream, counts)
        if channels[channel] == "ticks":
            assert stream["first"] <= covered, (path, stream, covered)
            covered = max(covered, stream["next"])
print(covered)
