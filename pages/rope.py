"""RoPE and YaRN: two arrows that turn together, scores by distance, wavelengths, and how they are stretched."""

import math

import streamlit as st

from gptoss.app import pictures, state
from gptoss.app.controls import view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, answered, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS, ModelConfig
from gptoss.lessons.rope import charts, measure
from gptoss.lessons.rope.controls import views
from gptoss.lessons.rope.controls.questions import question, tries
from gptoss.lessons.rope.controls.views import ARROWS, READING
from gptoss.model import RotaryEmbedding
from gptoss.model.rope import concentration, inverse_frequencies, yarn_ramp, yarn_range
from gptoss.notation import with_numbers
from gptoss.units import fixed, number, plural

REAL = PRESETS["gpt-oss-20b"]
FURTHER_ON = 8  # tokens: the distance of the worked score

OPENING = Opening(
    problem="Attention by itself does not know order: “dog bites man” and “man bites dog” make the same queries, keys and "
            "values.",
    idea=f"{word('RoPE')} turns every {word('query')} and {word('key')} like the hand of a clock, a little more with each "
         "position. The angle between two hands then tells how far apart they are.",
    chosen=f"{REAL.head_dim // 2} hands a head, {word('frequency', 'from fast to very slow')}, trained on "
           f"{REAL.initial_context_length:,} tokens. {word('YaRN')} slows the slow ones {number(REAL.rope_scaling_factor)} "
           f"times for {REAL.max_context_length:,} tokens.")

TURNED = r"""
Pair $m$ of a query or a key, its dimensions $m$ and $m + d/2$, is turned by an angle: its position times the pair's own
frequency, in radians a token. Those of the head size $d$ go from fast to slow:

$$
\begin{aligned}
\omega_m &= \theta^{-2m/d} \\
\mathbf q_{i,m} &\to \operatorname{turn}(\mathbf q_{i,m},\; i\,\omega_m) \\
\mathbf k_{j,m} &\to \operatorname{turn}(\mathbf k_{j,m},\; j\,\omega_m)
\end{aligned}
$$
"""

DISTANCE = r"""
If two arrows turn by the same angle, nothing changes between them. So the score sees only the distance $i - j$:

$$
\begin{aligned}
& \operatorname{turn}(\mathbf q_{i,m},\; i\,\omega_m) \cdot \operatorname{turn}(\mathbf k_{j,m},\; j\,\omega_m) \\
=\; & \operatorname{turn}(\mathbf q_{i,m},\; (i - j)\,\omega_m) \cdot \mathbf k_{j,m}
\end{aligned}
$$
"""

STRETCHED = r"""
YaRN with factor $s$ slows each pair by its place on a ramp $\rho_m$, from 0 below *low* to 1 above *high*, because pairs
that turned often in the $n_0$ tokens of training know the whole circle, and the others do not:

$$
\begin{aligned}
\omega_m' &= \omega_m (1 - \rho_m) + \frac{\omega_m}{s}\, \rho_m \\
\rho_m &= \frac{m - \text{low}}{\text{high} - \text{low}} \\
\text{low} &= \frac d2\, \frac{\ln (n_0 / 2\pi\beta)}{\ln \theta} \\
\text{high} &= \frac d2\, \frac{\ln (n_0 / 2\pi\alpha)}{\ln \theta}
\end{aligned}
$$

The concentration, $0.1 \ln s + 1$, multiplies cosines and sines: queries and keys grow by it, and scores by its square.
"""


def maths(config: ModelConfig) -> str:
    """The formulas, each with the numbers of the page's heads."""
    plain = inverse_frequencies(config.replace(rope_scaling_factor=1.0))
    low, high = yarn_range(config)
    grown = concentration(config)
    last = len(plain) - 1
    return with_numbers(
        (TURNED, f"d = {config.head_dim} and θ = {number(config.rope_theta, 9)}. Pair 0 turns by "
                 f"{plural(plain[0].item(), 'radian')} a token, a whole turn in {number(2 * math.pi / plain[0].item(), 3)} "
                 f"tokens; pair {last} takes "
                 f"{2 * math.pi / plain[-1].item():,.0f}."),
        (DISTANCE, f"a query {FURTHER_ON} tokens behind a key is turned by {FURTHER_ON} · {number(plain[0].item())} "
                   f"radians in pair 0, {number(math.degrees(FURTHER_ON * plain[0].item()))}°, wherever the two stand."),
        (STRETCHED, f"s = {number(config.rope_scaling_factor)}, n₀ = {config.initial_context_length:,}, β = "
                    f"{number(config.rope_ntk_beta)} and α = {number(config.rope_ntk_alpha)} make low = {fixed(low)} and "
                    f"high = {fixed(high)}. The concentration is {grown:.3f}, so that scores grow {number(grown**2, 3)} "
                    "times."))


@st.fragment
def picture(study: Study) -> None:
    """The chosen view, which alone does work."""
    shown = st.container()  # filled last, since it depends on the dials below it
    views.further_dials(study)
    with shown:
        chosen, config = view(list(views.VIEWS), "rope_view"), views.settings(study)
        about = lesson(config, study.context, chosen)
        told = {"told": answered("rope", about.prediction)} if chosen == READING else {}
        views.VIEWS[chosen](config, study.context, **told)
        beside(about)
    if chosen != READING:
        st.caption(views.where_the_live_model_differs(study))


def how_we_know(config: ModelConfig, context: int) -> None:
    """Rotation compared with the complex plane, the page's tables with the model's, and the spread of equal scores."""
    table, plane = measure.rotation_checks(config)
    st.markdown(
        f"- The model's rotation against multiplication by e^(i·position·frequency) in double precision, 512 random "
        f"vectors: largest difference **{number(plane, 2)}**.\n"
        f"- Cosines and sines on this page against the table that the model reads, 512 positions: **{number(table, 2)}**.\n"
        f"- Scores of equal distance, with the key at {', '.join(f'{at:,}' for at in measure.places(context))}. In exact "
        f"arithmetic they are equal; each number format keeps that as far as it can tell angles apart:")
    pictures.show_chart(charts.spread_by_format(measure.spread_frame(config, measure.AGREEING, context)), key="rope_spread")


def lesson(config: ModelConfig, context: int, shown: str) -> Lesson:
    """What is asked, tried and explained, at the settings of this moment and under one view."""
    return Lesson(
        path="rope", prediction=question(config, context, shown), tries=tries(config), maths=maths(config),
        code=[RotaryEmbedding, inverse_frequencies, yarn_range, yarn_ramp, concentration],
        claims=register.of_page("rope"), checks=lambda: how_we_know(config, context))


header("rope", OPENING)
study = state.study()
picture(study)
below(lesson(views.settings(study), study.context, ARROWS))
