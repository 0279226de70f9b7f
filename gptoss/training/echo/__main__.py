"""Train the three models of `gptoss.training.echo` again, from both seeds.

    python -m gptoss.training.echo --out runs/echo

Each run writes its weights in bfloat16 and its history as JSON. All six take a few minutes on one core of a CPU.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from gptoss import strict_json
from gptoss.training.echo import CONTESTANTS, RECIPE, SEEDS, history_file, weights_file
from gptoss.training.echo.corpus import ECHO, EchoCorpus
from gptoss.training.recipe import Recipe
from gptoss.training.storage import history, rounded
from gptoss.training.trainer import Trainer

DOCUMENTS = 64  # validation documents at every evaluation


def train(name: str, recipe: Recipe) -> Trainer:
    """One of `CONTESTANTS`, trained to the end of a recipe."""
    trainer = Trainer(CONTESTANTS[name].build(recipe.seed), EchoCorpus(recipe.length, recipe.seed), recipe)
    for _ in tqdm(range(recipe.steps), f"{name}, seed {recipe.seed}"):
        if trainer.evaluation_due:
            trainer.evaluate(DOCUMENTS)
        trainer.train()
    trainer.evaluate(DOCUMENTS)
    return trainer


def write(directory: Path, name: str, trainer: Trainer) -> None:
    """The weights in bfloat16, norms' scales as they are, and the history."""
    weights = {key: rounded(key, value) for key, value in trainer.weights().items()}
    save_file(weights, weights_file(name, trainer.recipe.seed, directory))
    record = {"contestant": name, "torch": torch.__version__, "python": platform.python_version(),
              "seconds": round(sum(step.seconds for step in trainer.steps), 1),
              "floor": trainer.corpus.floors(DOCUMENTS)[ECHO], "fingerprint": trainer.corpus.fingerprint()}
    record |= history(trainer, every=100)
    history_file(name, trainer.recipe.seed, directory).write_text(strict_json.write(record) + "\n", encoding="utf-8")


def main() -> None:
    options = argparse.ArgumentParser("python -m gptoss.training.echo", description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, required=True, help="directory for weights and histories")
    options.add_argument("--steps", type=int, default=RECIPE.steps, help=f"of each run (default {RECIPE.steps})")
    asked = options.parse_args()
    torch.set_num_threads(1)
    try:
        recipe = RECIPE.replace(steps=asked.steps, warmup=max(0, min(RECIPE.warmup, asked.steps)))
        asked.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=asked.out).close()
        for seed in SEEDS:
            for name in CONTESTANTS:
                write(asked.out, name, train(name, recipe.replace(seed=seed)))
    except (ValueError, OSError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
