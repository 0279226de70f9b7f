"""What the shipped models can do, measured on the shipped files and written down beside them.

    python -m gptoss.training.cards

reads every model back, and writes `gptoss/training/shipped/CARDS.md`. Prose and code are measured on this Python's own
library; the other domains are the same everywhere.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from gptoss.cost import count_parameters
from gptoss.model import Transformer
from gptoss.tokenizer import compact_vocabulary
from gptoss.trace import trace
from gptoss.training.corpus import Corpus
from gptoss.training.domains import GENERATED, RECALL, REPETITION
from gptoss.training.evaluation import Evaluation, evaluate
from gptoss.training.induction import induction_scores, previous_token_scores
from gptoss.training.length_generalisation import under_scheme
from gptoss.training.routing import RouterWatch
from gptoss.training.schemes import SCHEMES
from gptoss.training.shipped import CLASSROOM, SEEDS, Shipped, shipped
from gptoss.training.specialisation import Information, information
from gptoss.training.trainer import initialise_for_training

DOCUMENTS = 256  # of each domain
TWINS = 5  # untrained models of the same shape, as the null
FAR = 256  # tokens, four times as many as in training
BINS = ((1, 32), (33, 64), (65, 128), (129, 256))


class HeadScore(NamedTuple):
    """A head and a figure of it."""

    layer: int
    head: int
    score: float


def corpus() -> Corpus:
    """The texts on which the cards are measured: those that every training run was measured on."""
    return Corpus(compact_vocabulary(shipped()[CLASSROOM].config.vocab_size))


@torch.no_grad()
def strongest_heads(model: Transformer, texts: Corpus) -> tuple[list[HeadScore], list[HeadScore]]:
    """Heads by how much they attend to the token before, and to the token after the previous occurrence, best first."""
    documents = texts.validation(DOCUMENTS)[REPETITION]
    previous, induction = [], []
    for tokens, distance in zip(documents.tokens[:32], documents.distance[:32], strict=True):
        flow = trace(model, torch.as_tensor(tokens[None, :-1]))
        weights = np.stack([flow[f"block.{n}.attn.weights"][0].numpy() for n in range(len(model.block))])
        previous.append(previous_token_scores(weights))
        induction.append(induction_scores(weights, distance[:-1]))
    return tuple(_ranked(np.nanmean(np.stack(scores), axis=0)) for scores in (previous, induction))


def _ranked(scores: np.ndarray) -> list[HeadScore]:
    order = np.argsort(-scores, axis=None)
    return [HeadScore(*map(int, np.unravel_index(place, scores.shape)), float(scores.flat[place])) for place in order]


@torch.no_grad()
def sink_masses(model: Transformer, texts: Corpus) -> np.ndarray:
    """The mean share that each head's sink takes: (layers, heads), 0 to 1."""
    tokens = np.concatenate([documents.tokens[:8, :-1] for documents in texts.validation(DOCUMENTS).values()])
    flow = trace(model, torch.as_tensor(tokens))
    return np.stack([flow[f"block.{n}.attn.sink_mass"].mean(dim=(0, 2)).numpy() for n in range(len(model.block))])


@torch.no_grad()
def specialisation(model: Transformer, texts: Corpus) -> list[Information]:
    """For each layer, what the chosen experts tell about the domain, given the token."""
    validation = texts.validation(DOCUMENTS)
    watch, chosen = RouterWatch(model), []
    for documents in validation.values():
        for part in torch.as_tensor(documents.tokens[:, :-1]).split(64):
            with watch.watching():
                model(part)
            chosen.append([layer.flatten(0, 1).numpy() for layer in watch.chosen()])
    tokens = np.concatenate([documents.tokens[:, :-1].ravel() for documents in validation.values()])
    domains = np.repeat(np.arange(len(validation)), [documents.tokens[:, :-1].size for documents in validation.values()])
    return [information(np.concatenate(layer), tokens, domains) for layer in zip(*chosen, strict=True)]


def far_recall(model: Transformer, texts: Corpus) -> dict[str, Evaluation]:
    """Recall on texts four times as long as in training, under each scheme of stretching RoPE."""
    documents = texts.validation(DOCUMENTS // 4, FAR)[RECALL]
    return {scheme: evaluate(under_scheme(model, scheme, FAR / texts.length), {RECALL: documents}) for scheme in SCHEMES}


def lines() -> Iterator[str]:
    """The cards, line by line."""
    texts = corpus()
    everyone = [one for one in shipped().values() if one.family == CLASSROOM and one.has_weights]
    first = everyone[0].history()
    yield from _training(first)
    yield from _losses(everyone, texts)
    yield from _seeds(everyone)
    model = everyone[0].load()
    yield from _patterns(model, texts)
    yield from _experts(model, texts)
    yield from _reading_on(model, texts)


def _training(history: dict) -> Iterator[str]:
    recipe, data = history["recipe"], history["corpus"]
    yield "# The trained models\n"
    yield "Measured by `python -m gptoss.training.cards`, which wrote this file. Losses are in nats a token.\n"
    yield (f"Each model was trained for {recipe['steps']:,} steps of {recipe['batch']} documents of {recipe['length']} "
           f"tokens on one {history['device']} (torch {history['torch']}, Python {data['python']}). Train one again with\n")
    changed = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in recipe.items() if name != "seed")
    yield f"```sh\npython -m gptoss.training --contestant study --seed 0 {changed} --out runs/classroom\n```\n"
    yield ("with another `--contestant` for the others (`study` is `classroom`). RoPE is plain for the first "
           f"{recipe['yarn_from']:.0%} of the steps; then YaRN's factor joins in every other step. Experts are rounded to "
           f"MXFP4 in every pass of the last {1 - recipe['mxfp4_from']:.0%}.\n")
    shares = ", ".join(f"{domain} {share:.0%}" for domain, share in data["shares"].items())
    yield (f"Data: {shares}. Prose and code are the docstrings and sources of the standard library of Python "
           f"{data['python']}; SHA-256 of all that decides the documents: `{data['fingerprint']}`.\n")


