"""The memory page's views of closed forms: what is kept, the KV cache, the roofline, and how fast it can be at best.

Each is given what is asked of which model, the column beside the picture, the words on which model it is, and what asks
the reader right under the picture.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import pictures
from gptoss.cost import Accelerator
from gptoss.lessons.memory.accounts import (
    Setting,
    cache_charts,
    memory_charts,
    operator_bounds,
    roofline_chart,
    speed_chart,
    time_chart,
    touched_chart,
    worked_out,
)
from gptoss.lessons.memory.charts import DECODE
from gptoss.lessons.memory.controls.load import (
    CACHE,
    MEMORY,
    ROOFLINE,
    SPEED,
    choose_operator,
    machine,
    machine_control,
    operator_controls,
)


def memory(chosen: Setting, _: DeltaGenerator, about: str, ask: Callable[[], None]) -> None:
    """All that is kept in memory, by formats and part, and what that fills of which machine."""
    by_format, machines = memory_charts(chosen)
    with pictures.main():
        pictures.show_chart(by_format, key="memory_formats",
                            words=f"{about} GB are 10⁹ bytes, as on data sheets.")
    ask()
    pictures.show_chart(machines, key="memory_machines", words=(
        "Beside a machine stands how many users of this context fit into it together with the weights; where none does, how "
        "many times its memory all this takes. Activations are left out, since a server can read prompts in pieces."))


def cache(chosen: Setting, _: DeltaGenerator, about: str, ask: Callable[[], None]) -> None:
    """The KV cache layer by layer, and against other designs."""
    by_layer, totals = cache_charts(chosen)
    with pictures.main():
        pictures.show_chart(by_layer, key="memory_film", words=(
            f"{about} {_ring(chosen)}GiB are 2³⁰ bytes."))
    ask()
    pictures.show_chart(totals, key="memory_designs", words=(
        "MHA, multi-head attention, has a KV head for each query head; MQA, multi-query attention, one for all. Windows "
        "stay as they are, but where every layer is said to be full."))


def _ring(chosen: Setting) -> str:
    """What a sliding layer keeps; nothing where none slides."""
    if not any(map(chosen.config.window_of, range(chosen.config.num_hidden_layers))):
        return ""
    return ("A sliding layer keeps a ring as long as its window, in which each new token takes the oldest one's place. A "
            "full layer keeps every token. ")


def roofline(chosen: Setting, dials: DeltaGenerator, about: str, ask: Callable[[], None]) -> None:
    """Every operator under the machine's roof, and one of them worked out."""
    with dials:
        machine_control()
    place = pictures.main()
    phase, operator = operator_controls()
    st.markdown(worked_out(chosen, machine(), phase, operator))
    with place:
        pictures.show_clickable(roofline_chart(chosen, machine(), phase, operator), "memory_roofline", "mark",
                                then=choose_operator, words=f"{about} Prefill reads a prompt at once, decode writes token "
                                "by token. The larger a mark, the larger its share of its phase's time.")
    ask()


def speed(chosen: Setting, dials: DeltaGenerator, about: str, ask: Callable[[], None]) -> None:
    """The least time of both phases, tokens a second and experts touched against the batch."""
    with dials:
        machine_control()
    on = machine()
    with pictures.main():
        pictures.show_chart(speed_chart(chosen, on), key="memory_speed", words=(
            f"{about} Solid: the batch fits into the machine's memory; dashed: it does not. "
            f"{about_bound(on, chosen)}"))
    ask()
    pictures.show_chart(time_chart(chosen, on), key="memory_time")
    pictures.show_chart(touched_chart(chosen.config, chosen.load.batch_size), key="memory_touched")


def about_bound(on: Accelerator, chosen: Setting) -> str:
    """What the times are, and where no arithmetic enters them."""
    sentences = ":material/speed: A bound, not a promise: no pass can be faster, and real ones are slower."
    if any(bound.compute is None for bound in operator_bounds(chosen.config, chosen.load, on)[DECODE]):
        sentences += f" For {on.name} not all peaks are published: where one is missing, memory alone bounds."
    return sentences


DRAWN = {MEMORY: memory, CACHE: cache, ROOFLINE: roofline, SPEED: speed}  # all but the views that measure
