"""The sampling page's controls, and its three views: a distribution, draws from it, and texts that grow out of it."""

from __future__ import annotations

import re
from functools import partial
from typing import NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import controls, kept, pictures, text
from gptoss.app.computed import computed, traced
from gptoss.app.controls import Key, Main, every
from gptoss.app.glossary import word
from gptoss.app.large import TooLong
from gptoss.app.lesson import Seen, Try
from gptoss.app.markdown import literal
from gptoss.app.positions import spelt_number
from gptoss.app.study import RANDOM, Study
from gptoss.app.weights import weights_in_words, weights_of
from gptoss.charts import next_token
from gptoss.lessons.sampling import charts, measure
from gptoss.lessons.sampling.charts import Continuation
from gptoss.lessons.sampling.measure import CONTINUATIONS, FIRST, FIRST_DRAWS, Dials, Stages

OFF = "off"
TEMPERATURE: Key[float] = Key("sampling_temperature", FIRST.temperature)
TOP_K: Key[int | str] = Key("sampling_k", FIRST.top_k or OFF)
TOP_P: Key[float] = Key("sampling_p", FIRST.top_p)
SEED: Key[int] = Key("sampling_seed", 0)
KS = (OFF, 1, 2, 3, 5, 10, 20, 50, 100, 200)
DRAWS = (FIRST_DRAWS, 100, 500)
SEEDS = range(0, 10_000, DRAWS[-1])  # the first of as many as any view draws from
TOKENS_SHOWN = 10
CONTEXT_SHOWN = 8  # tokens before the one that is predicted
CHECKED_SEEDS = 8
COLUMNS = [3, 10]

logits_after = traced(measure.logits_after, names=("logits",), inside=False, entries=32)
_telling = traced(measure.telling_position, names=("logits",), inside=False, entries=32)
stages = computed(measure.stages, entries=64)
draws = computed(measure.draws, entries=64)
continuation = computed(measure.continuation, entries=256, many_passes="Writing a dozen continuations")
difference = computed(measure.difference_to_written_out)
seeds_kept = computed(measure.seeds_kept, many_passes="Asking several seeds")


class Place(NamedTuple):
    """Where the next token is asked for, and how it is sampled."""

    position: int  # of the last token that the model reads
    dials: Dials


def telling_position(study: Study, tokens: text.Tokens) -> int:
    """Where to go on from at first: where the model, as it was trained, is neither sure nor clueless.

    So it is found once a text, and not anew while a dial is dragged. Random weights know no such place: there it is the end.
    """
    own = study.as_trained
    if not own or not len(tokens) or weights_of(own).kind == RANDOM:
        return max(len(tokens) - 1, 0)
    return _telling(own, tokens.ids)


def setting(study: Study, tokens: text.Tokens) -> Place:
    """The token after which the model is asked, and the three dials."""
    position = controls.token(len(tokens), telling_position(study, tokens), "Go on after token")
    read = _text(study, tokens.ids[max(0, position + 1 - CONTEXT_SHOWN):position + 1])
    st.caption(f"{'… ' * (position >= CONTEXT_SHOWN)}{literal(' '.join(read.split()))} **?**")
    temperature, top_k, top_p = controls.main_sliders(
        Main("Temperature", TEMPERATURE.name, every(0, 2, 0.05), TEMPERATURE.default,
             "Logits are divided by it. 1: as the model is. 0: always the most likely token, which is called greedy.",
             spelt_number),
        Main("Top-k", TOP_K.name, KS, TOP_K.default, "Keeps the k most likely tokens."),
        Main("Top-p", TOP_P.name, every(0.05, 1, 0.05), TOP_P.default,
             "Keeps the most likely tokens until they hold this share. 1: off.", spelt_number))
    return Place(position, _dials(temperature, top_k, top_p))


def place_shown(study: Study, tokens: text.Tokens) -> Place:
    """The same for what is drawn apart from the controls."""
    position = controls.token_shown(len(tokens), telling_position(study, tokens))
    return Place(position, _dials(TEMPERATURE.value, TOP_K.value, TOP_P.value))


def _dials(temperature: float, top_k: int | str, top_p: float) -> Dials:
    return Dials(temperature, None if top_k == OFF else top_k, None if top_p == 1 else top_p)


