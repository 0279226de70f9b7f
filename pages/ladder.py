"""From GPT-2 to GPT-OSS: one change a rung, any subset of them, on a model that runs."""

import streamlit as st

from gptoss import units
from gptoss.app import pictures, state
from gptoss.app.controls import view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Seen, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.cost import count_parameters
from gptoss.ladder import RUNGS, LadderConfig
from gptoss.lessons.ladder import charts, controls, measure
from gptoss.lessons.ladder.measure import ACTIVE, CACHE, FLOPS, PARAMETERS, TIME
from gptoss.model import LadderModel
from gptoss.model.ladder import DenseMLP, Experts, LadderAttention, LadderBlock
from gptoss.notation import with_numbers

CONTEXT = 1024  # tokens that every model of the ladder has positions for
REAL = "gpt-oss-20b"
CHECKED = tuple(range(64))  # ids that every live vocabulary has: single bytes
OPENING = Opening(
    problem="Between GPT-2 and GPT-OSS nearly everything changed at once, so nobody can see which change did what.",
    idea="Make the changes one by one, like the rungs of a ladder: each model in between can be built, and it runs.",
    chosen=f"GPT-OSS takes all {len(RUNGS)} rungs. Some spare memory, some spare work, and some spend what others spare.")

BLOCK = r"""
**One block, with parts to choose from.** Whatever the rungs, both halves read the stream and add to it:

$$
\mathbf x \leftarrow \mathbf x + \text{attention}(\text{norm}(\mathbf x)), \qquad
\mathbf x \leftarrow \mathbf x + \text{mlp}(\text{norm}(\mathbf x))
$$
"""

PARTS = r"""
- **Norm.** $\gamma \odot \frac{\mathbf x - \text{mean}}{\sqrt{\text{variance} + \varepsilon}} + \mathbf b$ becomes
  $\gamma \odot \frac{\mathbf x}{\sqrt{\text{mean square} + \varepsilon}}$.
- **Position.** A learned vector is added to each token, one for each of 1,024 positions; or $\mathbf q_i$ and $\mathbf
  k_i$ are turned by angles $i\,\omega_m$, which YaRN makes smaller where they turn slowly.
- **Heads.** $H$ heads of size $D / H$; or of a size $d$ of their own. Keys and values for every head; or for each of $G$
  KV groups.
- **Softmax.** $a_{ij} = \frac{e^{s_{ij}}}{\sum_{j'} e^{s_{ij'}}}$ over all earlier tokens; or over a window of $W$, and
  with a sink $\frac{e^{s_{ij}}}{e^{b_h} + \sum_{j'} e^{s_{ij'}}}$.
- **MLP.** $\mathbf W_2\,\mathrm{gelu}(\mathbf W_1 \mathbf u)$; or the sum of $k$ experts, each $w_e \mathbf W_2\,
  \mathrm{swiglu}(\mathbf W_1 \mathbf u)$ with matrices of its own, biases left out.
- **Logits.** $\mathbf W \mathbf x$, where $\mathbf W$ is the embedding itself, or a matrix of its own.
"""

DENSE = r"""
**As wide as is fair.** A dense SwiGLU has three matrices where GELU has two. For as many parameters it is two thirds as
wide: about $\tfrac83 D$ in place of $4 D$.
"""

ORDER = r"""
**The order counts.** A rung's bar is what the model costs with it, less what it costs without, after the rungs before
it. After other rungs it is another number. Only the ends do not depend on the order.
"""


