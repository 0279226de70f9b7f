"""GPT-2 beside the model under study: what is held equal, both live on one text, and the views that draw them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import streamlit as st

from gptoss import units
from gptoss.app import controls, kept, pictures, text, verdicts
from gptoss.app.computed import computed, measured
from gptoss.app.live import CACHED_ATTENTION_CELLS, Built, live_run
from gptoss.app.served import MAX_LIVE_TOKENS
from gptoss.app.study import RANDOM, TRAINED, Study
from gptoss.app.verdicts import Claim
from gptoss.app.weights import CHANGED, weights_of
from gptoss.charts import Chart
from gptoss.config import GPT2_PRESETS, GPT2Config, ModelConfig
from gptoss.cost import count_parameters, kv_cache_bytes
from gptoss.cost.matching import ACTIVE, COMPUTE, EQUALS, TOTAL, WIDTH, Match, compared_figure, matched_gpt2, shared_context
from gptoss.lessons.gpt2 import charts, measure
from gptoss.lessons.gpt2.measure import GPT_2, GPT_OSS, REPEATS, Clocks, SharedText
from gptoss.tokenizer import CompactVocabulary
from gptoss.tokenizer.compact_gpt2 import CompactGPT2, compact_gpt2
from gptoss.training.shipped import Shipped, shipped

TABLE, SIZES, NEXT, ATTENTION, TENSORS, TIMES = VIEWS = "Table", "Sizes", "Next token", "Attention", "Tensors", "Clocks"
REAL, OURS = "gpt-oss-20b", "the model under study"
EQUAL, MODEL = controls.Key("gpt2_equal", ACTIVE), controls.Key("gpt2_model", REAL)

CHECKED_TOKENS = 128  # of the text, for the check of attention

_HELD = {WIDTH: ("Width", "{:,}".format), TOTAL: ("Total", units.count), ACTIVE: ("Active", units.count),
         COMPUTE: ("FLOPs per token", units.flops)}


@dataclass(frozen=True)
class Pair:
    """Both sides at the real size and live, and what is held equal.

    Attributes:
        trained: the live GPT-2 where one ships that was trained on the same texts.
    """

    study: Study
    real: Match
    live: Match
    trained: Shipped | None = None

    @property
    def untrained(self) -> Pair:
        """The same with a GPT-2 of random weights, which has positions for longer texts: for what only takes time."""
        return replace(self, live=matched_gpt2(self.study.live_config, self.live.equal, self.study.context), trained=None)

    @property
    def gpt2(self) -> Built:
        """The live GPT-2: trained on the same texts where the model under study was, else with random weights."""
        if self.trained:
            return Built(measure.trained_gpt2, (self.trained.config, self.trained.name, self.study.precision))
        return Built(measure.random_gpt2, (self.live.config, self.study.seed, self.study.precision))

    @property
    def gpt2_vocabulary(self) -> CompactVocabulary | CompactGPT2:
        """What the live GPT-2 reads: one that was trained beside GPT-OSS has the same tokens."""
        return self.trained.vocabulary if self.trained else compact_gpt2(self.live.config.vocab_size)

    def same_text(self, words: str, special: bool) -> SharedText:
        """The beginning of the text that both live models can read, in the tokens of each."""
        return measure.shared_text(words, self.study.vocabulary, self.gpt2_vocabulary, self.most_tokens, special)

    @property
    def most_tokens(self) -> int:
        """Of a text that run in both: a trained GPT-2 has positions for the texts of its training alone."""
        return min(MAX_LIVE_TOKENS, self.live.config.max_context_length)


def pair(study: Study, equal: str) -> Pair:
    """The study and the GPT-2 matched to it, at the real size and live. An unknown `equal` is active parameters."""
    equal = equal if equal in EQUALS else ACTIVE
    real, live = (matched_gpt2(config, equal, study.context) for config in (study.config, study.live_config))
    weights = weights_of(study)
    beside = measure.trained_beside(weights.name) if equal == ACTIVE and weights.kind in (TRAINED, CHANGED) else None
    if beside:
        live = Match(beside.config, equal, live.wanted, compared_figure(beside.config, equal, study.context))
    return Pair(study, real, live, beside)


def setting() -> tuple[str, str]:
    """What is held equal, and what is shown."""
    with controls.row():
        view = controls.view(VIEWS, "gpt2_view", "Shown")
        equal = kept.selectbox("Held equal", EQUALS, EQUALS.index(EQUAL.default), key=EQUAL.name, width=260,
                               help="GPT-2 is made as large as it takes to have as wide and as many layers, as many "
                                    "parameters, as many active ones, or as many FLOPs per token.")
    return equal, view


def choose_real(study: Study) -> None:
    """Which GPT-OSS stands in table and sizes, where a small one is under study."""
    if is_small(study):
        kept.segmented_control("GPT-OSS in this picture", (REAL, OURS), key=MODEL.name)


def of_real_size(study: Study) -> Study:
    """Whose table and sizes are shown: gpt-oss-20b in place of a small model, unless the reader wants that one."""
    return Study.of_preset(REAL) if is_small(study) and MODEL.value == REAL else study


def is_small(study: Study) -> bool:
    """Whether a model is smaller than GPT-2 XL, which OpenAI trained five years before gpt-oss."""
    return count_parameters(study.config).total < count_parameters(GPT2_PRESETS["gpt2-xl"]).total


def draw(both: Pair, view: str, words: str, special: bool, claims: Mapping[str, Claim]) -> None:
    """The chosen view of both, and what is held equal. `claims` are what people say, by number, for the table."""
    if view == TABLE:
        table(both, claims)
    elif controls.has_text(words, "both models read it"):
        if view == SIZES:
            sizes(both, words)
        else:
            both = both.untrained if view == TIMES else both
            same = both.same_text(words, special)
            {ATTENTION: attention, TENSORS: tensors, TIMES: clocks, NEXT: next_tokens}[view](both, same)
            say_the_text(both, same)
    st.markdown(match_in_words(both, live=view not in (SIZES, TABLE)))


def match_in_words(both: Pair, live: bool) -> str:
    """Which GPT-2 the model under study is compared with, and how near the match came."""
    match = both.live if live else both.real
    config = match.config
    what, show = _HELD[match.equal]
    near = "exactly" if match.wanted == match.reached else units.signed(match.error, units.percent)
    return (f"**{'Live GPT-2' if live else 'GPT-2'}**: {units.plural(config.num_hidden_layers, 'layer')}, width "
            f"{config.hidden_size:,}, {units.plural(config.num_attention_heads, 'head')}, "
            f"{units.count(count_parameters(config).total)} parameters. {what}: {show(match.reached)}, where "
            f"{show(match.wanted)} is wanted ({near}).")


def say_the_text(both: Pair, same: SharedText) -> None:
    """How many tokens each live model reads, and what was cut."""
    used = same.gptoss.characters_used
    cut = "" if used >= same.characters else (
        f" :material/content_cut: The first {used:,} of {same.characters:,} characters, which both can read in "
        f"{both.most_tokens} tokens.")
    read = f"GPT-OSS in {units.plural(len(same.gptoss.ids), 'token')}, GPT-2 in {len(same.gpt2.ids)}"
    st.caption(f"Both live models read the same {units.plural(len(same.gptoss.ids), 'token')}.{cut}" if both.trained else
               f"The live models read the same text in their own small vocabularies: {read}.{cut}")


def whose_weights(both: Pair) -> str:
    """What may be compared: the model under study was trained, and GPT-2 on the same texts, or one or both never were."""
    weights = weights_of(both.study)
    if both.trained:
        texts = "the same texts" if shipped()[weights.name].texts == both.trained.texts else "texts of the same kinds"
        return (f"Both were trained on {both.trained.trained_on}: {texts} in the same tokens, by the same recipe with equal "
                f"active parameters. GPT-OSS has {weights.words}.")
    if weights.kind == RANDOM:
        return f"Nothing here was trained: GPT-2 and GPT-OSS have {weights.words}, and guess by chance."
    return (f"GPT-2's weights are random, GPT-OSS has {weights.words}: what it knows better it owes to its training, not to "
            "its design. The page Training trains both alike.")


def sizes(both: Pair, words: str) -> None:
    """What both cost at their real sizes, and what GPT-2 cannot do at the sidebar's context."""
    study, gpt2 = both.study, both.real.config
    with pictures.main():
        pictures.show_chart(_size_chart(study.config, gpt2, study.context, words), key="gpt2_sizes")
    shared = shared_context(study.context)
    if study.context > shared:
        st.caption(f":material/block: GPT-2 has {shared:,} positions and reads no more. At {study.context:,} tokens the "
                   f"cache of {study.name} holds {units.size(kv_cache_bytes(study.config, study.context))}. Cache "
                   f"and FLOPs above, of one more token: at {shared:,} for both.")
    else:
        st.caption(f"Cache and FLOPs, of one more token, at {study.context:,} tokens, the context chosen. GPT-2 has "
                   f"positions for {gpt2.max_context_length:,}.")


