"""The panel that four pages share: what one choice costs in loss when each variant of it is trained, with two seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from gptoss import units
from gptoss.app import pictures
from gptoss.app.accounts import remembered
from gptoss.app.study import Study
from gptoss.charts import Chart
from gptoss.charts.variants import variants_chart
from gptoss.config import ModelConfig
from gptoss.cost import count_parameters, kv_cache_bytes
from gptoss.training.retrained import BY_CHANCE, answer_rows, differences, loss_rows, story_losses
from gptoss.training.shipped import CLASSROOM, SEEDS, STORYTELLER, Shipped, find, shipped

RETRAINED = "What it costs in loss"  # the view's name on every page
_LENGTH = ModelConfig.preset(CLASSROOM).initial_context_length  # tokens that all of them were trained on
_CACHE = f"KV cache of {_LENGTH} tokens"
_APART = 0.05  # share of right answers by which a model has to differ to be spoken of


@dataclass(frozen=True)
class Choice:
    """One choice of the design, and the shipped models that differ in it alone.

    Attributes:
        title: what is chosen, as the head of the table's first column.
        variants: name of a shipped model -> what it is called here, in the order of the choice.
        saving: the title of the table's column that says what the choice is made for.
        saved: what that column says of a model.
    """

    title: str
    variants: Mapping[str, str]
    saving: str
    saved: Callable[[Shipped], str]

    @property
    def base(self) -> str:
        return self.variants[CLASSROOM]


def _cache(model: Shipped) -> str:
    return units.size(kv_cache_bytes(model.config, _LENGTH))


def _sink_logits(model: Shipped) -> str:
    return str(count_parameters(model.config).sinks) if model.contestant.sinks else "none"


def _parameters(model: Shipped) -> str:
    counted = count_parameters(model.config)
    return f"{units.count(counted.total)}, {units.count(counted.active)}"


CHOICES = {
    "gqa": Choice("KV groups", {"kv-1": "1 group", CLASSROOM: "2 groups", "kv-4": "4 groups", "kv-8": "8 groups"},
                  _CACHE, _cache),
    "window": Choice("Sliding", {"all-sliding": "all layers", CLASSROOM: "every second", "all-full": "no layer"},
                     _CACHE, _cache),
    "sinks": Choice("Attention", {CLASSROOM: "with sinks", "no-sinks": "without sinks"}, "Sink logits", _sink_logits),
    "experts": Choice("MLP", {"one-active": "1 of 8 active", CLASSROOM: "2 of 8 active", "dense": "one dense MLP"},
                      "Parameters, active", _parameters),
}


# The same of the variants of storyteller that ship: name of its folder -> what it is called.
STORIES = {
    "gqa": {"kv-1": "1 group", STORYTELLER: "2 groups"},
    "window": {STORYTELLER: "every second", "all-full": "no layer"},
    "sinks": {STORYTELLER: "with sinks", "no-sinks": "without sinks"},
}


def show_retrained(page: str, study: Study) -> None:
    """The panel of one of `CHOICES`: losses as dots, what is saved and answered as a table, and both in words."""
    variant = under_study(page, study)
    losses, words = st.columns([5, 6], gap="medium")
    with losses:
        pictures.show_chart(_losses_chart(page, variant), key=f"{page}_retrained")
    with words:
        st.table(_table(page), hide_index=True, alt="What each variant takes, and how often its answers are right")
        st.caption(f"Right answers of seed {SEEDS[0]} · of seed {SEEDS[1]}. " + (
            f"In colour: {variant}, the shape under study." if variant else
            "The model under study has none of these shapes."))
        st.markdown(in_words(page))
    st.caption(how_they_were_made(page))
    if page in STORIES:
        st.markdown(f"**The same for `{STORYTELLER}`**, which was trained on stories:")
        st.table(_story_table(page), hide_index=True, alt="What each variant of storyteller loses on its own held-out texts")
        st.caption(stories_in_words(page))


@remembered
def _story_table(page: str) -> pd.DataFrame:
    """Losses by variant and seed, a column for each domain, and the floors."""
    losses = story_losses(STORIES[page], _before(page))
    table = losses.pivot(index=["variant", "seed"], columns="domain", values="loss")[losses["domain"].unique()]
    floors = losses.groupby("domain")["floor"].first()
    rows = [(f"{variant}, seed {seed}", *(units.fixed(loss, 3) for loss in row)) for (variant, seed), row in zip(
        table.index, table.to_numpy(), strict=True)]
    rows.append(("least possible", *(
        "–" if pd.isna(floors[domain]) else units.fixed(floors[domain], 3) for domain in table)))
    return pd.DataFrame(rows, columns=["Loss (nats a token)", *table.columns])


@remembered
def stories_in_words(page: str) -> str:
    """Which differences are larger than that between two seeds of storyteller itself, and what was trained how."""
    base = STORIES[page][STORYTELLER]
    before = _before(page)
    table = differences(story_losses(STORIES[page], before), base, seeds_of=before)
    sentences = [f"{variant[0].upper()}{variant[1:]}, compared with “{base}”: {_verdict(rows)}."
                 for variant, rows in table.groupby("variant", sort=False) if variant != before]
    sampled = {one.texts for one in shipped().values() if one.family == STORYTELLER and one.directory.name in STORIES[page]}
    texts = "" if len(sampled) == 1 else (
        "The variant learned from another sampling of the same corpus, and how much that alone matters was not measured. ")
    return (f"{' '.join(sentences)} Each began at random weights. {texts}How much seeds differ is known of “{before}” "
            "alone: nothing else was trained from two, and those are as they were before the last rounds, in which they "
            "unlearn to repeat themselves. These are means over texts that no training step saw, as on its card.")


def _before(page: str) -> str:
    """What storyteller was before its last rounds of unlearning, as the table calls it."""
    return f"{STORIES[page][STORYTELLER]}, earlier"


def under_study(page: str, study: Study) -> str:
    """The variant that has exactly the architecture under study, or nothing."""
    model = find(study.live_config, study.sinks != "off")
    return CHOICES[page].variants.get(model.name, "") if model else ""


@remembered
def in_words(page: str) -> str:
    """Which differences are larger than the spread between seeds, as a list in Markdown. Every word is computed."""
    choice = CHOICES[page]
    table = differences(loss_rows(choice.variants), choice.base)
    sentences = [f"**{variant[0].upper()}{variant[1:]}**, compared with “{choice.base}”: {_verdict(rows)}."
                 for variant, rows in table.groupby("variant", sort=False)]
    sentences += _answers_apart(answer_rows(choice.variants), choice.base)
    larger = int(table["beyond"].sum())
    sentences.append(f"Of {len(table)} differences {larger} {'is' if larger == 1 else 'are'} larger than the spread "
                     "between two seeds. If the choice made no difference, chance alone would make about "
                     f"{BY_CHANCE * len(table):.0f} so large ({units.percent(BY_CHANCE, 0)}).")
    return "\n".join(f"- {sentence}" for sentence in sentences)


@remembered
def how_they_were_made(page: str) -> str:
    """What is behind each dot, and why it is not what a slider on trained weights shows."""
    models = [shipped()[name] for name in CHOICES[page].variants]
    sizes = sorted(count_parameters(model.config).total for model in models)
    size = " to ".join(dict.fromkeys(units.count(total) for total in (sizes[0], sizes[-1])))
    recipe = models[0].history()["recipe"]
    return (f"Each dot is `{CLASSROOM}` or a variant of it ({size} parameters), trained from new weights for "
            f"{recipe['steps']:,} steps of {recipe['batch']} texts of {recipe['length']} tokens, and measured on "
            "validation texts after reading its file back. What such small models and short texts show need not hold for "
            "large ones. A slider moved on trained weights shows something else: weights at work in a way that they were "
            "never trained for. That is not "
            "what the choice costs.")


def _verdict(rows: pd.DataFrame) -> str:
    """What can be said of one variant's differences, domain by domain."""
    apart = rows[rows["beyond"]]
    parts = [f"{word} loss in " + ", ".join(f"{row.domain} ({units.signed(row.difference, units.fixed, 3)})"
                                            for row in some.itertuples())
             for word, some in (("more", apart[apart["difference"] > 0]), ("less", apart[apart["difference"] < 0]))
             if len(some)]
    alike = ", ".join(rows.loc[~rows["beyond"], "domain"])
    if not parts:
        return "in no domain is the difference larger than the spread between seeds"
    return "; ".join(parts + ([f"no more than seeds differ in {alike}"] if alike else []))


