"""The KV cache in FP8: what a model with trained weights still finds when it reads keys and values that were rounded."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from gptoss import units
from gptoss.app import pictures, state
from gptoss.app.computed import computed
from gptoss.app.study import RANDOM, Study
from gptoss.app.weights import weights_in_words, weights_of
from gptoss.charts import Chart
from gptoss.lessons.memory.charts import found_again
from gptoss.lessons.memory.measure.rounded_cache import BF16, EVERYWHERE, SKIPPED, Kept, judged
from gptoss.training.shipped import CLASSROOM

FINDS = 0.2  # share of answers below which a model finds too little to lose any
SOURCE = ("“The State of FP8 KV-Cache and Attention Quantization in vLLM”, vLLM blog, April 2026, and "
          "flash-attention's pull request 2250")

kept_ways = computed(judged, entries=8, many_passes="Judging six ways to keep a cache")


def rounded_cache(study: Study) -> None:
    """The view: recall by way of keeping the cache. Random weights recall nothing, so a shipped model stands in for them."""
    judged_one = Study.of_preset(CLASSROOM) if weights_of(study).kind == RANDOM else study
    with st.spinner("The model reads its texts once for every way to keep the cache.", show_time=True):
        kept = kept_ways(judged_one, judged_one.vocabulary)
    with pictures.main():
        pictures.show_chart(found_chart(kept), key="memory_found", words=(
            "Each token reads keys and values as they come back from the cache: rounded to FP8 (e4m3: one byte, three bits "
            "of it after the leading digit), with a scale for every head unless the bar says something else. "
            f"{_whose(study, judged_one)}"))
    st.markdown(in_words(kept))
    if max(kept[BF16.name].right.values()) < FINDS:
        st.button(f"This model hardly finds anything again: take {CLASSROOM}", icon=":material/school:", type="tertiary",
                  key="memory_take_trained", on_click=state.go_to, args=(Study.of_preset(CLASSROOM),))


def _whose(study: Study, judged_one: Study) -> str:
    """Which model is judged, in Markdown."""
    if judged_one == study:
        return f":material/deployed_code: **{study.name}**: {weights_in_words(study)}."
    return (f":material/deployed_code: **{judged_one.name}**: {weights_in_words(judged_one)}. The model under study has "
            "random weights, which find nothing again.")


def found_chart(kept: dict[str, Kept]) -> Chart:
    """What is missed in every way to keep the cache."""
    rows = [(way, kind, 1 - share, each.loss[kind]) for way, each in kept.items() for kind, share in each.right.items()]
    return found_again(pd.DataFrame(rows, columns=["way", "kind", "missed", "loss"]), kept[BF16.name].asked)


def in_words(kept: dict[str, Kept]) -> str:
    """What the picture comes to, and where the failure that made FP8 caches known came from. In Markdown."""
    plain, rounded, skipped = (kept[way.name] for way in (BF16, EVERYWHERE, SKIPPED))
    losses = "; ".join(f"{kind} {units.fixed(plain.loss[kind], 3)} in bf16, {units.fixed(rounded.loss[kind], 3)} in FP8, "
                       f"{units.fixed(skipped.loss[kind], 3)} with sliding layers in bf16" for kind in rounded.loss)
    return (f"**What rounding changes**: a key or a value by {units.percent(rounded.error)} of its size, since three bits "
            "leave eight steps from one power of two to the next. The loss on what has to be found again, in nats: "
            f"{losses}. The most probable next token stays the same as with bf16 at {units.percent(rounded.same)} of all "
            f"places; with sliding layers in bf16, at {units.percent(skipped.same)}.\n\n"
            "**What went wrong once**: with FP8 on Hopper, models found 13% of needles in long texts instead of 91%. The "
            "rounding was not to blame: tensor cores added up the products in less than float32, and the longer the text, "
            "the more there is to add. With sums put right, recall came back. The last bar shows the like on short texts: "
            f"there the sums over the values are kept in e4m3, too. :small[Source: {SOURCE}.]")