@lru_cache(maxsize=64)
def _size_chart(config: ModelConfig, gpt2: GPT2Config, context: int, words: str) -> Chart:
    tokens = measure.real_tokens(words)
    return charts.size_bars(measure.sizes(config, gpt2, context, tokens), charts.figure)


def table(both: Pair, claims: Mapping[str, Claim]) -> None:
    """Both row by row, with what people say about a row and what became of it."""
    rows = measure.comparison(both.real.config, both.study.config, both.study.context)
    known = {number: verdicts.known(claims[number], both.study) for row in rows for number in row.claims}
    with pictures.main():
        st.html(charts.comparison_table(rows, {
            number: (claims[number].origin, claims[number].sentence, verdict.verdict if verdict else verdicts.OPEN,
                     _plain(verdict.sentence) if verdict else "") for number, verdict in known.items()}, both.study.name))


def _plain(markdown: str) -> str:
    """A sentence without the marks that Markdown takes for its own."""
    return re.sub(r"[`\\]", "", markdown)


next_probabilities = computed(measure.next_probabilities, entries=64)
recorded = computed(measure.recorded, entries=8, when=lambda model, ids, layer: (
    len(ids) ** 2 * model.values[0].num_attention_heads <= CACHED_ATTENTION_CELLS))
timed = measured(measure.clocks, entries=32, doing="Measuring …")
attention_difference = computed(measure.attention_difference)