def distribution(study: Study, tokens: text.Tokens, place: Place, _: DeltaGenerator) -> None:
    """The next token before and after the dials, where the cuts fall, and what each dial does in its turn."""
    found = stages(logits_after(study, tokens.ids, place.position), place.dials)
    model, warm, last = (stage.probabilities.numpy() for stage in (found.model, found.temperature, found.last))
    best = np.argsort(-model, kind="stable")[:TOKENS_SHOWN]
    names = text.vocabulary_labels(study.vocabulary)
    with pictures.main():
        pictures.show_chart(next_token([names[token] for token in best.tolist()], last[best], top=TOKENS_SHOWN,
                                       before=model[best], without="before the dials"), key="sampling_next", height=370,
                            words="Outlined and in brackets: as the model gave it, before temperature and cuts.")
    summary(study, found)
    goal = place.dials.top_p and place.dials.top_p * found.top_k.held
    pictures.show_chart(charts.cumulative(model, warm, found.last.left, goal), key="sampling_cumulative")
    table(found, place.dials)


def summary(study: Study, found: Stages) -> None:
    """What is left, and how hard the next token is to guess, before and after the dials."""
    model, last, vocab = found.model, found.last, study.live_config.vocab_size
    guess = "The next one is certain" if last.left == 1 else (
        f"The next one is as hard to guess as among **{units.number(last.as_many_as, 3)} equally likely tokens**")
    st.markdown(
        f"**{last.left:,} of {vocab:,} tokens {'is' if last.left == 1 else 'are'} left**, with {units.percent(last.held)} "
        f"of the probability at this temperature. {guess} ({word('entropy')} {units.fixed(last.entropy)} "
        f"{word('nat', 'nats')}). Before the dials it was as hard as among {units.number(model.as_many_as, 3)} "
        f"({units.fixed(model.entropy)} nats).")


def table(found: Stages, dials: Dials) -> None:
    """The dials in the order in which they are applied, and what is left after each."""
    names = ("the model", f"temperature {dials.temperature:g}", f"top-k {dials.top_k or OFF}",
             f"top-p {dials.top_p or OFF}")
    found_stages = (found.model, found.temperature, found.top_k, found.top_p)
    st.html(charts.order([charts.Row(name, stage.left, stage.held, stage.entropy, stage.as_many_as)
                          for name, stage in zip(names, found_stages, strict=True)]))
    lost = len(found.model.probabilities) - found.temperature.left
    words = "Greedy: at temperature 0 one token has everything, and there is nothing left to cut. " if (
        not dials.temperature) else (f"So cold that {lost:,} tokens have less than a 32-bit number can hold: they count as "
                                     "cut. " if lost else "")
    st.caption(f"{words}Each row starts from the one above. *Held together*: what the tokens left had at this temperature "
               "before any was cut; what they have now adds up to 100%. *Entropy*: the mean surprise of a draw, −ln of its "
               "probability, in nats; 0 where one token is certain. *As hard as among*: so many equally likely tokens "
               "would be as hard to guess; it is e to the power of the entropy.")


def drawing(study: Study, tokens: text.Tokens, place: Place, beside: DeltaGenerator) -> None:
    """Draws from the distribution, one a seed, beside their probabilities."""
    logits = logits_after(study, tokens.ids, place.position)
    found = stages(logits, place.dials)
    with beside:
        count = kept.select_slider("Draws", DRAWS, key="sampling_draws")
        first = _first_seed()
    ids = draws(logits, place.dials, first, count)
    with pictures.main():
        pictures.show_chart(
            charts.drawn(text.vocabulary_labels(study.vocabulary), ids.numpy(), found.last.probabilities.numpy()),
            key="sampling_drawn", words=(
                f"Outlined and in brackets: the probability times {count}. A seed is a number from which all chance is "
                f"computed: seeds {first:,} to {first + count - 1:,} draw once each, and the same seed always draws the "
                "same token. Twenty draws are far from their probabilities; more come nearer."))
    summary(study, found)


