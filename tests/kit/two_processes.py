"""Run by torch.distributed.run: the command line on a tiny model, spread in every way. Prints nothing, writes histories.

    python -m torch.distributed.run --nproc-per-node 2 two_processes.py DIRECTORY
"""

import json
import sys
from pathlib import Path

import torch
from tiny_runs import TINY

from gptoss.config import PRESETS
from gptoss.training import __main__ as command
from gptoss.training.distributed import WAYS, world

OPTIONS = ("--preset tiny --mixture arithmetic=1,brackets=1,recall=1,repetition=1 --length 32 --steps 4 --batch 4 "
           "--warmup 1 --evaluate-every 2 --documents 4 --device cpu").split()
CASES = {"study": [], "accumulated": ["--accumulation", "2"], "no-sinks": ["--contestant", "no-sinks"],
         "diverges": ["--peak", "1e30", "--clip", "1e30", "--warmup", "0"],
         "rounded": ["--mxfp4-from", "0.5"], "stopped": ["--stop-after", "3"], "resumed": ["--resume"]}
PLACES = {"resumed": "stopped"}  # cases that go on where another one stopped
SPREAD = [("study", "ddp"), ("study", "fsdp"), ("accumulated", "ddp"), ("no-sinks", "fsdp"), ("diverges", "fsdp"),
          ("rounded", "ddp"), *((case, way) for way in WAYS for case in ("stopped", "resumed"))]


def train(out: Path, case: str, here, way: str = WAYS[0]) -> str:
    """Train one case; the sentence that it ended with, if it did not reach its end."""
    options = command.parser().parse_args([*OPTIONS, *CASES[case], "--parallel", way, "--out", str(out)])
    try:
        command.run(options, here)
    except ValueError as problem:
        return str(problem)
    return ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    PRESETS["tiny"] = TINY
    command.CARD_DOCUMENTS = 8
    directory = Path(sys.argv[1])
    with world("cpu") as here:
        ended = {f"{case} {way}": train(directory / way / PLACES.get(case, case), case, here, way) for case, way in SPREAD}
        if here.rank == 0:
            (directory / "ended.json").write_text(json.dumps(ended))