def next_tokens(both: Pair, same: SharedText) -> None:
    """What each expects after the text."""
    study = both.study
    sides = ((GPT_2, both.gpt2, same.gpt2.ids, text.vocabulary_labels(both.gpt2_vocabulary)),
             (GPT_OSS, study, same.gptoss.ids, text.vocabulary_labels(study.vocabulary)))
    with pictures.main():
        places = st.columns(2, gap="medium")
        for place, (name, model, ids, labels) in zip(places, sides, strict=True):
            likely = next_probabilities(model, tuple(ids))
            with place:
                pictures.show_chart(charts.likely_tokens(name, labels, likely, measure.entropy(likely)),
                                     key=f"gpt2_next_{name}")
    st.caption(whose_weights(both) + ("" if both.trained else (
        " Bits a token cannot be compared across vocabularies. But how near each comes to the most that its own vocabulary "
        "allows can be.")))


def _runs(both: Pair, same: SharedText, layer: int) -> tuple[dict, dict, int]:
    """One pass of each with the inside of one layer, GPT-2's at the same depth, and which layer that is."""
    other = measure.same_depth(layer, both.study.live_config.num_hidden_layers, both.live.config.num_hidden_layers)
    return (live_run(both.study, tuple(same.gptoss.ids), layer).trace, recorded(both.gpt2, tuple(same.gpt2.ids), other),
            other)


def _layer_beside(study: Study) -> tuple[int, pictures.Main]:
    """The layer whose inside is shown, at the left, and the place of the picture."""
    beside, right = st.columns([2, 9], gap="medium")
    with beside:
        layer = controls.layer(study, "Layer of GPT-OSS")
    with right:
        return layer, pictures.main()


def attention(both: Pair, same: SharedText) -> None:
    """All heads of a layer of each, at the same depth."""
    layer, place = _layer_beside(both.study)
    ours, theirs, other = _runs(both, same, layer)
    with place:
        left, right = st.columns(2, gap="medium")
        with left:
            weights = theirs[f"block.{other}.attn.weights"][0].float().numpy()
            pictures.show_picture(charts.all_heads(GPT_2, weights, None),
                                   f"GPT-2, layer {other}: {units.plural(len(weights), 'head')}, no sink, no window.")
        with right:
            weights, sink = (ours[f"block.{layer}.attn.{name}"][0].float().numpy() for name in ("weights", "sink_mass"))
            pictures.show_picture(
                charts.all_heads(GPT_OSS, weights, sink),
                f"GPT-OSS, layer {layer}: {units.plural(len(weights), 'head')}. Pink is what the sink takes.")
    st.caption(whose_weights(both))


def tensors(both: Pair, same: SharedText) -> None:
    """Names and shapes of both passes in parallel columns."""
    layer, place = _layer_beside(both.study)
    ours, theirs, other = _runs(both, same, layer)
    with place:
        st.html(charts.tensor_columns(measure.aligned(ours, theirs, layer, other)))
    st.caption(f"GPT-2's layer {other}, GPT-OSS's layer {layer}. GPT-2 adds a learned position to its embedding; GPT-OSS "
               "turns queries and keys instead. Shapes begin with the batch.")


@st.fragment
def clocks(both: Pair, same: SharedText) -> None:
    """Times on this machine: measured when asked for, and remembered."""
    study = both.study
    work = (study.live_config, both.live.config, study.seed, study.precision, (tuple(same.gptoss.ids), tuple(same.gpt2.ids)))
    beside, right = st.columns([3, 9], gap="medium")
    pressed = beside.button("Measure both", icon=":material/timer:", key="gpt2_measure", type="primary")
    with right, pictures.main():
        _show_clocks(study, timed.again(*work) if pressed else timed.known(*work))


def _show_clocks(study: Study, result: Clocks | None) -> None:
    if result is None:
        build, read, write = REPEATS.values()
        st.info(f"Nothing is measured yet. Both are built {build} times, read the text {read} times and write {write} "
                "tokens, taking turns.", icon=":material/timer:")
        return
    memory = "; ".join(f"{model}: weights {units.size(weights)}, cache {units.size(cache)}"
                       for model, (weights, cache) in result.held.items())
    pictures.show_chart(charts.clock_spread(result.times), key="gpt2_clocks", words=(
        f"Medians, with the middle half of the measurements as a line. Live models in {study.precision}, "
        f"{units.plural(result.threads, 'thread')}. Bytes their tensors hold after the text: {memory}. Small models on a "
        "processor mostly wait between small steps: these times say little about the real sizes."))
