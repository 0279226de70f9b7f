"""The band below the title: which model is on the screen, whose weights it has, and what the last move did to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape

from gptoss.app import state
from gptoss.app.book import IN_CLASSROOM, Page
from gptoss.app.study import RANDOM, TRAINED, Study
from gptoss.app.weights import CHANGED, SERVED, Weights, back_to_trained, weights_of
from gptoss.config import ModelConfig
from gptoss.training.shipped import FAMILIES, TEXTS, shipped


@dataclass(frozen=True)
class Badge:
    """Words on a coloured ground: an icon of Material Symbols, and a class of the style sheet."""

    words: str
    icon: str
    looks: str


@dataclass(frozen=True)
class Band:
    """What the band says. `live` is HTML; the other words are plain."""

    weights: Badge
    effect: Badge | None  # what the last move did
    live: str
    explained: str  # what these weights can show, and what was cut to make the live model small
    back: str = ""  # what the way back to trained weights leads to, empty where none is needed
    train: str = ""  # the words of the way to training this model, empty where there is none


_AFTER = {
    "new shape": Badge("new shape, new weights", "casino", "orange"),
    "weights kept": Badge("weights kept", "lock", "green"),
    "other weights": Badge("other weights", "swap_horiz", "orange"),
    "accounting": Badge("same model", "calculate", "gray"),
}
_LOOKS = {TRAINED: ("school", "green"), CHANGED: ("school", "orange"), RANDOM: ("casino", "violet"), SERVED: ("dns", "blue")}
_WHAT_WEIGHTS_SHOW = {
    TRAINED: "Trained weights show what was learned, on the texts of their training above all.",
    CHANGED: "Trained weights under other settings show what these do to what was learned. A model that was trained with "
             "these settings would learn something else.",
    RANDOM: "Random weights attend and route by chance: what they show is the mechanism, not learning. Trained ones ship "
            f"for the presets {' and '.join(FAMILIES)}, and for some variants of each.",
    SERVED: "The weights of a checkpoint that this server was given, computed with in bfloat16. Whether they show learning "
            "depends on how they were trained, and the server does not know that.",
}


def band_of(study: Study, page: Page, untrained: bool = False) -> Band:
    """What to say of the model on the screen of a page. `untrained` where the page's own models have random weights."""
    on_screen = page.of(study)
    weights = weights_of(on_screen)
    if on_screen != study and study.is_large:
        weights = replace(weights, note="This page builds models beside it, for which the server's checkpoint is too large.")
    if untrained:
        weights = Weights(RANDOM, "", f"random weights, seed {study.seed}", "No model of this page is trained.")
    other = on_screen.preset != study.preset
    model, cut = _model_in_words(on_screen if other else study, on_screen.live_config)
    if other:
        model += f", in place of {escape(study.in_words)}, {IN_CLASSROOM[page.path]}"
    spoken, kept = _note(study, weights)
    explained = " ".join(filter(None, (_WHAT_WEIGHTS_SHOW[weights.kind], _texts(weights), kept, cut)))
    band = Band(Badge(weights.words, *_LOOKS[weights.kind]), _AFTER.get(state.session().last_effect),
                f"Running here: {model}. {escape(spoken)}".strip(), explained)
    if weights.kind in (TRAINED, SERVED) or untrained:
        return band
    there = back_to_trained(study).in_words
    return replace(band, back=f"To {there}, whose weights were trained as they stand.",
                   train=_way_to_training(study, page, weights))


def _texts(weights: Weights) -> str:
    """On what weights that ship were trained, in a sentence."""
    return f"They were trained on {TEXTS[shipped()[weights.name].family]}." if weights.name in shipped() else ""


def _way_to_training(study: Study, page: Page, weights: Weights) -> str:
    """What the link to training says, nothing where it would lead to this page."""
    if page.path == "training":
        return ""
    if study.in_classroom.preset != study.preset:
        return f"Train {study.in_classroom.preset} so"
    return "Train this shape" if weights.kind == RANDOM else "Train it so"


def _note(study: Study, weights: Weights) -> tuple[str, str]:
    """What else is to be known of the weights: in the band where they are not those that were asked for, else behind it."""
    named = study.weights not in (TRAINED, RANDOM)
    return (weights.note, "") if named else ("", weights.note)


def _model_in_words(study: Study, small: ModelConfig) -> tuple[str, str]:
    """What runs live, in HTML, and all that was cut to make it small."""
    real, name = study.config, f"<strong>{escape(study.in_words)}</strong>"
    cut = [f"{words} {now:,} of {whole:,}" for words, now, whole in (
        ("layers", small.num_hidden_layers, real.num_hidden_layers), ("width", small.hidden_size, real.hidden_size),
        ("head size", small.head_dim, real.head_dim), ("expert width", small.intermediate_size, real.intermediate_size),
        ("vocabulary", small.vocab_size, real.vocab_size)) if now != whole]
    if not cut:
        return f"{name}, at its full size", ""
    return f"a scale model of {name}, {cut[0]}", f"Scaled: {', '.join(cut)}."
