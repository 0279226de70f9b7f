"""One block of 32 weights on the ticks that its scale allows, a whole matrix, and what rounding does to the model."""

from __future__ import annotations

from collections.abc import Sequence

from gptoss.config import ModelConfig
from gptoss.lessons.mxfp4 import charts, measure
from gptoss.model import Transformer
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.training.shipped import CLASSROOM
from gptoss.training.unrounded import load_unrounded


def values(here: Here) -> dict[str, object]:
    """Which block of which weights, its outlier (None: as it is) and the value that becomes one (None: the largest)."""
    possible = measure.possible_matrices(here.live)
    matrix = here.control("matrix", possible[0] if possible else measure.MATRICES[0], possible)
    rows, columns = measure.matrix_shape(here.live, matrix)
    times, place = here.control("outlier", measure.FIRST_TIMES), here.control("place", measure.LARGEST)
    return {"never_rounded": here.weights == CLASSROOM and here.control("weights", measure.UNROUNDED) != measure.AS_IT_RUNS,
            "matrix": matrix, "layer": here.layer, "expert": here.expert, "row": here.place("mxfp4_row", rows),
            "block": here.place("mxfp4_block", max(columns // measure.BLOCK_SIZE, 1)),
            "times": None if times == measure.OWN else float(times),
            "place": None if place == measure.LARGEST else int(place),
            "number_format": here.control("format", measure.MXFP4, tuple(measure.FORMATS)), "sinks": here.sink_logit}


def story(live: ModelConfig, model: Transformer, ids: Sequence[int], never_rounded: bool, matrix: str, layer: int,
          expert: int, row: int, block: int, times: float | None, place: int | None, number_format: str,
          sinks: float | None) -> None:
    """## Whose weights

    The shipped `classroom` lies on the ticks already; the same training without rounding is there too."""
    source = load_unrounded(model.dtype).sharing_weights(live, sinks).eval() if never_rounded else model
    at = measure.Place(matrix, layer, expert, row, block)
    weights = measure.block_values(source, at).float()

    """## One block

    Each value above, the tick it comes back as below. With an outlier, its neighbours fall to zero."""
    number = int(weights.abs().argmax()) if place is None else place
    own = measure.quantised_block(weights)
    now = own if times is None else measure.quantised_block(measure.with_outlier(weights, number, times))
    frame, both = measure.FRAME * 2.0**own.exponent, (now.values.numpy(), now.back.numpy())
    show(charts.block_on_ticks(charts.TickedBlock(*both, now.ticks, now.exponent, number, frame)))
    show(charts.byte_strip(now.packed.tolist(), now.codes.tolist(), now.scale, now.exponent))
    beside = measure.neighbours(now, number)
    print(f"{beside.fallen} of 31 neighbours fall to 0; their error is {beside.error:.1%} of their size.")

    """## The whole matrix, in every format"""
    whole = measure.expert_matrix(source, at)
    errors = measure.block_errors(whole, measure.FORMATS[measure.MXFP4].rounded(whole))
    show(charts.error_histogram(errors.flatten().numpy(), errors[row, block].item()))
    show(charts.format_errors({name: (measure.relative_error(whole, form.rounded(whole)), form.bits(whole.shape[-1]))
                               for name, form in measure.FORMATS.items()}, measure.MXFP4))

    """## What rounding does to what the model says of the text

    The experts of one layer alone, of all layers up to it, and of all layers in every format."""
    text = ids[:measure.MAX_READ]
    original = measure.read(source, text)
    form, everywhere = measure.FORMATS[number_format], tuple(range(live.num_hidden_layers))
    shown = measure.spread_out(live.num_hidden_layers, measure.MOST_LAYERS)
    alone = {last: measure.effect_of_rounding(source, text, form, (last,), original).divergence for last in shown}
    up_to = {last: measure.effect_of_rounding(source, text, form, everywhere[:last + 1], original).divergence
             for last in shown}
    show(charts.divergence_by_layer(alone, up_to, number_format, live.num_hidden_layers))
    effects = {name: measure.effect_of_rounding(source, text, each, everywhere, original)
               for name, each in measure.FORMATS.items()}
    if len(text) > 2:
        show(charts.loss_changes({name: (one.change, one.spread) for name, one in effects.items()}, number_format))