def _losses(everyone: list[Shipped], texts: Corpus) -> Iterator[str]:
    floors = texts.floors(DOCUMENTS)
    yield (f"## Loss of the shipped files\n\nOn {DOCUMENTS} validation documents a domain, here with Python "
           f"{platform.python_version()}.\n")
    yield "| model | parameters (active) | prose | code | " + " | ".join(GENERATED) + " | recall right | repetition right |"
    yield "|---" * (6 + len(GENERATED)) + "|"
    yield "| *floor* | | | | " + " | ".join(f"{floors[domain]:.3f}" for domain in GENERATED) + " | | |"
    for one in everyone:
        parameters = count_parameters(one.config)
        result = evaluate(one.load(), texts.validation(DOCUMENTS))
        cells = [f"{result.losses[domain]:.2f}" for domain in ("prose", "code") if domain in result.losses]
        cells += [f"{result.losses[domain]:.3f} (+{result.losses[domain] / floors[domain] - 1:.1%})" for domain in GENERATED]
        cells += [f"{result.accuracy(domain):.1%}" for domain in (RECALL, REPETITION)]
        yield f"| {one.name} | {parameters.total:,} ({parameters.active:,}) | " + " | ".join(cells) + " |"
    yield ""


def _seeds(everyone: list[Shipped]) -> Iterator[str]:
    yield "## Both seeds\n\nMean excess over the floor of the generated domains, as measured where they were trained.\n"
    yield "| model | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " |\n|---" + "|---" * len(SEEDS) + "|"
    for one in everyone:
        cells = []
        for seed in SEEDS:
            floors, result = one.history(seed)["corpus"]["floors"], one.measured(seed)
            excess = np.mean([result.losses[domain] / floors[domain] - 1 for domain in GENERATED])
            cells.append(f"+{excess:.1%}, recall {result.accuracy(RECALL):.0%}")
        yield f"| {one.name} | " + " | ".join(cells) + " |"
    yield ""


def _patterns(model: Transformer, texts: Corpus) -> Iterator[str]:
    previous, induction = strongest_heads(model, texts)
    masses = sink_masses(model, texts)
    yield "## Heads of `classroom`\n"
    yield ("- Strongest induction heads (attention to the token after the previous occurrence, over repeated words): "
           + ", ".join(f"layer {one.layer} head {one.head}: {one.score:.2f}" for one in induction[:3]) + ".")
    yield ("- Strongest previous-token heads: "
           + ", ".join(f"layer {one.layer} head {one.head}: {one.score:.2f}" for one in previous[:3])
           + (". None attends to it for the most part: several heads together tell a token what stood before it."
              if previous[0].score < 0.5 else "."))
    yield (f"- Sinks take {masses.min():.1%} to {masses.max():.1%} of a head's attention: "
           + "; ".join(f"layer {layer} {row.min():.0%} to {row.max():.0%}" for layer, row in enumerate(masses)) + ".\n")


def _experts(model: Transformer, texts: Corpus) -> Iterator[str]:
    trained = specialisation(model, texts)
    twins = [specialisation(_untrained(model, seed), texts) for seed in range(TWINS)]
    yield ("## Experts of `classroom`\n\nWhat the chosen experts tell about the domain given the token, in bits, less what "
           f"chance finds; beside it the same of {TWINS} untrained models of this shape.\n")
    yield "| layer | trained | untrained, mean (largest) |\n|---|---|---|"
    for layer, carried in enumerate(trained):
        null = [twin[layer].excess for twin in twins]
        yield f"| {layer} | {carried.excess:.3f} | {np.mean(null):.3f} ({max(null):.3f}) |"
    yield ""


def _untrained(model: Transformer, seed: int) -> Transformer:
    return initialise_for_training(Transformer(model.config), seed).eval().requires_grad_(False)


def _reading_on(model: Transformer, texts: Corpus) -> Iterator[str]:
    yield (f"## Reading {FAR} tokens, trained on {texts.length}\n\nAnswers of *recall* that are right, by tokens back to "
           "the fact, under four ways to rotate.\n")
    yield "| | " + " | ".join(f"{near} to {far}" for near, far in BINS) + " |\n|---" + "|---" * len(BINS) + "|"
    for scheme, result in far_recall(model, texts).items():
        yield f"| {scheme} | " + " | ".join(f"{result.accuracy(RECALL, *edges):.1%}" for edges in BINS) + " |"


def main() -> None:
    path = shipped()[CLASSROOM].directory.parent / "CARDS.md"
    path.write_text("\n".join(lines()) + "\n", encoding="utf-8")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
