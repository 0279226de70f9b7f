"""Dequantising MXFP4, ours against `transformers`: `python -m tests.benchmarks.mxfp4`.

One expert matrix of gpt-oss's true size (5,760 × 2,880) to each number format, on two threads, the two in turn.
"""

from __future__ import annotations

import argparse

import torch
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from gptoss.checkpoint.mxfp4 import dequantise
from gptoss.timing import in_turn
from tests.benchmarks.measure import ratio, summary, table

ROWS, BLOCKS = 5760, 90


def main(rounds: int) -> None:
    """Time both on the same random blocks, and print a row for each format."""
    torch.set_num_threads(2)
    blocks = torch.randint(256, (1, ROWS, BLOCKS, 16), dtype=torch.uint8)
    scales = torch.randint(100, 140, (1, ROWS, BLOCKS), dtype=torch.uint8)
    rows = []
    for dtype in (torch.bfloat16, torch.float32):
        seconds = in_turn({
            "ours": lambda dtype=dtype: dequantise(blocks, scales, dtype),
            "transformers": lambda dtype=dtype: convert_moe_packed_tensors(blocks, scales, dtype=dtype)}, rounds)
        for name, times in seconds.items():
            rows.append({"what": f"{dtype}, {name}", **summary(times),
                         "times as fast": ratio(seconds["transformers"], times)})
    print(table(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    main(parser.parse_args().rounds)