def maths(study: Study) -> str:
    """The formulas, with the numbers of the model under study and of the GPT-2 of its depth and width."""
    top = LadderConfig.climbed(study.config)
    bottom, width = top.replace(()), study.config.hidden_size
    apart, together = (measure.cost(top.replace(rungs), CACHE, CONTEXT) for rungs in (["window"], ["gqa", "window"]))
    saved = [units.size(measure.cost(top.replace(rungs), CACHE, CONTEXT) - left)
             for rungs, left in (((), apart), (["gqa"], together))]
    return with_numbers(
        (BLOCK, f"{2 * study.layers} half blocks add to a stream of {word('hidden size')} D = {width:,}."),
        (PARTS, f"H = {bottom.num_attention_heads} heads of {bottom.head_dim} become {top.num_attention_heads} of d = "
                f"{top.head_dim} in G = {units.plural(top.num_key_value_heads, 'group')}, and one MLP becomes E = "
                f"{study.experts} of F = {top.intermediate_size:,}, k = {study.active} of them for a token."),
        (DENSE, f"a GELU of {4 * width:,} gives way to a {word('SwiGLU')} of about {8 * width / 3:,.0f}."),
        (ORDER, f"at {CONTEXT:,} tokens windows save {saved[0]} of the cache before keys and values are shared, and "
                f"{saved[1]} after."))


@st.fragment
def picture(study: Study) -> None:
    """What the rungs change, beside them the block that they make; and what its model expects next."""
    quantity = view(controls.MEASURES, controls.MEASURE_KEY.name, "Measure")
    left, right = st.columns([5, 4], gap="medium")
    with right:
        taken = controls.rungs()
        config, live = (LadderConfig(top, taken) for top in (study.config, study.live_config))
        pictures.show_drawing(charts.block_drawing(config), ":gray-badge[grey] is GPT-2's own, :violet-badge[violet] came "
                              "with a rung.")
    with left:
        waterfall = pictures.main()
    if quantity != TIME:
        with waterfall:
            controls.costs(config, quantity, study.context)
    beside(lesson(study))
    controls.expected(study, live)
    if quantity == TIME:  # last: all the rest is there before the first pass is timed
        with waterfall:
            controls.times(study, taken)


def how_we_know(study: Study) -> None:
    """Both ends compared with the models themselves, and the closed forms with counted weights, at this moment."""
    gpt2, gpt_oss = controls.differences(study.live_config, CHECKED, study.seed)
    path = measure.path_of(LadderConfig.climbed(study.config))
    off = max(abs(measure.cost(config, PARAMETERS, 1) - measure.counted(config)) for config in path)
    st.markdown(
        f"At this moment, with the live sizes, seed {study.seed} and {len(CHECKED)} tokens:\n"
        f"- **No rung**: the ladder's model with the weights of a `GPT2` gives its logits, up to "
        f"**{units.number(gpt2, 2)}** of the largest.\n"
        f"- **All rungs**: with the weights of a `Transformer` it gives that one's, up to **{units.number(gpt_oss, 2)}**.\n"
        f"- **On the way**: {len(path)} models of the real size were laid out as shapes without numbers, and their weights "
        f"were counted. The closed form is off by at most **{off}** parameters.\n\n"
        "The tests take any subset of rungs: each model gives the same logits at once, step by step from its cache, and "
        "with every tensor recorded; caches and FLOPs equal real caches and torch's own FLOP counter; `GPT2` equals "
        "Hugging Face's `GPT2LMHeadModel`.")


def prediction(study: Study, quantity: str) -> Prediction:
    """A question on what the view does not show before all rungs are taken: of a real model where a small one is studied."""
    if count_parameters(study.config).total < count_parameters(PRESETS[REAL]).total:
        study = Study.of_preset(REAL)
    bottom, top = LadderConfig(study.config), LadderConfig.climbed(study.config)
    grown = {of: measure.cost(top, of, study.context) / measure.cost(bottom, of, study.context) for of in measure.COSTS}
    longer = measure.context_of(top, study.context) / measure.context_of(bottom, study.context)
    text = f"its texts can be {units.number(longer)} times as long"
    given, factor, asked, of, mistake = {
        CACHE: (text, longer, "How many times as large is its KV cache?", CACHE,
                "In GPT-2 every token takes as much cache as the one before, but here heads share keys and values."),
        FLOPS: (text, longer, "How many times as much does one token compute?", FLOPS,
                "Only attention looks at the whole text, and in half of the layers only at a window of it."),
        ACTIVE: (f"{units.number(grown[ACTIVE])} times as many parameters work on one token", grown[ACTIVE],
                 "How many times as many are there in all?", PARAMETERS,
                 "In GPT-2 every parameter is active. With experts most of them wait for another token."),
    }.get(quantity, (f"there are {units.number(grown[PARAMETERS])} times as many parameters", grown[PARAMETERS],
                     "How many times as many work on one token?", ACTIVE,
                     "In GPT-2 all of them would. With experts a token uses a few of many."))
    return Prediction(
        f"All rungs lead from a GPT-2 of {units.plural(study.layers, 'layer')} and width {study.hidden:,} to {study.name}, "
        f"where {given}. {asked}", answer=lambda: grown[of], because=lambda _: what_moves(study, of), unit="times",
        tolerance=0.15, show=units.number, view=quantity, mistakes=[(factor, mistake)])


