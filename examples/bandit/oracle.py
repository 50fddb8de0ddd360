"""Prints the block and log index of every swap after which the prices of the two pools of the
recorded day stand further apart than the sum of their fees: by integers alone, to check Bandit."""

import gzip
import json
import sys
from decimal import Decimal, getcontext

getcontext().prec = 80
FEES = {
    "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640": Decimal("0.0005"),
    "0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8": Decimal("0.003"),
}
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
SCALE = 10**60
# |ln(p1 / p2)| > fees exactly when the larger price is more than e^fees times the smaller.
BOUND = int(sum(FEES.values()).exp() * SCALE)

squares = {}  # of the square roots of the prices: all share one scale, so only ratios matter
with gzip.open(sys.argv[1], "rt") as day:
    for line in day:
        log = json.loads(line)
        if log["removed"] or log["topics"][0] != SWAP or log["address"] not in FEES:
            continue
        words = log["data"][2:]
        squares[log["address"]] = int(words[2 * 64 : 3 * 64], 16) ** 2
        if len(squares) == 2:
            low, high = sorted(squares.values())
            if high * SCALE > low * BOUND:
                print(int(log["blockNumber"], 16), int(log["logIndex"], 16))
