"""What stands below the ladder: its question, its experiments, the maths and checks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import streamlit as st

from gptoss import units
from gptoss.app.lesson import Lesson, Prediction, Try
from gptoss.app.live import HEAVY
from gptoss.app.study import Study
from gptoss.app.verdicts import Claim
from gptoss.config import ModelConfig
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.lessons.ladder.controls.ladder import MEASURE_KEY, RUNGS_KEY
from gptoss.lessons.ladder.measure import (
    ACTIVE,
    CACHE,
    FLOPS,
    PARAMETERS,
    cost,
    ends_differ_by,
    path_of,
    waterfall,
)
from gptoss.model import LadderModel
from gptoss.model.ladder import DenseMLP, Experts, LadderAttention, LadderBlock

TRIED = tuple(range(64))  # ids that every live vocabulary has: single bytes

MATHS = r"""
**One block, with parts to choose from.** Whatever the rungs, both halves read the stream $x$ and add to it:

$$y = x + \text{attention}(\text{norm}(x)), \qquad z = y + \text{mlp}(\text{norm}(y))$$

- **Norm.** $\gamma \odot \frac{x - \bar x}{\sqrt{\mathrm{var}(x) + \varepsilon}} + \beta$ becomes
  $\gamma \odot \frac{x}{\sqrt{\overline{x^2} + \varepsilon}}$.
- **Position.** A learned vector $w_p$ is added to each token, for 1,024 positions $p$; or $q$ and $k$ are turned by angles
  $p\,\theta_i$, which YaRN makes smaller where they turn slowly.
- **Heads.** $H$ heads of size $\text{width} / H$; or of a free size. $H$ keys and values; or $H / g$, in groups of $g$.
- **Softmax.** $\frac{e^{s_j}}{\sum_i e^{s_i}}$ over all earlier tokens; or over a window, and with a sink
  $\frac{e^{s_j}}{e^{\text{sink}} + \sum_i e^{s_i}}$.
- **MLP.** $W_2\,\mathrm{gelu}(W_1 u)$; or $\sum_{e \in \text{top-}k} w_e\, W_2^{(e)} \mathrm{swiglu}(W_1^{(e)} u)$, biases
  left out.
- **Logits.** $E\,x$ with the embedding $E$ itself; or $U x$ with a matrix of its own.

A dense SwiGLU has three matrices where GELU has two. For as many parameters it is two thirds as wide: about
$\tfrac{8}{3}$ of the stream's width in place of 4.

**Effects do not commute.** A rung's bar is $f(S \cup \{r\}) - f(S)$ after the rungs $S$ before it. After another $S$ it is
another number: windows save more of the cache before keys and values are shared than after. Only the ends do not depend
on the order.
"""


def ladder_lesson(study: Study, claims: Sequence[Claim]) -> Lesson:
    """The lesson for the model under study."""
    return Lesson(
        path="ladder", maths=MATHS, prediction=prediction(study),
        code=[LadderModel, LadderBlock, LadderAttention, DenseMLP, Experts, LadderConfig],
        tries=[
            Try("GPT-2 with RoPE alone", "RoPE costs nothing: the cache grows because a longer context becomes possible.",
                controls={RUNGS_KEY: ["rope"], MEASURE_KEY: CACHE}),
            Try("Experts alone", "Hardly any more compute for one token. Now look at the parameters.",
                controls={RUNGS_KEY: ["experts"], MEASURE_KEY: FLOPS}),
            Try("All rungs, the cache", "YaRN makes the long context possible; grouped queries and windows pay for it.",
                controls={RUNGS_KEY: list(RUNGS), MEASURE_KEY: CACHE})],
        claims=claims,
        checks=lambda: how_we_know(study))


def prediction(study: Study) -> Prediction:
    """How much more one token has to do with all rungs, as against how much larger the model is."""
    bottom, top = LadderConfig(study.config), LadderConfig.climbed(study.config)
    return Prediction(
        f"From a GPT-2 of {study.layers} layers and width {study.hidden:,} to {study.name}, all parameters together become "
        f"{_ratio(bottom, top, PARAMETERS):.3g} times as many. How many times as many work on one token?",
        answer=lambda: _ratio(bottom, top, ACTIVE), because=lambda _: _because(bottom, top), unit="times", tolerance=0.15,
        show="{:.3g}".format)


def _ratio(bottom: LadderConfig, top: LadderConfig, measure: str) -> float:
    return cost(top, measure, 1) / cost(bottom, measure, 1)


def _because(bottom: LadderConfig, top: LadderConfig) -> str:
    before, after = (units.count(cost(each, ACTIVE, 1)) for each in (bottom, top))
    frame = waterfall(top, lambda each: cost(each, PARAMETERS, 1)).iloc[1:-1]
    change = frame["stop"] - frame["start"]
    largest = change.idxmax()
    return (f"{before} active parameters become {after}. The rung that adds most to the total is "
            f"{frame.loc[largest, 'step']} with {units.count(change[largest])}.")


def how_we_know(study: Study) -> None:
    """Both ends against the models themselves, and the closed forms against counted weights, at this moment."""
    gpt2, gpt_oss = _ends(study.live_config, study.seed)
    path = path_of(LadderConfig.climbed(study.config))
    off = max(abs(cost(each, PARAMETERS, 1) - _counted(each)) for each in path)
    st.markdown(
        f"At this moment, with the live sizes, seed {study.seed} and {len(TRIED)} tokens:\n"
        f"- **No rung**: the ladder's model with the weights of a `GPT2` gives its logits, up to **{gpt2:.1e}** of the "
        "largest.\n"
        f"- **All rungs**: with the weights of a `Transformer` it gives that one's, up to **{gpt_oss:.1e}**.\n"
        f"- **On the way**: {len(path)} models of the real size were laid out without memory and their weights counted. "
        f"The closed form is off by at most **{off}** parameters.\n\n"
        "The tests take any subset of rungs: each model gives the same logits at once, step by step from its cache, and "
        "with every tensor recorded; caches and FLOPs equal real caches and torch's own FLOP counter; `GPT2` equals "
        "Hugging Face's `GPT2LMHeadModel`.")


@lru_cache(maxsize=64)
def _counted(config: LadderConfig) -> int:
    return sum(parameter.numel() for parameter in LadderModel(config, device="meta").parameters())


@lru_cache(maxsize=16)
def _ends(top: ModelConfig, seed: int) -> tuple[float, float]:
    with HEAVY:
        return ends_differ_by(top, TRIED, seed)
