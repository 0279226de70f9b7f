"""What is to be trained: the models, their data and schedule, and the curve that the audience expects."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from gptoss import units
from gptoss.app import kept
from gptoss.app.controls import Own
from gptoss.app.hall import asking, seat
from gptoss.app.jobs import MOST_BYTES, MOST_MINUTES, MOST_STEPS, MOST_TOKENS
from gptoss.app.lesson import Seen
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.lessons.training.measure import DEFAULTS, LENGTH, MIXTURE, SOURCES, TEXT
from gptoss.training.contest import MOST, Plan
from gptoss.training.contestants import BASELINE, STUDY, Contestant, contestants
from gptoss.training.corpus import DOMAINS, LARGEST_TEXT, OWN, Mixture, read_own_text
from gptoss.training.recipe import PRECISIONS, Recipe

PINNED = "pinned"

STEPS = (4, 10, 20, 50, 100, 200, 300, 500, 750, 1000, 1500, 2000)
BATCHES = (4, 8, 16, 32, 64)
PEAKS = (1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 4e-3, 6e-3, 8e-3, 1e-2, 1.5e-2, 2e-2, 3e-2, 0.1, 0.3, 1.0, 10.0)
WARMUPS = (0, 1, 2, 5, 10, 20, 30, 50, 100, 200)
FLOORS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
CLIPS = (0.1, 0.3, 1.0, 3.0, 10.0, 1000.0)
ACCUMULATIONS = (1, 2, 4)
BALANCES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
GUESSES = 5  # places of the drawn curve
COMPARED = "training_compared"  # the key of the switch that shows the recorded run beside it
CLASS = "training_class"  # the key of the switch that lays the room's curves under the run
LARGEST_GUESS = 10.0  # nats

SCHEDULE = (("Steps", "steps", STEPS, "Optimizer steps of every model."),
            ("Documents a step", "batch", BATCHES, f"Of {LENGTH} tokens each: all models read the same."),
            ("Peak learning rate", "peak", PEAKS, "The largest, after the warmup."),
            ("Warmup (steps)", "warmup", WARMUPS, "Steps in which the rate rises to its peak."),
            ("Rate at the end (share of the peak)", "floor", FLOORS, "Where the cosine ends."),
            ("Clip gradients above", "clip", CLIPS, "Longer gradients are cut to this norm."),
            ("Accumulation", "accumulation", ACCUMULATIONS, "Passes that share the documents of a step: less memory."),
            ("Balancing loss", "balance", BALANCES, "Coefficient of the loss that asks routers for an even load."))


OWN_KEYS = Own("training", DEFAULTS)
key, value = OWN_KEYS.key, OWN_KEYS.value
moved = partial(OWN_KEYS.moved, ("source", "steps", "peak", "warmup", "clip", "balance"))  # an experiment sets these


def keep_hidden_values() -> None:
    """Hold on to what the controls were set to while a run hides them: Streamlit forgets a widget that is not drawn."""
    for name in DEFAULTS:
        if key(name) in st.session_state:
            st.session_state[key(name)] = st.session_state[key(name)]


def candidates(study: Study, pinned: Study | None) -> dict[str, Contestant]:
    """Everyone who can be trained, by name: the model under study first, and the pinned one if it is another.

    The pinned model gets the vocabulary of the model under study, since losses over different tokens cannot be compared.
    Without sinks on the dial, no model has any.
    """
    config = study.live_config
    everyone = contestants(config)
    if study.sinks == "off":
        everyone = {name: dataclasses.replace(contestant, sinks=name == BASELINE) for name, contestant in everyone.items()
                    if name != "no-sinks"}
    if pinned:
        pinned = pinned.in_classroom
        other = Contestant(PINNED, "the pinned model", pinned.live_config.replace(vocab_size=config.vocab_size),
                           sinks=pinned.sinks == "on")
        if (other.config, other.sinks) not in [(contestant.config, contestant.sinks) for contestant in everyone.values()]:
            everyone[PINNED] = other
    return everyone


def choose_contestants(everyone: dict[str, Contestant]) -> None:
    """Up to three of them. Whom the model under study no longer has is left out."""
    if key("who") in st.session_state:
        chosen = [name for name in st.session_state[key("who")] if name in everyone][:MOST]
        if chosen != st.session_state[key("who")]:
            st.session_state[key("who")] = chosen
    default = [name for name in DEFAULTS["who"] if name in everyone]
    with st.popover("Models", icon=":material/group:"):
        kept.multiselect(f"Models to train, up to {MOST}", list(everyone), default, key=key("who"),
                         max_selections=MOST, format_func=lambda name: everyone[name].title,
                         placeholder=f"Choose one to {MOST} models")


def choose_data() -> None:
    """The mixture by sliders, or the reader's own text."""
    with st.popover("Data", icon=":material/database:"):
        source = kept.segmented_control("Data", SOURCES, default=MIXTURE, key=key("source"),
                                        label_visibility="collapsed")
        if source == MIXTURE:
            for domain in DOMAINS:
                kept.slider(domain.capitalize(), 0, 100, DEFAULTS[f"share_{domain}"], 1, key=key(f"share_{domain}"))
            st.caption("Shares; they need not add up to 100. Prose and code are the docstrings and sources of Python's own "
                       "library, the others are written by rule, so that their floor is known.")
        elif source == TEXT:
            kept.stays_here("The text to train on stays here: no link holds it.")
            st.text_area("Text to train on", key=key("text"), persist_state="session", height=260,
                         placeholder="Paste a text of a few hundred words or more.")
        else:
            kept.stays_here("The file to train on stays here: no link holds it.")
            st.file_uploader("A text in UTF-8", key=key("file"), max_upload_size=math.ceil(2 * LARGEST_TEXT / 2**20))
            st.caption(f"Up to {LARGEST_TEXT:,} bytes. It stays on this server, and only while it trains.")


