"""The sinks page's controls, its passes through the live model, and the view of what the sinks do to it."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import streamlit as st
import torch

from gptoss.app import controls, kept, pictures, recorded, text
from gptoss.app.accounts import remembered
from gptoss.app.computed import computed, traced
from gptoss.app.live import Built
from gptoss.app.named_heads import heads_with_names
from gptoss.app.study import Study
from gptoss.app.weights import weights_in_words
from gptoss.charts import next_token, tensor_picture
from gptoss.lessons.sinks import charts, measure
from gptoss.lessons.sinks.claims import check_sinks
from gptoss.lessons.sinks.measure import (
    FIRST_LOGIT,
    FIRST_QUERY,
    NONE,
    OWN,
    REMOVED,
    SCOPE_NAMES,
    SHUT,
    TO_BEFORE,
    TO_FIRST,
    TO_SINK,
    SinkChecks,
    SinkOverride,
    SinkPass,
)
from gptoss.training.domains import Documents
from gptoss.training.echo import CONTESTANTS, SEEDS, history, load
from gptoss.training.echo.corpus import ECHO, EchoCorpus
from gptoss.training.head_names import SINK, NamedHead, name_of, strongest

LOGITS = (OWN, NONE, *(f"{quarter / 4:g}" for quarter in range(-32, 33)))
MUCH = 0.75  # of a query's attention
MAX_CHECKED = 128  # tokens; the checks keep every weight of every head twice
ECHO_TEXTS, ECHO_TOKENS, MEASURED = 8, 20, 64  # texts to choose from, tokens shown of each, texts that are averaged over


class Setting(NamedTuple):
    """What the page's own controls say."""

    layer: int
    head: int
    position: int  # of the query
    scope: str  # whose sinks are set: one of `measure.SCOPES`
    logit: float | None  # what they are set to, None for what they are

    @property
    def override(self) -> SinkOverride | None:
        """The sinks as they are set, None where nothing is overridden."""
        return None if self.logit is None else SinkOverride(self.logit, self.scope, self.layer, self.head)

    @property
    def without(self) -> SinkOverride:
        """The same heads without their sinks."""
        return SinkOverride(REMOVED, self.scope, self.layer, self.head)


own_pass = traced(measure.sink_pass_of, names=measure.SINK_TENSORS)


def resting(study: Study, tokens: text.Tokens) -> NamedHead | None:
    """The head that rests most on its sink on this text, as far as one does."""
    return next((head for head in strongest(heads_with_names(study, tokens)) if head.name == SINK), None)


def at_rest(study: Study, tokens: tuple[int, ...], head: NamedHead) -> int:
    """A query in the later half of a text from which a head's sink takes much, and leaves some to be seen."""
    shares = own_pass(study, tokens, head.layer).sink_mass[head.head]
    return len(tokens) // 2 + int((shares[len(tokens) // 2:] - MUCH).abs().argmin())


def setting(study: Study, tokens: text.Tokens) -> Setting:
    """Layer, head, query token, and the dial that sets the sinks: at first the head that rests most, where one does."""
    rests = resting(study, tokens)
    layer = controls.layer(study, first=rests.layer if rests else 0)
    head = controls.head(study, "Query head", first=rests.head if rests else 0)
    position = controls.token(len(tokens), at_rest(study, tokens.ids, rests) if rests else FIRST_QUERY, "Query token")
    scope = kept.segmented_control("Which sinks are set", SCOPE_NAMES, default="Layer", key="sinks_scope",
                                   width="stretch")
    [logit] = controls.main_sliders(controls.Main(
        "Sink logit", "sinks_logit", LOGITS, FIRST_LOGIT,
        "own: as in the model. none: no sink at all. Otherwise one number for the sinks named above, in place of their own. "
        "Every weight stays."))
    return Setting(layer, head, position, SCOPE_NAMES.get(scope, measure.LAYER), measure.logit_of(logit))


set_pass = computed(measure.run_with_sinks)


def sink_pass(study: Study, tokens: tuple[int, ...], layer: int, override: SinkOverride | None) -> SinkPass:
    """The live model's pass over a text, its sinks overridden or as they are."""
    return own_pass(study, tokens, layer) if override is None else set_pass(study, tokens, layer, override)


