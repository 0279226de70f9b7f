"""Attention sinks: one logit a head that opens and closes it like a gate, tried on the reader's text."""

import math

import streamlit as st

from gptoss import units
from gptoss.app import pictures, recorded, state, text
from gptoss.app.controls import has_text, layer_shown, view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import Lesson, Prediction, Seen, Try, answered, below, beside
from gptoss.app.retrained import RETRAINED, show_retrained
from gptoss.app.study import RANDOM, Study
from gptoss.claims import register
from gptoss.config import PRESETS
from gptoss.cost import count_parameters
from gptoss.lessons.sinks import controls, measure
from gptoss.model.attention import explicit_attention
from gptoss.model.gated import GatedAttention
from gptoss.notation import with_numbers
from gptoss.training.echo import GATED, PLAIN, SINKS

HEAD, REMOVAL, BY_POSITION, GATES, _ = VIEWS = (
    "One head", "Without sinks", "By position", "Sinks or gates", RETRAINED)
EQUAL_KEYS = 128
LONGER, SHORTER, ELSEWHERE, SAME = "it gets longer", "it gets shorter", "it points elsewhere", "it stays as it is"
ABOUT_REMOVAL = Prediction(
    "Take the sinks of a layer away and keep all weights. What becomes of one head's answer?",
    answer=lambda: LONGER, choices=(LONGER, SHORTER, ELSEWHERE, SAME), hides=True, view="removal",
    because=lambda _: "Every key's weight grows by one and the same factor, and so does the sum of the values.",
    mistakes={SHORTER: "The share that the sink had goes back to the keys, so they bring more, not less.",
              ELSEWHERE: "The sink has no value vector, and all keys gain by the same factor.",
              SAME: "The sink's share was taken from the keys; without it they get it back."})
_REAL = PRESETS["gpt-oss-20b"]
OPENING = Opening(
    problem=f"The {word('softmax')} shares out all of a head's {word('attention')}, so a head that finds nothing to fetch "
            "has to look somewhere all the same.",
    idea=f"Give it a {word('sink')}: a drain that takes the attention nobody needs and brings nothing back. Then the head "
         "can keep quiet.",
    chosen=f"One learned number for every head, {_REAL.num_attention_heads} in each of {_REAL.num_hidden_layers} layers of "
           "gpt-oss-20b, the same for every token.")


def maths(study: Study) -> str:
    """The formulas, each with the numbers of the model under study."""
    config = study.config
    keys = min(config.sliding_window or study.context, study.context)
    return with_numbers((r"""
One head's scores of the keys that query $i$ can see are $s_{ij}$; its sink is one learned number $b_h$, the same for
every query. It enters the softmax's denominator and nothing else:

$$a_{ij} = \frac{e^{s_{ij}}}{e^{b_h} + \sum_{j} e^{s_{ij}}}$$
""", f"{study.name} learns {config.num_attention_heads} · {config.num_hidden_layers} = "
     f"{config.num_attention_heads * config.num_hidden_layers:,} numbers $b_h$."), (r"""
So the keys' weights add up to less than 1. What is left to them is a gate between 0 and 1:

$$\sum_j a_{ij} = \sigma\Big(\ln \sum_j e^{s_{ij}} - b_h\Big)$$

The ratio of two keys' weights has no $b_h$ in it. So the head's answer $\mathbf o_i = \sum_j a_{ij} \mathbf v_j$ keeps
its direction, and its length is multiplied by the gate. The gate stands at one half where $b_h = \ln \sum_j e^{s_{ij}}$,
and for $n$ equal scores of 0 that is $\ln n$.
""", f"a query that sees {keys:,} keys with equal scores of 0 gives half away at $b_h = \\ln {keys:,} = "
     f"{measure.halving_among_equals(keys):.2f}$; at $b_h = 0$ the sink takes $1 / {keys + 1:,}$."), (r"""
A gate in a sink's place asks the token itself, with a vector $\mathbf w_h$ of $D$ learned numbers for each head, and a bias:

$$\mathbf o_i = \sigma\big(\mathbf w_h \cdot \text{RMSNorm}(\mathbf x_i)\big) \sum_j a_{ij} \mathbf v_j$$
""", f"{units.count(measure.gate_weights(config))} weights of gates would stand where "
     f"{config.num_attention_heads * config.num_hidden_layers:,} sinks are."))


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """The gate of one head and the weights behind it; what becomes of the model; what was trained beside it."""
    shown = view(recorded.views(VIEWS), "sinks_view")
    if shown == GATES:
        controls.sinks_or_gates()
    elif shown == RETRAINED:
        with pictures.main():
            show_retrained("sinks", study)
    elif shown == recorded.RECORDED:
        controls.replayed()
    elif has_text(tokens, "the gate shows on it"):
        side, large = st.columns([5, 13], gap="medium")
        with side:
            setting = controls.setting(study, tokens)
        now = controls.sink_pass(study, tokens.ids, setting.layer, setting.override)
        with large, pictures.main():
            if shown == HEAD:
                controls.one_head(study, tokens, setting, now)
            elif shown == BY_POSITION:
                controls.by_position(study, now)
            else:
                controls.removed(study, tokens, setting, now, told=answered("sinks", ABOUT_REMOVAL))
    beside(lesson(study, tokens, shown))