def choose_schedule() -> None:
    """How they are trained: three settings in sight, the others below them."""
    with st.popover("Schedule", icon=":material/tune:"):
        for label, name, options, help in SCHEDULE[:3]:
            _dial(label, name, options, help)
        with st.expander("More", icon=":material/more_horiz:"):
            for label, name, options, help in SCHEDULE[3:]:
                _dial(label, name, options, help)
            kept.radio("Precision of the passes", PRECISIONS, key=key("precision"), horizontal=True,
                       help="bfloat16 is autocast: the weights stay in float32.")
            kept.slider("Seed", 0, 9, 0, key=key("seed"),
                        help="Of the first weights and of the documents.")
        st.caption(f"A run here may take at most {MOST_STEPS:,} steps, {units.spelled(MOST_TOKENS)} tokens, "
                   f"{MOST_MINUTES} minutes and {units.size(MOST_BYTES)}. One trains at a time; the others wait in line.")


def _dial(label: str, name: str, options: Sequence, help: str) -> None:
    kept.select_slider(label, options, DEFAULTS[name], key=key(name), help=help,
                       format_func="{:g}".format)  # as the address spells it, too


def draw_expectation(untrained: float) -> None:
    """Five sliders: the mean loss that the audience expects at as many places of the run."""
    with st.popover("Draw", icon=":material/draw:"):
        st.toggle("Draw a curve", key=key("draw"), persist_state="session",
                  help="It stays in the picture while the models learn.")
        if value("draw"):
            kept.stays_here("The curve that you have drawn stays here: no link holds it.")
        for number, step in enumerate(guess_steps()):
            st.slider(f"Loss at step {step:,} (nats)", 0.0, LARGEST_GUESS, round(untrained, 1), 0.1,
                      key=key(f"guess_{number}"), persist_state="session", disabled=not value("draw"))
        st.caption("The mean over the domains. A model that has learned nothing is near "
                   f"{untrained:.1f}: the logarithm of its vocabulary.")
        st.toggle("Compare with the recorded run", key=COMPARED, persist_state="session", disabled=not value("draw"),
                  help="Shows how the shipped models learned, and how near your curve is. Or press Train, and see yours.")
        _share_with_room(untrained)