def _answers_apart(answers: pd.DataFrame, base: str) -> list[str]:
    """A sentence for each variant and domain in which a seed's answers differ much from all of the base's seeds."""
    right = {key: list(accuracy) for key, accuracy in answers.groupby(["variant", "domain"], sort=False)["accuracy"]}
    sentences = []
    for (variant, domain), own in right.items():
        beside = right[base, domain]
        if any(min(abs(one - other) for other in beside) > _APART for one in own):
            here, others = (" and ".join(units.percent(share, 0) for share in shares) for shares in (own, beside))
            sentences.append(f"Right answers in {domain}: with “{variant}” {here}, one seed each, and with “{base}” "
                             f"{others}.")
    return sentences


@remembered
def _losses_chart(page: str, variant: str) -> Chart:
    return variants_chart(loss_rows(CHOICES[page].variants), variant)


@remembered
def _table(page: str) -> pd.DataFrame:
    choice = CHOICES[page]
    answers = answer_rows(choice.variants).pivot(index="variant", columns=["domain", "seed"], values="accuracy")
    right = {f"{domain.capitalize()} right": [
        _unbroken(" · ".join(f"{100 * answers.loc[title, (domain, seed)]:.0f}" for seed in SEEDS) + "%")
        for title in choice.variants.values()] for domain in answers.columns.unique("domain")}
    return pd.DataFrame({choice.title: [_unbroken(title) for title in choice.variants.values()],
                         choice.saving: [choice.saved(shipped()[name]) for name in choice.variants]} | right)


def _unbroken(words: str) -> str:
    """Words that a narrow column keeps in one line."""
    return words.replace(" ", "\u00a0")