def said_of(study: Study, tokens: text.Tokens, setting: Setting) -> str:
    """What the head in question is known for on this text, in a sentence, or nothing."""
    named = name_of(heads_with_names(study, tokens), setting.layer, setting.head)
    if setting.override or named is None:
        return ""
    return f"Over the whole text this head {named.words}, so its name is “{named.name}”."


def checks(study: Study, tokens: tuple[int, ...], layer: int) -> SinkChecks:
    """What is said of sinks, compared with the live model's weights in one layer.

    Over the first `MAX_CHECKED` tokens of the text, or of the first example where there is no text.
    """
    tokens = tokens or text.example_tokens(study).ids
    return check_sinks(study, tokens[:MAX_CHECKED], layer)


def one_head(study: Study, tokens: text.Tokens, setting: Setting, now: SinkPass) -> None:
    """The gate of one head, and one query's weights with the sink and without it."""
    query, head = now.query(setting.position), setting.head
    own = own_pass(study, tokens.ids, setting.layer).sinks[head].item()
    gate = charts.sink_gate(measure.gate_curves(query, head), query.sinks.numpy(), query.mass.numpy(),
                            query.halving[head].item(), head, own if setting.override else None)
    weights = charts.gated_weights(query.weights(head).numpy(), query.weights_without(head).numpy(),
                                   tokens.labels[query.first_key:query.position + 1], query.first_key)
    gates, shares = st.columns(2, gap="medium")
    with gates:
        pictures.show_chart(gate, key="sinks_gate", on_select=controls.picks("sinks_gate", head="head"),
                            words=said_of(study, tokens, setting))
    with shares:
        pictures.show_chart(weights, key="sinks_weights")


def removed(study: Study, tokens: text.Tokens, setting: Setting, now: SinkPass, told: bool) -> None:
    """The same weights with and without sinks: the next token, and once it may be `told` what becomes of the answers."""
    without = sink_pass(study, tokens.ids, setting.layer, setting.without)
    effect = measure.removal(now, without, setting.position, setting.head)
    pictures.show_chart(next_token(
        text.vocabulary_labels(study.vocabulary), now.probabilities.numpy(), top=5,
        before=without.probabilities.numpy(), without="without the sinks"), key="sinks_next")
    moved = (f"Compared with the same weights without these sinks, {effect.moved:.1%} of the probability lies on other "
             "tokens.")
    if not told:
        st.caption(f"{moved} What becomes of the head's answer is told here once you have given yours below.")
        return
    st.markdown(
        f"{moved}\n"
        f"- **The head's answer** is {effect.head_length:.3f} times as long as without them; the cosine between the two is "
        f"{effect.head_cosine:.4f}.\n"
        f"- **What layer {setting.layer} adds** to this token is {effect.layer_length:.3f} times as long. Its cosine is "
        f"{effect.layer_cosine:.4f}, because each head closes by its own factor.")


def by_position(study: Study, now: SinkPass) -> None:
    """What the sinks of the layer take from the query at each position."""
    pictures.show_chart(charts.sink_share(measure.sink_share_by_position(now.sink_mass, now.window)),
                        key="sinks_by_position", words=(
        "Dashed: 1 / (n + 1), what a sink of 0 takes among n equal scores of 0, which is what a model shows before it has "
        f"learned anything. Uneven scores favour keys over a sink. Drawn: {weights_in_words(study)}."))


def replayed() -> None:
    """What the sinks of a recorded model took, in one layer by position and in all of them by head."""
    side, large = st.columns([5, 13], gap="medium")
    with side:
        shown = recorded.choose_text()
        layer = recorded.choose_layer(shown)
    mass = shown.text.shares("sinks")
    shares = measure.sink_share_by_position(torch.from_numpy(mass[layer]), shown.replay.config.window_of(layer))
    with large, pictures.main():
        pictures.show_chart(charts.sink_share(shares), key="sinks_recorded")
        pictures.show_picture(tensor_picture(mass.mean(axis=2), enlarge=False),
                              "A row for each layer, the first on top, and a column for each head: the fuller, the more its "
                              f"sink took of this text, {mass.mean():.0%} on average.")
        recorded.say_so(shown)


