"""A training run on disk and in bytes: the model, the state to go on from, and the history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gptoss import checkpoint, strict_json
from gptoss.checkpoint.config_file import CONFIG_NAME
from gptoss.checkpoint.files import replace_files, write_text
from gptoss.config import ModelConfig
from gptoss.model import GPT2, LanguageModel, Transformer
from gptoss.tokenizer import CompactVocabulary
from gptoss.training.contestants import Contestant
from gptoss.training.evaluation import Evaluation
from gptoss.training.trainer import Step, Trainer, spread_like, whole

STATE, HISTORY, VOCABULARY = "training.state", "history.json", "vocabulary.txt"
_CHECKSUM = "sha256"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps of each parameter


def save_model(directory: Path, contestant: Contestant, weights: Mapping[str, Tensor],
               vocabulary: CompactVocabulary) -> None:
    """Write a trained model as `from_checkpoint` reads it, in bfloat16 with MXFP4 experts, and the o200k id of each token.

    Replaces what is there. Raises `CheckpointError`, as for shapes that MXFP4 cannot hold.
    """
    halves = {name: rounded(name, tensor) for name, tensor in weights.items()
              if not name.endswith(("mlp1_weight", "mlp2_weight"))}
    halves |= {name: tensor for name, tensor in weights.items() if name not in halves}  # to be rounded once, to MXFP4
    if isinstance(contestant.config, ModelConfig):
        checkpoint.save(directory, contestant.config, halves, mxfp4=True, overwrite=True)
    else:
        checkpoint.save_gpt2(directory, contestant.config, halves)
    ids = "".join(f"{token}\n" for token in vocabulary.o200k_ids)
    replace_files(directory, {VOCABULARY: partial(write_text, ids)})


def rounded(name: str, weight: Tensor) -> Tensor:
    """A weight as a file has it: in bfloat16, or as it is where it is a norm's."""
    return weight if ".norm." in f".{name}" else weight.bfloat16()


def load_model(directory: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LanguageModel:
    """What `save_model` wrote, in evaluation mode. Raises `CheckpointError`."""
    baseline = (directory / CONFIG_NAME).exists() and "n_embd" in (directory / CONFIG_NAME).read_text(encoding="utf-8")
    return (GPT2 if baseline else Transformer).from_checkpoint(directory, dtype=dtype, device=device).eval()


def state_bytes(trainer: Trainer) -> bytes:
    """All that a resumed run needs beside recipe and corpus: weights, AdamW's moments and the history, as safetensors.

    Of a model that is spread over several processes, all of them have to ask, and all get the whole.
    """
    tensors = {f"weights.{name}": tensor.contiguous() for name, tensor in trainer.weights().items()}
    for number, state in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": whole(state[name]).cpu().contiguous() for name in _MOMENTS}
    about = {"history": strict_json.write(history(trainer)), "made_of": _made_of(trainer)}
    return save(tensors, about | {_CHECKSUM: _checksum(about, tensors)})


def resume(trainer: Trainer, data: bytes) -> None:
    """Put a fresh trainer where `state_bytes` was taken; what follows is then what would have followed.

    Raises `ValueError` where the state is damaged, or belongs to another recipe, model or corpus.
    """
    metadata, tensors = _read_state(data)
    past = json.loads(metadata["history"])
    if past["recipe"] != asdict(trainer.recipe):
        different = [name for name, value in asdict(trainer.recipe).items() if past["recipe"].get(name) != value]
        raise ValueError(f"the saved run has another recipe: {', '.join(different)}")
    if metadata["made_of"] != _made_of(trainer):
        raise ValueError("the saved run is of another model, began at other weights, or was trained on other documents")
    trainer.go_to(past["at"], {name.removeprefix("weights."): tensor for name, tensor in tensors.items()
                               if name.startswith("weights.")})
    trainer.optimizer.load_state_dict({"state": _moments(trainer, tensors)})
    trainer.steps = [Step(**{name: _not_none(value) for name, value in step.items()}) for step in past["steps"]]
    trainer.evaluations = {int(at): read_evaluation(one) for at, one in past["evaluations"].items()}


def _moments(trainer: Trainer, tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """What AdamW keeps, by the number of the parameter, each spread over the processes as its parameter is."""
    parameters = [parameter for group in trainer.optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in sorted(tensors.items()):  # processes share tensors out one by one, and need one order for it
        if name.startswith("optimizer."):
            _, number, moment = name.split(".")
            part = tensor if moment == "step" else spread_like(parameters[int(number)], tensor)
            moments.setdefault(int(number), {})[moment] = part
    return moments


def _made_of(trainer: Trainer) -> str:
    """What a recipe does not say: the model's shape, which weights learn, the documents, and where it began."""
    learning = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
    identity = [str(trainer.model.config), str(len(learning)), trainer.corpus.fingerprint()]
    identity += [trainer.begun_from] if trainer.begun_from else []
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


def _read_state(data: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What was written beside the tensors, and the tensors. Raises `ValueError` where a byte is not as it was written."""
    try:
        tensors = load(data)
        size = int.from_bytes(data[:8], "little")
        about = json.loads(data[8:8 + size]).get("__metadata__") or {}
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"the saved run is cut or damaged: {error or type(error).__name__}") from None
    checksum = about.pop(_CHECKSUM, None)
    if checksum is None or not {"history", "made_of"} <= about.keys():
        raise ValueError("the saved run was not written by this program, or by an older one: it has no checksum")
    if checksum != _checksum(about, tensors):
        raise ValueError("the saved run is damaged: its bytes are not those that were written")
    return about, tensors


def _checksum(about: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that a state holds."""
    digest = hashlib.sha256(json.dumps(sorted(about.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
