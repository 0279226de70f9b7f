"""A training run on disk and in bytes: the model, the state to go on from, and the history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from gptoss import checkpoint, strict_json
from gptoss.checkpoint.config_file import CONFIG_NAME
from gptoss.config import ModelConfig
from gptoss.model import GPT2, LanguageModel, Transformer
from gptoss.tokenizer import CompactVocabulary
from gptoss.training.contestants import Contestant
from gptoss.training.evaluation import Evaluation
from gptoss.training.trainer import Step, Trainer

STATE, HISTORY, VOCABULARY = "training.state", "history.json", "vocabulary.txt"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps of each parameter


def save_model(directory: Path, contestant: Contestant, weights: Mapping[str, Tensor],
               vocabulary: CompactVocabulary) -> None:
    """Write a trained model as `from_checkpoint` reads it, in bfloat16 with MXFP4 experts, and the o200k id of each token.

    Replaces what is there. Raises `CheckpointError`, as for shapes that MXFP4 cannot hold.
    """
    halves = {name: tensor if ".norm." in f".{name}" else tensor.bfloat16() for name, tensor in weights.items()
              if not name.endswith(("mlp1_weight", "mlp2_weight"))}
    halves |= {name: tensor for name, tensor in weights.items() if name not in halves}  # to be rounded once, to MXFP4
    if isinstance(contestant.config, ModelConfig):
        checkpoint.save(directory, contestant.config, halves, mxfp4=True, overwrite=True)
    else:
        checkpoint.save_gpt2(directory, contestant.config, halves)
    (directory / VOCABULARY).write_text("".join(f"{token}\n" for token in vocabulary.o200k_ids), encoding="ascii")


def load_model(directory: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LanguageModel:
    """What `save_model` wrote, in evaluation mode. Raises `CheckpointError`."""
    baseline = (directory / CONFIG_NAME).exists() and "n_embd" in (directory / CONFIG_NAME).read_text(encoding="utf-8")
    return (GPT2 if baseline else Transformer).from_checkpoint(directory, dtype=dtype, device=device).eval()


def state_bytes(trainer: Trainer) -> bytes:
    """All that a resumed run needs beside recipe and corpus: weights, AdamW's moments and the history, as safetensors."""
    tensors = {f"weights.{name}": tensor.contiguous() for name, tensor in trainer.weights().items()}
    for number, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": state[name].cpu().contiguous() for name in _MOMENTS}
    return save(tensors, {"history": strict_json.write(history(trainer)), "made_of": _made_of(trainer)})


def resume(trainer: Trainer, data: bytes) -> None:
    """Put a fresh trainer where `state_bytes` was taken; what follows is then what would have followed.

    Raises `ValueError` where the state belongs to another recipe, model or corpus.
    """
    metadata = _metadata(data)
    past = json.loads(metadata["history"])
    if past["recipe"] != asdict(trainer.recipe):
        different = [name for name, value in asdict(trainer.recipe).items() if past["recipe"].get(name) != value]
        raise ValueError(f"the saved run has another recipe: {', '.join(different)}")
    if metadata["made_of"] != _made_of(trainer):
        raise ValueError("the saved run is of another model, or was trained on other documents")
    tensors = load(data)
    trainer.go_to(past["at"], {name.removeprefix("weights."): tensor for name, tensor in tensors.items()
                               if name.startswith("weights.")})
    state = trainer.optimizer.state_dict()
    state["state"] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, moment = name.split(".")
            state["state"].setdefault(int(number), {})[moment] = tensor
    trainer.optimizer.load_state_dict(state)
    trainer.steps = [Step(**{name: _not_none(value) for name, value in step.items()}) for step in past["steps"]]
    trainer.evaluations = {int(at): read_evaluation(one) for at, one in past["evaluations"].items()}


def _made_of(trainer: Trainer) -> str:
    """What a recipe does not say: the model's shape, which weights learn, and the documents."""
    learning = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
    identity = [str(trainer.model.config), str(len(learning)), trainer.corpus.fingerprint()]
    return hashlib.sha256(" ".join(identity).encode()).hexdigest()


def history(trainer: Trainer, every: int = 1) -> dict:
    """What happened so far, to be written as JSON; of the steps one in `every`, the first and the last among them."""
    return {"recipe": asdict(trainer.recipe), "at": trainer.at,
            "steps": [asdict(step) for step in trainer.steps
                      if step.step % every == 0 or step is trainer.steps[-1]],
            "evaluations": {at: write_evaluation(one) for at, one in trainer.evaluations.items()}}


def write_evaluation(one: Evaluation) -> dict:
    """An evaluation as JSON can hold it."""
    load = {domain: np.round(of.astype(float), 5).tolist() for domain, of in one.load.items()}
    return {"losses": one.losses, "load": load,
            "correct": {domain: [[far, *answers] for far, answers in of.items()] for domain, of in one.correct.items()}}


def read_evaluation(one: dict) -> Evaluation:
    """What `write_evaluation` wrote."""
    return Evaluation(one["losses"],
                      {domain: {far: (right, asked) for far, right, asked in of} for domain, of in one["correct"].items()},
                      {domain: np.array(load) for domain, load in one["load"].items()})


def _not_none(value: object) -> object:
    return float("nan") if value is None else value


def _metadata(data: bytes) -> dict[str, str]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8:8 + size])["__metadata__"]
