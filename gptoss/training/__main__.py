"""Train a model from the command line.

    python -m gptoss.training --contestant study --steps 300 --out runs/classroom
    torchrun --nproc-per-node 2 -m gptoss.training --device cuda --parallel ddp --out runs/two

The directory gets the model (safetensors, experts in MXFP4), its history, and the state from which `--resume` goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from gptoss import strict_json
from gptoss.checkpoint import CheckpointError
from gptoss.config import PRESETS, ModelConfig
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.contestants import STUDY, contestants
from gptoss.training.corpus import OWN, Batch, Corpus, Mixture, read_own_text
from gptoss.training.distributed import WAYS, World, spread, world
from gptoss.training.evaluation import Evaluation, evaluate
from gptoss.training.recipe import Recipe
from gptoss.training.recording import Probe, Recording
from gptoss.training.storage import (
    HISTORY,
    STATE,
    history,
    load_model,
    resume,
    save_model,
    state_bytes,
    write_evaluation,
)
from gptoss.training.stories.corpus import StoryCorpus
from gptoss.training.storyteller import STORYTELLER
from gptoss.training.trainer import Diverged, Trainer

RECORDING = "recording.npz"
CARD_DOCUMENTS = 256  # of each domain, on which the written model is measured


def models() -> dict[str, ModelConfig]:
    """What can be trained, by name: the presets, and the model that writes."""
    return PRESETS | {"storyteller": STORYTELLER}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m gptoss.training", description="Train a GPT-OSS or GPT-2 model.")
    parser.add_argument("--preset", choices=models(), default="classroom", help="the model under study")
    parser.add_argument("--contestant", default=STUDY, help="it, or it with one thing changed (a wrong name lists all)")
    parser.add_argument("--mixture", help='shares by domain, such as "prose=1,recall=2"')
    parser.add_argument("--text", type=Path, help="a UTF-8 file to train on instead")
    parser.add_argument("--stories", type=Path, help="a corpus of `python -m gptoss.training.stories` to train on instead")
    parser.add_argument("--out", type=Path, required=True, help="directory for model, history and state")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parallel", choices=WAYS, default="ddp", help="how several processes share the work")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare documents ahead")
    parser.add_argument("--documents", type=int, default=64, help="validation documents of each domain")
    parser.add_argument("--record", action="store_true", help="keep attention, routing and samples of every evaluation")
    parser.add_argument("--resume", action="store_true", help="go on from the state in the directory (one process only)")
    parser.add_argument("--stop-after", type=int, help="stop after so many steps of the recipe, to be resumed")
    for field in dataclasses.fields(Recipe):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default,
                            help=f"(default {field.default})")
    return parser


class _Batches(Dataset):
    """The corpus's batches by step, for torch's loader to prepare ahead."""

    def __init__(self, corpus: Corpus | StoryCorpus, recipe: Recipe, first: int):
        self.corpus, self.recipe, self.first = corpus, recipe, first

    def __len__(self) -> int:
        return self.recipe.steps - self.first

    def __getitem__(self, number: int) -> Batch:
        return self.corpus.batch(self.first + number, self.recipe.batch)


def batches(trainer: Trainer, workers: int) -> Iterator[Batch]:
    """The documents of every step that is left."""
    ahead = {"num_workers": workers, "prefetch_factor": 8} if workers else {}
    return iter(DataLoader(_Batches(trainer.corpus, trainer.recipe, trainer.at), batch_size=None, **ahead))


def make_corpus(options: argparse.Namespace, vocabulary_size: int) -> Corpus | StoryCorpus:
    """What the options ask for. Raises `ValueError` where the model has not as many tokens as the corpus."""
    if options.stories:
        stories = StoryCorpus.read(options.stories, options.length, options.seed)
        if stories.vocabulary.size != vocabulary_size:
            raise ValueError(f"the corpus has {stories.vocabulary.size:,} tokens, the model {vocabulary_size:,}")
        return stories
    shares, text = Mixture().shares, ""
    if options.text:
        text, shares = read_own_text(options.text.read_bytes()), ((OWN, 1.0),)
    elif options.mixture:
        shares = tuple((domain.strip(), float(share)) for domain, _, share
                       in (part.partition("=") for part in options.mixture.split(",")))
    return Corpus(compact_vocabulary(vocabulary_size), Mixture(shares), options.length, text, options.seed)


def run(options: argparse.Namespace, here: World) -> None:
    """Train, and write what came of it. Raises `ValueError` or `CheckpointError` for what cannot be done."""
    everyone = contestants(models()[options.preset])
    if options.contestant not in everyone:
        raise ValueError(f"contestant={options.contestant!r} is unknown; allowed: {', '.join(everyone)}")
    contestant = everyone[options.contestant]
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Recipe)})
    recipe = recipe if contestant.balanced else recipe.replace(balance=0.0)
    corpus = make_corpus(options, contestant.config.vocab_size)
    model = contestant.build(recipe.seed, str(here.device))
    trainer = Trainer(model, corpus, recipe, spread(model, options.parallel, here), here.rank, here.size, here.mean)
    if options.resume:
        resume(trainer, (options.out / STATE).read_bytes())
    recording = _recording(options, corpus) if options.record else None
    with tqdm(total=recipe.steps, initial=trainer.at, disable=here.rank > 0) as bar:
        stopped = follow(trainer, options, recording, bar)
    weights, state = trainer.weights(), state_bytes(trainer) if here.size == 1 else None
    if here.rank == 0:
        options.out.mkdir(parents=True, exist_ok=True)
        save_model(options.out, contestant, weights, corpus.vocabulary)
        if state:  # AdamW's moments of a sharded model stay where they are
            (options.out / STATE).write_bytes(state)
        if recording:
            (options.out / RECORDING).write_bytes(recording.to_bytes())
        reloaded = evaluate(load_model(options.out, device=str(here.device)), corpus.validation(CARD_DOCUMENTS), here.device)
        write_history(options.out / HISTORY, trainer, contestant.name, stopped, reloaded)
    if stopped:
        raise ValueError(stopped)


def _recording(options: argparse.Namespace, corpus: Corpus) -> Recording:
    """A new one, or the one that a resumed run began."""
    begun = options.out / RECORDING
    return Recording.from_bytes(begun.read_bytes()) if options.resume and begun.exists() else Recording(Probe.of(corpus))


def follow(trainer: Trainer, options: argparse.Namespace, recording: Recording | None, bar: tqdm) -> str:
    """Run the recipe to its end, or to where it is to stop; why it could not go on, or nothing."""
    until = trainer.recipe.steps if options.stop_after is None else min(trainer.recipe.steps, options.stop_after)
    ready = batches(trainer, options.workers)
    try:
        while True:
            if trainer.evaluation_due:
                result = trainer.evaluate(options.documents)
                bar.set_postfix_str(", ".join(f"{domain} {loss:.2f}" for domain, loss in result.losses.items()))
                if recording:
                    recording.add(trainer.at, trainer.model)
            if trainer.at >= until:
                return ""
            trainer.train(next(ready))
            bar.update()
    except Diverged as reason:
        return str(reason)


def write_history(path: Path, trainer: Trainer, name: str, stopped: str, reloaded: Evaluation) -> None:
    """The run in one JSON file: what was trained on what, every tenth step, every evaluation, and the file's own."""
    corpus = trainer.corpus
    data = {"shares": corpus.shares, "fingerprint": corpus.fingerprint(), "python": platform.python_version(),
            "floors": corpus.floors(CARD_DOCUMENTS)}
    seconds = sum(step.seconds for step in trainer.steps)
    record = {"contestant": name, "torch": torch.__version__, "device": _device(trainer.model.device), "stopped": stopped,
              "seconds": round(seconds, 1), "corpus": data, "reloaded": write_evaluation(reloaded)}
    record |= history(trainer, every=10)
    path.write_text(strict_json.write(record) + "\n", encoding="utf-8")


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def main() -> None:
    options = parser().parse_args()
    torch.set_float32_matmul_precision("high")  # TF32, where a GPU has it
    try:
        with world(options.device) as here:
            run(options, here)
    except (ValueError, CheckpointError, OSError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