def _share_with_room(untrained: float) -> None:
    """In a room: who follows gives it the curve, and whoever wants sees all of them. Nothing without a room."""
    if seat.followed():
        st.button("Give my curve to the room", key=key("give"), icon=":material/send:", on_click=_give, args=(untrained,),
                  disabled=not value("draw"), help="Nobody sees whose it is. Give it again to change it.")
        if said := st.session_state.get(key("given")):
            st.caption(said)
    if room := seat.led() or seat.followed():
        kept.toggle(f"The room's curves ({len(room.curves())})", key=CLASS, help="Lays them pale under how models learn.")


def _give(untrained: float) -> None:
    room, curve = seat.followed(), drawn(untrained)
    if room and curve is not None:
        points = zip(curve["step"] / max(curve["step"].max(), 1), curve["loss"], strict=True)
        st.session_state[key("given")] = room.add_curve(asking.browser(room), [*points]) or "The room has your curve."


def of_class(steps: int) -> list[pd.DataFrame]:
    """The curves that the room has drawn, over a run of so many steps, where they are to be seen."""
    room = seat.led() or seat.followed()
    if not room or not st.session_state.get(CLASS):
        return []
    return [pd.DataFrame(curve, columns=["share", "loss"]).assign(step=lambda one: (one["share"] * steps).round())
            for curve in room.curves()]


def guess_steps() -> list[int]:
    """Where the audience guesses: evenly over the run."""
    return [round(number * value("steps") / (GUESSES - 1)) for number in range(GUESSES)]


def drawn(untrained: float) -> pd.DataFrame | None:
    """The curve that the audience has drawn, if any: step and loss."""
    if not value("draw"):
        return None
    guesses = [st.session_state.get(key(f"guess_{number}"), untrained) for number in range(GUESSES)]
    return pd.DataFrame({"step": guess_steps(), "loss": guesses}).drop_duplicates("step")


def shares_set(seen: Seen) -> set[str]:
    """The domains that a planned run reads."""
    return {domain for domain in DOMAINS if seen.controls[key(f"share_{domain}")]}


def stretched(drawn: pd.DataFrame, steps: int) -> pd.DataFrame:
    """A drawn curve over a run of another length."""
    return drawn.assign(step=(drawn["step"] * (steps / max(drawn["step"].max(), 1))).round().astype(int))


def is_set(seen: Seen, rival: str) -> bool:
    """Whether a run of the model under study against a rival is planned, as it could begin."""
    return seen.controls[key("who")] == [STUDY, rival] and rival in candidates(seen.study, None)


def domains() -> list[str]:
    """Of the data that are chosen; all of them where every share is 0."""
    if value("source") != MIXTURE:
        return [OWN]
    return [domain for domain in DOMAINS if value(f"share_{domain}")] or list(DOMAINS)


def chosen(everyone: dict[str, Contestant]) -> Plan:
    """What the controls say. Raises `ValueError` with a sentence where that is impossible."""
    who = [everyone[name] for name in value("who") or () if name in everyone]
    if not who:
        raise ValueError("Choose at least one model to train.")
    recipe = Recipe(length=LENGTH, **{name: value(name) for name in (
        "steps", "batch", "accumulation", "peak", "floor", "clip", "balance", "precision", "seed")},
        warmup=min(value("warmup"), value("steps")))
    mixture, text = _data()
    return Plan(tuple(who), recipe, mixture, text)


def _data() -> tuple[Mixture, str]:
    if value("source") == MIXTURE:
        return Mixture.of({domain: value(f"share_{domain}") for domain in DOMAINS}), ""
    if value("source") == TEXT:
        return Mixture.of({OWN: 1}), read_own_text((value("text") or "").encode("utf-8", "surrogatepass"))
    file = st.session_state.get(key("file"))
    if file is None:
        raise ValueError("Choose a file to train on.")
    return Mixture.of({OWN: 1}), read_own_text(file.getvalue())


def in_words(problem: ValueError) -> str:
    """What the library says, as a sentence for the page."""
    words = literal(str(problem))
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