def how_many() -> dict[str, Prediction]:
    """The questions about the numbers of the real model."""
    sinks, gates = count_parameters(_REAL).sinks, measure.gate_weights(_REAL)
    few = "1 in more than a million"
    return {GATES: Prediction(
        f"gpt-oss-20b learns {sinks:,} sinks. How many numbers would it learn for gates in their place, one a head?",
        answer=lambda: gates, show="{:,.0f}".format, tolerance=0.001, view="gates",
        because=lambda _: (f"Each of {sinks:,} gates has a weight for each of the stream's {_REAL.hidden_size:,} numbers, "
                           "and a bias: a gate asks the token, a sink is the same for all of them."),
        mistakes=[(sinks, "A gate reads the token, so one number a head is not enough."),
                  (gates / _REAL.num_hidden_layers, "That is one layer's."),
                  (gates / _REAL.num_attention_heads, "That would be one gate a layer; each head has its own.")]),
        RETRAINED: Prediction(
        "How many of gpt-oss-20b's numbers are sinks?", answer=lambda: few, view="retrained",
        choices=("1 in 10", "1 in 100", "1 in 10,000", few),
        because=lambda _: f"{sinks:,} of {units.count(count_parameters(_REAL).total)}: hardly anything is as cheap.",
        mistakes=dict.fromkeys(("1 in 10", "1 in 100", "1 in 10,000"),
                               "A sink is one number, and all else in a head is a matrix."))}


def about_the_recording() -> Prediction:
    """The question about a recorded model's sinks."""
    taken, even = controls.of_all_sinks()
    return Prediction(
        recorded.of_all("how much of their attention did the heads give to their sinks, on average?"),
        answer=lambda: taken, unit="%", tolerance=0.1, show=units.number, view="recorded",
        because=lambda _: f"A sink of 0 among equal scores would have taken {units.number(even)}%.", mistakes=[
            (even, "So much would a sink of 0 take among equal scores. These sinks and scores are the model's own."),
            (0, "A sink has an exponential like every key, so it always takes something."),
            (100, "Then no head would fetch anything.")])


def question(shown: str) -> Prediction:
    """What is asked beside a view."""
    if shown == recorded.RECORDED:
        return about_the_recording()
    asked = {REMOVAL: ABOUT_REMOVAL, BY_POSITION: Prediction(
        "All scores are 0, and so is the sink's logit. One query sees 9 keys, a later one 99. How many times as much does "
        "the sink take from the first?", view="position", unit="times",
        answer=lambda: measure.share_among_equals(9) / measure.share_among_equals(99),
        because=lambda _: "The sink counts as one more key: it takes 1 / 10 there and 1 / 100 here.",
        mistakes=[(11, "99 is 11 times 9, but the sink itself is one of the shares."),
                  (1, "The logit is the same, but the sum that it stands in has grown.")])} | how_many()
    return asked.get(shown) or Prediction(
        f"A query sees {EQUAL_KEYS} keys, and all their scores are 0. Which sink logit takes half of the attention?",
        answer=lambda: measure.halving_among_equals(EQUAL_KEYS), because=because, show="{:.2f}".format, mistakes=[
            (0, f"A logit of 0 counts as much as one of the {EQUAL_KEYS} keys, not as much as all of them."),
            (0.5, "Half is the share that is wanted. The logit is what leads to it."),
            (EQUAL_KEYS, "The logit stands in an exponent, and e to that power is far more."),
            (math.log2(EQUAL_KEYS), "That is the logarithm to base 2, but a softmax takes powers of e.")])


def because(logit: float) -> str:
    """What the answer to the prediction means."""
    return (f"The keys' exponentials add up to {EQUAL_KEYS}, so the sink needs a logit of ln {EQUAL_KEYS} to match them. "
            f"At a logit of 0 it would take 1 / {EQUAL_KEYS + 1}, {measure.share_among_equals(EQUAL_KEYS):.2%}: what a "
            "model shows before it has learned anything.")


