"""Prints the block, the log index and the pools of every signal of a day, with 80 digits, to check
Bandit: each swap after which the prices around two or three pools stand further apart than
the sum of their fees. Reads logs as JSON lines, compressed or not."""

import gzip
import itertools
import json
import sys
from decimal import Decimal, getcontext

getcontext().prec = 80
POOLS = {  # the two tokens, and the fee
    "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640": ("USDC", "WETH", Decimal("0.0005")),
    "0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8": ("USDC", "WETH", Decimal("0.003")),
    "0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc": ("USDC", "WETH", Decimal("0.003")),
    "0xa478c2975ab1ea89e8196811f51a7b7ade33eb11": ("DAI", "WETH", Decimal("0.003")),
    "0xae461ca67b15dc8dc81ce7615e0320da1a9ab8d5": ("DAI", "USDC", Decimal("0.003")),
}
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"

logarithms = {}  # of the latest prices of token 0 in token 1, in smallest units


def gap(pools):
    """What the logarithms add up to on the way around, or None if the pools are no circle."""
    token, left, total = POOLS[pools[0]][0], list(pools), 0
    while left:
        pool = next((pool for pool in left if token in POOLS[pool][:2]), None)
        if pool is None:
            return None
        left.remove(pool)
        first, second, _ = POOLS[pool]
        token, sign = (second, 1) if token == first else (first, -1)
        total += sign * logarithms[pool]
    return abs(total) if token == POOLS[pools[0]][0] else None


with (gzip.open if sys.argv[1].endswith(".gz") else open)(sys.argv[1], "rt") as day:
    for line in day:
        log = json.loads(line)
        pool, event = log["address"], log["topics"][0]
        if log["removed"] or pool not in POOLS or event not in (SWAP, SYNC):
            continue
        data = log["data"][2:]
        words = [int(data[start : start + 64], 16) for start in range(0, len(data), 64)]
        price = Decimal(words[2]) ** 2 / 2**192 if event == SWAP else Decimal(words[1]) / words[0]
        logarithms[pool] = price.ln()
        others = [other for other in logarithms if other != pool]
        widest = None
        for more in (1, 2):
            for rest in itertools.combinations(others, more):
                pools = sorted((pool, *rest))
                apart = gap(pools)
                if apart is not None:
                    beyond = apart - sum(POOLS[pool][2] for pool in pools)
                    if beyond > 0 and (widest is None or beyond > widest[0]):
                        widest = (beyond, pools)
        if widest:
            print(int(log["blockNumber"], 16), int(log["logIndex"], 16), *widest[1])