def of_all_sinks() -> tuple[float, float]:
    """What the sinks took on average over all that was recorded, and what a sink of 0 takes among equal scores, in %."""
    replay = recorded.recording()
    config, texts = replay.config, replay.texts
    taken = sum(text.shares("sinks").mean(axis=(0, 1)).sum() for text in texts)
    even = [measure.sink_share_by_position(torch.zeros(1, len(text.tokens)), config.window_of(layer))["even"]
            for text in texts for layer in range(config.num_hidden_layers)]
    return float(100 * taken / sum(len(text.tokens) for text in texts)), float(100 * pd.concat(even).mean())


def _echoes() -> Documents:
    """The texts on which the three small models are measured: none of them was trained on."""
    return EchoCorpus().validation(MEASURED)[ECHO]


habits = computed(lambda model: measure.habits(model, _echoes()))
spending = computed(lambda model, text: measure.spending(
    model, torch.as_tensor(_echoes().tokens[text:text + 1, :ECHO_TOKENS]))[0])


def _three(seed: int = 0) -> dict[str, Built]:
    return {name: Built(load, (name, seed)) for name in CONTESTANTS}


def sinks_or_gates() -> None:
    """Three small models that were trained alike, and on what a head of each spends itself."""
    side, large = st.columns([5, 9], gap="medium")
    with side:
        st.markdown("**What a head does when it has nothing to say.** In these texts “again” says once more the word before "
                    "it. Only there does a head have something to fetch.")
        chosen = kept.select_slider("Text", range(1, ECHO_TEXTS + 1), 2, key="sinks_echo") - 1
    documents, vocabulary = _echoes(), EchoCorpus().vocabulary
    labels = [vocabulary.label(token) for token in documents.tokens[chosen, :ECHO_TOKENS].tolist()]
    shares = {name: spending(key, chosen)[measure.fetching_head(habits(key))] for name, key in _three().items()}
    with large, pictures.main():
        pictures.show_chart(charts.spent_rows(shares, measure.SPENT, labels,
                                              documents.distance[chosen, 1:ECHO_TOKENS + 1] > 0), key="sinks_echoes")
    st.table(_three_in_figures(), hide_index=True, alt="What the three models lose, and where their heads turn")
    st.caption(how_the_three_were_made())


@remembered
def _three_in_figures() -> pd.DataFrame:
    """Of each model and head: where it turns with nothing to fetch, where with something, and the loss above the floor."""
    rows = []
    for name, key in _three().items():
        idle, busy = (of.set_index("head") for _, of in habits(key).groupby("fetches"))
        silent = {"sinks": TO_SINK, "gated": SHUT}.get(CONTESTANTS[name].name)
        above = [history(name, seed)["evaluations"] for seed in SEEDS]
        rows.append((name, *(" · ".join(f"{of.loc[head, kind]:.0%}" for head in of.index) if kind else "–" for of, kind in (
            (idle, TO_FIRST), (idle, silent), (busy, TO_BEFORE))),
            " · ".join(f"{one[max(one, key=int)]['losses'][ECHO] - history(name)['floor']:.3f}" for one in above)))
    return pd.DataFrame(rows, columns=["Model", "nothing to fetch: first token", "nothing to fetch: sink or gate",
                                       "at “again”: the word before", "loss above floor (nats)"])


@remembered
def how_the_three_were_made() -> str:
    """What is behind the picture, and where the idea comes from."""
    recipe = history(next(iter(CONTESTANTS)))["recipe"]
    return (f"Each of the three has one layer and two heads, and was trained for {recipe['steps']:,} steps of "
            f"{recipe['batch']} texts of {recipe['length']} tokens, from two seeds. The picture shows the head that "
            f"fetches most, at seed {SEEDS[0]}. Each cell of the table has head 0 and then head 1; its last column has "
            "both seeds, and says how far their loss is above the least possible. Gates: arXiv 2505.06708. Gates and sinks "
            "compared: "
            "2602.01203. Texts after 2410.13835.")