def how_we_know(study: Study, tokens: text.Tokens) -> None:
    """The closed forms against the weights that the live model recorded."""
    checks = controls.checks(study, tokens.ids, layer_shown(study))
    st.markdown(
        f"In the layer shown, over {study.heads} heads and {checks.queries} queries, at this moment:\n"
        f"- What the model's softmax left to the real keys differs from σ(ln Σ e^s − b) by at most "
        f"**{units.number(checks.formula, 2)}**.\n"
        f"- A key's share of it, in a pass with sinks and in one without, differs by at most "
        f"**{units.number(checks.ratios, 2)}**.\n\n"
        f"The curve and the bars come from the queries and keys of the pass on the screen; what removing does is a second "
        f"pass over the same weights. The tests hold both against the model's own softmax and against the attention "
        f"weights of Hugging Face's `GptOssForCausalLM`.")
    if len(tokens) > controls.MAX_CHECKED:
        st.caption(f":material/content_cut: The first {controls.MAX_CHECKED} of {len(tokens)} tokens.")


def keys_alike(seen: Seen) -> bool:
    """Whether every key that is drawn keeps the same share of its weight, and the sink takes the rest."""
    bars = seen.chart("Attention weights of one query")
    keys = bars[(bars["kind"] != "sink") & (bars["without"] > 1e-3)]
    kept = keys["with"] / keys["without"]
    return bool(kept.max() - kept.min() < 0.01 and abs(1 - kept.mean() - bars["with"].iloc[-1]) < 0.01)


def nothing_is_left_over(seen: Seen) -> bool:
    """Whether the real keys get all of the attention."""
    bars = seen.chart("Attention weights of one query")
    return bars["with"].iloc[-1] < 1e-5 and abs(bars["with"].sum() - 1) < 1e-3


def less_than_one_more_key(seen: Seen) -> bool:
    """Whether the sinks take less than one more key would, and less still of later queries."""
    shares = seen.chart("What the sinks take")
    mean = shares["mean"]
    return bool(mean.mean() < shares["even"].mean() and mean.tail(8).mean() < mean.head(8).mean())


def each_in_its_way(seen: Seen) -> bool:
    """Whether the three small models say nothing in three ways, and all do the same at "again"."""
    bars = seen.chart("On what a head")
    spent = bars[bars["kind"] != ""].groupby(["asks", "model", "kind"])["share"].sum()
    idle = [spent[False, model].drop("other tokens").idxmax() for model in (PLAIN, SINKS, GATED)]
    return idle == ["first token", "sink", "gate shut"] and all(
        spent[True, model].idxmax() == "word before" for model in (PLAIN, SINKS, GATED))


def lesson(study: Study, tokens: text.Tokens, shown: str = HEAD) -> Lesson:
    """All that a view of the page asks, suggests and explains."""
    return Lesson(
        path="sinks", prediction=question(shown),
        tries=[
            Try("Close one head", "The sink of this head grows, and every key keeps one and the same share of its weight. "
                "So the bars get shorter and their order stays.",
                controls={"sinks_view": HEAD, "sinks_scope": "Head", "sinks_logit": "8"}, check=keys_alike),
            Try("Take all sinks away", "This is plain softmax. The real keys get 100% together, so the head has to look "
                "somewhere, whether anything fits or not.",
                controls={"sinks_view": HEAD, "sinks_scope": "All", "sinks_logit": "none"}, check=nothing_is_left_over),
            Try("Nothing learned", "Untrained sinks take less than one more key of equal score would (dashed), because "
                "among scores that scatter some keys stand out. And the more keys, the less is left for the sink.",
                dials={"weights": RANDOM}, controls={"sinks_logit": "own", "sinks_view": BY_POSITION},
                check=less_than_one_more_key),
            Try("Three ways to say nothing", "Where there is nothing to fetch, one model turns to the first token (blue), "
                "one to its sink (pink), and one shuts its gate (grey). At “again” all fetch the word before (orange).",
                controls={"sinks_view": GATES}, check=each_in_its_way),
        ],
        maths=maths(study), code=[explicit_attention, measure.mass_on_keys, measure.run_with_sinks, GatedAttention],
        claims=register.of_page("sinks"),
        checks=lambda: how_we_know(study, tokens))


header("sinks", OPENING)
study = state.study()
above = st.container()
tokens = text.tokens_from_drawer(study.vocabulary)
with above:
    picture(study, tokens)
below(lesson(study, tokens))
