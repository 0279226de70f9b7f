"""Measured here: this machine's rates and passes of the live model, in the background, and closed forms beside counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from gptoss import units
from gptoss.app import live, pictures
from gptoss.app.computed import alone, computed
from gptoss.app.study import Study
from gptoss.app.text import current_text, first_example, live_tokens
from gptoss.app.turns import HEAVY
from gptoss.app.weights import weights_in_words
from gptoss.charts import Chart
from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, kv_cache_bytes, pass_activation_bytes
from gptoss.lessons.memory.charts import times_on_trial, where_time_goes
from gptoss.lessons.memory.measure.passes import (
    DECODE,
    PARTS,
    Count,
    MachineRates,
    MeasuredPass,
    live_counts,
    machine_rates,
    measured_pass,
)
from gptoss.model import Transformer
from gptoss.timing import Stopped

# (sequences, tokens that each passes through the model, tokens that each has then): prompts, and decoding steps.
PASSES = ((1, 32, 32), (1, 128, 128), (1, 512, 512), (16, 128, 128),
          (1, 1, 32), (1, 1, 512), (4, 1, 128), (16, 1, 128), (64, 1, 128))
MOST_BYTES = 64 * 2**20  # activations and cache of a pass that is timed: other readers need memory too
RATE_SECONDS = 2.0  # for which the machine's own rates are measured
PACE = 0.5  # s between two looks at a measurement
GRACE = 30.0  # s without a look after which a measurement gives up: its reader has gone
COUNTED_TOKENS = 128  # at most: counting writes attention out
_counts = computed(lambda model, tokens: live_counts(model, torch.tensor([tokens])), entries=32)
OFFSET = 7  # tokens by which each sequence starts later in the text than the one before


class Measurement:
    """One reader's measurement, in the background: how far it is, and its results so far.

    It waits for its turn, since two measurements at once would measure each other, and leaves the server's second place
    for heavy work to others.
    """

    def __init__(self, running: live.Running, model: Transformer, tokens: tuple[int, ...]):
        self.of = running
        self.doing, self.done = "Waiting for another measurement on this server to end.", 0.0
        self.rates: MachineRates | None = None
        self.passes: list[MeasuredPass] = []
        self._model, self._tokens, self._passes = model, tokens, passes_of(model.config)
        self._stop, self._seen = threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._work, name="measuring", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether more is to come. Asking shows that somebody is there."""
        self._seen = time.monotonic()
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it as soon as the round in hand is over. Its results stay."""
        self._stop.set()

    def _should_stop(self) -> bool:
        return self._stop.is_set() or time.monotonic() - self._seen > GRACE

    def _work(self) -> None:
        try:
            with alone(self._should_stop):
                self._measure()
        except Stopped:
            pass  # its reader has gone, or has seen enough

    def _measure(self) -> None:
        self.doing = "Measuring how fast this machine multiplies and reads."
        with HEAVY:
            self.rates = machine_rates(RATE_SECONDS, self._progress(0), self._should_stop)
        for place, (batch, tokens, context) in enumerate(self._passes, 1):
            self.doing = f"Timing the live model: {work_in_words(batch, tokens, context)}."
            with HEAVY:
                self.passes.append(measured_pass(
                    self._model, sequences(self._tokens, batch, context), tokens, self.rates, progress=self._progress(place),
                    should_stop=self._should_stop))

    def _progress(self, place: int) -> Callable[[float], None]:
        def note(share: float) -> None:
            self.done = (place + share) / (len(self._passes) + 1)
        return note


def sequences(tokens: tuple[int, ...], batch: int, context: int) -> Tensor:
    """(batch, context) ids from a text, which begins anew at its end; each sequence starts somewhat later."""
    places = torch.arange(context) + OFFSET * torch.arange(batch)[:, None]
    return torch.tensor(tokens)[places % len(tokens)]


def passes_of(config: ModelConfig) -> list[tuple[int, int, int]]:
    """Those of `PASSES` that need no more than `MOST_BYTES` with values of four bytes."""
    return [(batch, tokens, context) for batch, tokens, context in PASSES
            if pass_activation_bytes(config, batch, tokens, context - tokens, "fp32")
            + kv_cache_bytes(config, context, batch, 4) <= MOST_BYTES]


def work_in_words(batch: int, tokens: int, context: int) -> str:
    """`prefill 4 × 128`, `decode 4 at 128`."""
    return f"decode {batch} at {context}" if tokens == 1 else f"prefill {batch} × {tokens}"


def measured_here(study: Study) -> None:
    """The view: a measurement on demand, and closed forms beside live counts. Looks again by itself while one runs."""
    running = _running()
    st.fragment(_on_trial, run_every=PACE if running else None)(study, running)


def _measurement() -> Measurement | None:
    return st.session_state.get("memory_measurement")


def _running() -> bool:
    measurement = _measurement()
    return measurement is not None and measurement.running


def _on_trial(study: Study, running_then: bool) -> None:
    running = _running()
    if running != running_then:
        st.rerun()  # the whole page: whether it looks again by itself is decided there
    beside, right = st.columns([2, 5], gap="medium")
    tokens, measurement = _tokens(study), _measurement()
    with beside:
        if running:
            st.button("Stop", icon=":material/stop:", key="memory_stop", on_click=measurement.stop,
                      help="Keeps what has been measured so far.")
        else:
            st.button("Measure this machine", icon=":material/timer:", type="primary", key="memory_measure", on_click=_start,
                      args=(study, tokens))
        _say_state(study, running)
    with right:
        if measurement and measurement.of == live.running(study) and measurement.passes:
            _show(measurement.passes)
            _show_counts(study, tokens)
        else:
            with pictures.main():
                _show_counts(study, tokens)


def _tokens(study: Study) -> tuple[int, ...]:
    """The reader's text as the live model reads it, or the first example's where there is none."""
    text = current_text() or first_example(study.preset).text
    return live_tokens(text, study.vocabulary, special=False).ids


def _start(study: Study, tokens: tuple[int, ...]) -> None:
    if not _running():
        st.session_state["memory_measurement"] = Measurement(live.running(study), live.live_model(study).model, tokens)


def _say_state(study: Study, running: bool) -> None:
    measurement = _measurement()
    if running:
        st.progress(measurement.done, measurement.doing)
    elif measurement is None or measurement.of != live.running(study):
        model = units.count(count_parameters(study.live_config).total)
        st.caption(f":material/timer: Not measured yet. First this machine's own rates, then "
                   f"{len(passes_of(study.live_config))} passes of the live model ({model} parameters, {study.precision}), "
                   "in the background.")
    elif measurement.rates is None:
        st.caption(":material/stop: Stopped before anything was measured.")
    else:
        st.caption(rates_in_words(measurement.rates))


def rates_in_words(rates: MachineRates) -> str:
    """What the machine does, with the quartiles of the rounds."""
    multiplies = ", ".join(f"{name} {units.decimal(rate.median, 'FLOP/s')} ({units.decimal(rate.low, 'FLOP/s')} to "
                           f"{units.decimal(rate.high, 'FLOP/s')})" for name, rate in rates.flops.items())
    reads = rates.bandwidth
    return (f":material/memory: This machine, on {units.plural(rates.threads, 'thread')}: "
            f"multiplies {multiplies}; reads {units.decimal(reads.median, 'B/s')} ({units.decimal(reads.low, 'B/s')} to "
            f"{units.decimal(reads.high, 'B/s')}). Medians and quartiles of {rates.rounds} rounds.")


def _show(passes: list[MeasuredPass]) -> None:
    times, parts = trial_charts(passes)
    with pictures.main():
        pictures.show_chart(times, key="memory_times", words=(
            "Ring: the bound, from the rates measured here and the experts that were touched. Dot: the median, with its "
            "quartiles. Beside it how many times the bound that is."))
    pictures.show_chart(parts, key="memory_why", words=(
        "**Bound**: FLOPs or bytes at this machine's rates. **Matrices alone**: what the same products take beyond it, or "
        "spare where a cache holds what the bound reads from memory. **Calls**: asking torch for all other operations, as a "
        "model of the smallest widths does. **All else**: norms, rotations, activation functions, sums.  \n"
        f"{biggest_reason(passes)}"))


def trial_charts(passes: list[MeasuredPass]) -> tuple[Chart, Chart]:
    """Predicted against measured times, and what the measured ones consist of."""
    names = [work_in_words(timed.batch_size, timed.tokens, timed.context) for timed in passes]
    times = pd.DataFrame([(name, timed.predicted, *timed.measured) for name, timed in zip(names, passes, strict=True)],
                         columns=["work", "predicted", "median", "low", "high"])
    parts = pd.DataFrame([(name, *(timed.parts[part] for part in PARTS)) for name, timed in zip(names, passes, strict=True)],
                         columns=["work", *PARTS])
    return times_on_trial(times), where_time_goes(parts)


def biggest_reason(passes: list[MeasuredPass]) -> str:
    """Why measured times differ from the bound, for prompts and for decoding steps: the part that adds most."""
    reasons = []
    for kind in dict.fromkeys(timed.kind for timed in passes):
        of_it = [timed for timed in passes if timed.kind == kind]
        beyond = {part: sum(timed.parts[part] for timed in of_it) for part in PARTS[1:]}
        most = max(beyond, key=beyond.get)
        whole = sum(timed.measured.median for timed in of_it)
        reasons.append(f"{'decoding steps' if kind == DECODE else 'prompts'} took {units.seconds(whole)} together, of which "
                       f"{units.percent(beyond[most] / whole, 0)} are {most}")
    words = "; ".join(reasons)
    return (f":material/lightbulb: Why they differ: {words}. Small matrices do not fill a machine, and a call costs time "
            "however little it computes: at the real size both weigh less.")


def _show_counts(study: Study, tokens: tuple[int, ...]) -> None:
    """Closed forms and live counts of one pass over the text."""
    tokens = tokens[:COUNTED_TOKENS]
    st.markdown("**The same quantities, computed and counted**: the live model reads "
                f"{units.plural(len(tokens), 'token')} of your text; {weights_in_words(study)}.\n\n"
                + counts_table(_counts(study, tokens)))


def counts_table(counts: tuple[Count, ...]) -> str:
    """Closed form and live count side by side, in Markdown."""
    rows = "".join(f"| {count.quantity} :small[{count.where}] | {_figure(count.closed_form)} | {_figure(count.counted)} "
                   f"{_verdict(count)} |\n" for count in counts)
    return f"| quantity | closed form | counted live |\n|---|---|---|\n{rows}"


def _figure(value: float) -> str:
    return units.fixed(value, 0 if value == int(value) else 2)


def _verdict(count: Count) -> str:
    """Whether both are equal; an expectation need not be, and says how far off it is."""
    if count.exact or count.equal:
        return ":material/check:" if count.equal else ":material/close:"
    return f"({units.signed(count.counted / count.closed_form - 1, units.percent, 0)})"