def what_moves(study: Study, of: str) -> str:
    """Which rungs add most on the whole way, and which take away."""
    frame = measure.waterfall(LadderConfig.climbed(study.config), lambda model: measure.cost(model, of, study.context))
    change = (frame["stop"] - frame["start"]).set_axis(frame["step"]).iloc[1:-1]
    write = charts.MEASURES[of].write
    most, least = ([f"{step} ({units.signed(value, write)})" for step, value in some.items()]
                   for some in (change[change > 0].nlargest(2), change[change < 0].nsmallest(2)))
    return f"Most is added by {' and '.join(most)}; most is taken away by {' and '.join(least)}."


def tries() -> list[Try]:
    """Experiments with a few rungs of gpt-oss-20b."""
    rungs, quantity = controls.RUNGS_KEY.name, controls.MEASURE_KEY.name

    def changes(seen: Seen, of: str) -> dict[str, int]:
        bars = measure.waterfall(LadderConfig(seen.study.scale.config, measure.standing(seen.controls[rungs])[0]),
                                 lambda config: measure.cost(config, of, seen.study.context), untaken=False)
        return dict(zip(bars["step"], bars["stop"] - bars["start"], strict=True))

    return [
        Try("RoPE alone", "RoPE has no weights, and even saves GPT-2's learned positions. The cache grows all the same, "
            "because positions no longer end at 1,024: a longer text fits.", preset=REAL,
            controls={rungs: ["rope"], quantity: CACHE},
            check=lambda seen: changes(seen, CACHE)["RoPE"] > 0 > changes(seen, PARAMETERS)["RoPE"]),
        Try("Experts alone", "The bar of the experts is short: one token computes hardly more, because it uses only a few "
            "of them. Now turn to Parameters: there it is the longest.", preset=REAL,
            controls={rungs: ["experts"], quantity: FLOPS}, check=lambda seen: (
                abs(changes(seen, FLOPS)["Experts"]) < 0.25 * changes(seen, FLOPS)["GPT-2"]
                and changes(seen, PARAMETERS)["Experts"] > changes(seen, PARAMETERS)["GPT-2"])),
        Try("All rungs, the cache", "YaRN makes a long text possible, and its bar is the longest of those that add. Grouped "
            "queries and windows pay for it.", preset=REAL, controls={rungs: list(RUNGS), quantity: CACHE},
            check=lambda seen: max(list(changes(seen, CACHE).items())[1:-1], key=lambda pair: pair[1])[0] == "YaRN"
            and changes(seen, CACHE)["Grouped queries"] < 0 > changes(seen, CACHE)["Sliding windows"])]


def lesson(study: Study) -> Lesson:
    """What stands beside the picture and below it."""
    return Lesson(
        path="ladder", prediction=prediction(study, controls.MEASURE_KEY.value), tries=tries(), maths=maths(study),
        code=[LadderModel, LadderBlock, LadderAttention, DenseMLP, Experts, LadderConfig],
        claims=register.of_page("ladder"), checks=lambda: how_we_know(study))


header("ladder", OPENING, untrained=True)
study = state.study().scale
picture(study)
below(lesson(study))
