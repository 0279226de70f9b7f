"""The MXFP4 page's questions on a matrix and on a whole model, and the checks of its experiments."""

from __future__ import annotations

import re

from torch import Tensor

from gptoss.app.lesson import Prediction, Seen
from gptoss.checkpoint.mxfp4 import BLOCK_SIZE
from gptoss.lessons.mxfp4.charts import FALLEN
from gptoss.lessons.mxfp4.measure import MXFP4, Place, changed_by_an_outlier, mxfp4

TIMES = 32  # by how much the largest value grows in the question on the matrix
NONE, SOME, ALL = CHANGES = "none of them", "about half of them", "all of them, a little"
HEAVY = 5.0  # kurtosis from which on tails are far heavier than a normal distribution's


def elsewhere(weights: Tensor, at: Place) -> Prediction:
    """How many weights outside of its block an outlier changes."""
    rows, columns = weights.shape
    inside, outside = changed_by_an_outlier(weights.float(), at.row, at.block, TIMES)
    return Prediction(
        f"The largest weight of one block of this matrix, {rows:,} × {columns:,}, is made {TIMES} times as large. How many "
        "weights outside of its block come back changed from MXFP4?", view="Matrix",
        answer=lambda: float(outside), show="{:,.0f}".format, because=lambda _: (
            f"In its own block {inside} of {BLOCK_SIZE - 1} neighbours do. A scale for every {BLOCK_SIZE} weights keeps "
            "the harm there."),
        mistakes=[(float(columns - BLOCK_SIZE), "A scale for each row would do that, as int8 often has it."),
                  (float(columns - 1), "A scale for each row would do that, as int8 often has it."),
                  (float(rows * columns - BLOCK_SIZE), "One scale for the whole matrix would do that."),
                  (float(BLOCK_SIZE - 1), "Those are its neighbours inside the block.")])


def once_more(weights: Tensor, at: Place) -> Prediction:
    """What rounding changes in weights that were rounded already."""
    def answer() -> str:
        once = mxfp4(weights.float())
        share = (mxfp4(once) != once).float().mean().item()
        return NONE if not share else SOME if share < 0.75 else ALL

    return Prediction(
        f"The weights of {at.matrix} of expert {at.expert}, layer {at.layer}, are rounded to MXFP4, and what comes back is "
        "rounded to MXFP4 once more. How many of them change the second time?", choices=CHANGES, answer=answer, view="Model",
        because=lambda _: ("What came back lies on ticks already, and the largest of each block still asks for the scale "
                           "that it has. So a model that was rounded while it learned loses nothing when it is stored."),
        mistakes={SOME: "That is what happens the first time.", ALL: "Each lies on a tick of its scale by now."})


# Whether the sentences of the experiments are true of what is seen.

def hardly_any_is_left(seen: Seen) -> bool:
    """Whether nearly all neighbours of the outlier have fallen to 0."""
    return (_values(seen)["fate"] == FALLEN).sum() > 25


def all_on_ticks(seen: Seen) -> bool:
    """Whether every value of the block comes back as itself."""
    values = _values(seen)
    return (values["value"] - values["back"]).abs().max() < 1e-6


def heavy_tails_do_no_harm(seen: Seen) -> bool:
    """Whether the matrix has heavy tails, its neighbours have not, and the error is that of normal weights."""
    over, among = (float(number) for number in re.search(
        r"\*\*([\d.]+)\*\* over the matrix and \*\*([\d.]+)\*\* among neighbours", seen.words).groups())
    errors = seen.chart("Error of the matrix").set_index("format")["error"]
    return over > HEAVY > among and 0.08 < errors[MXFP4] < 0.14


def cutting_costs_more_than_ten_times(seen: Seen) -> bool:
    """Whether the divergence of a model whose digits are cut off is more than ten times that of the nearest ticks."""
    nearest, cut = (_divergence(seen, name) for name in (MXFP4, "MXFP4, toward 0"))
    return cut / nearest > 10


def _values(seen: Seen):
    return seen.chart("Thirty-two weights").query("kind == 'value'")


def _divergence(seen: Seen, number_format: str) -> float:
    """The figure under KL in the table of effects."""
    row = next(line for line in seen.words.replace("\u00a0", " ").split("\n") if line.startswith(f"|{number_format}|"))
    return float(row.split("|")[5])