def texts(study: Study, tokens: text.Tokens, place: Place, beside: DeltaGenerator) -> None:
    """What grows out of the same beginning from a dozen seeds, beside the greedy continuation."""
    with beside:
        first = _first_seed()
    with pictures.main():
        spot = st.empty()
    beginning = tokens.ids[:place.position + 1]
    try:
        greedy = continuation(study, beginning, Dials(0.0), 0)
        found = [Continuation("temperature 0, greedy", _text(study, greedy), "")]
        written = set()
        for seed in range(first, first + CONTINUATIONS):
            ids = continuation(study, beginning, place.dials, seed)
            written.add(ids)
            found.append(_card(study, f"seed {seed:,}", ids, greedy))
            spot.html(charts.continuations(found))
    except TooLong as why:
        st.info(str(why), icon=":material/hourglass:")
        return
    apart = sum(bool(card.own) for card in found)
    st.caption(f"{CONTINUATIONS} texts of {measure.NEW_TOKENS} tokens each, written after token {place.position} with "
               f"{weights_in_words(study)}. {_how_different(len(written), apart)} Each token is drawn from a distribution "
               "that depends on all tokens before it, so texts that have parted rarely meet again.")
    summary(study, stages(logits_after(study, tokens.ids, place.position), place.dials))


def _how_different(texts: int, apart: int) -> str:
    """How many of the texts differ from each other, and from the greedy one."""
    if texts == 1:
        return f"All are the same text{', and not the greedy one.' if apart else ', the greedy one.'}"
    leave = "one leaves" if apart == 1 else f"{apart} leave"
    return f"Of these {texts} are different from each other, and {leave} the greedy text; marked is what follows from there."


VIEWS = {"Distribution": distribution, "Draws": drawing, "Twelve continuations": texts}
DISTRIBUTION, _, TEXTS = VIEWS


def _all_greedy(seen: Seen) -> bool:
    return "All are the same text, the greedy one." in seen.words


def _tail_holds_most(seen: Seen) -> bool:
    rows = seen.chart("hold together").query("what == 'curve' and kind == 'at this temperature'")
    return float(rows[rows["rank"] <= 10]["share"].max()) < 0.5


def _half_is_cut(seen: Seen) -> bool:
    cold = re.search(r"\*\*([\d,]+) of ([\d,]+) tokens (?:is|are) left\*\*, with ([\d.]+)%", seen.words)
    left, of = (int(cold[place].replace(",", "")) for place in (1, 2))
    return left < of / 4 and 50 <= float(cold[3]) < 75


_FREE = {TOP_K.name: OFF, TOP_P.name: 1.0}
TRIES = (
    Try("Greedy", "At temperature 0 every seed writes the same text, because the most likely token has everything. Now move "
        "the temperature up, step by step.",
        controls=_FREE | {TEMPERATURE.name: 0.0, "sampling_view": TEXTS}, check=_all_greedy),
    Try("Too hot", "At temperature 2 with nothing cut, the ten most likely tokens together hold less than half: most draws "
        "come from the long tail.",
        controls=_FREE | {TEMPERATURE.name: 2.0, "sampling_view": DISTRIBUTION}, check=_tail_holds_most),
    Try("Hot, with the tail cut off", "Top-p 0.5 keeps only the likeliest tokens that hold half, less than a quarter of the "
        "vocabulary. So even at temperature 2 the texts stay closer to words that fit.",
        controls={TOP_K.name: OFF, TEMPERATURE.name: 2.0, TOP_P.name: 0.5, "sampling_view": TEXTS}, check=_half_is_cut))


def _first_seed() -> int:
    """The first seed that draws, and a button that goes on to others."""
    def go_on() -> None:
        SEED.set((SEED.value + SEEDS.step) % SEEDS.stop)

    first = controls.choose("Seeds from", SEEDS, SEED.name)
    st.button("Other seeds", icon=":material/casino:", on_click=go_on, key="sampling_reseed")
    return first


def _text(study: Study, ids: tuple[int, ...]) -> str:
    return study.vocabulary.decode(ids)


def _card(study: Study, name: str, ids: tuple[int, ...], greedy: tuple[int, ...]) -> Continuation:
    """A text in two parts: as far as it is the greedy one, and from there on."""
    return Continuation(name, *measure.in_two_parts(ids, greedy, partial(_text, study)))
