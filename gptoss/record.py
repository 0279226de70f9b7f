"""Write down what a real checkpoint does on the texts that ship, for `GPTOSS_RECORDING` to replay in the app.

    python -m gptoss.record path/to/gpt-oss-20b
    GPTOSS_RECORDING=recording.safetensors streamlit run app.py

Experts in MXFP4 stay packed, so that gpt-oss-20b runs on a CPU with 24 GB. The file holds no weights, only what came of
them: where tokens were routed, what the sinks took, the logit lens after every layer, and the attention of a few heads.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from tqdm import tqdm

from gptoss.checkpoint import CheckpointError, Reader, require_finite
from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.replay import (
    FULL,
    LENS,
    MAX_BYTES,
    MAX_HEADER,
    MAX_TOKENS,
    KeptHead,
    KeptText,
    Replay,
    ReplayError,
    read,
    shapes,
)
from gptoss.tokenizer import CompactVocabulary, compact_vocabulary
from gptoss.tokenizer.samples import RANKED, STORIES, Sample
from gptoss.trace import Trace, trace
from gptoss.training.head_names import named_heads, strongest
from gptoss.units import plural, size

TEXTS = (*STORIES, *RANKED)
HEADS = 8  # of a text whose attention is kept
_KEPT = ("attn.weights", "attn.sink_mass", "mlp.experts", "mlp.expert_weights", "embedding", "after_mlp", "logits")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m gptoss.record", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="a GPT-OSS checkpoint, in OpenAI's or Hugging Face's layout")
    parser.add_argument("--out", type=Path, default=Path("recording.safetensors"), help="the file to write")
    parser.add_argument("--tokens", type=int, default=64, help=f"of each text, {MAX_TOKENS} at most (default 64)")
    parser.add_argument("--texts", nargs="+", choices=[one.name for one in TEXTS], metavar="NAME",
                        help=f"fewer than all: {', '.join(one.name for one in TEXTS)}")
    return parser


def record(directory: Path, texts: Sequence[Sample] = TEXTS, most: int = 64) -> Replay:
    """Run the checkpoint over the first `most` tokens of each text. Raises `CheckpointError` or `ValueError`."""
    reader = Reader(directory)
    vocabulary = compact_vocabulary(reader.config.vocab_size)
    require_readable(reader.config, [len(tokens_of(vocabulary, text, most)) for text in texts])
    packed = len(reader.packed) == 2 * reader.config.num_hidden_layers
    model = Transformer.from_checkpoint(directory, torch.bfloat16, experts="packed" if packed else "unpacked")
    if packed:  # whatever is not, was looked at as it was read
        for name, weights in model.state_dict().items():
            require_finite(name, weights)
    return Replay(model.config, sha256_of(sorted(directory.glob("*.safetensors"))),
                  tuple(record_text(model.eval(), vocabulary, text, most) for text in tqdm(texts, unit="text")))


def tokens_of(vocabulary: CompactVocabulary, text: Sample, most: int) -> list[int]:
    """The first tokens of a text."""
    return vocabulary.encode_prefix(text.text, most, special=text.special).ids


def require_readable(config: ModelConfig, tokens: Iterable[int]) -> None:
    """Raise `ValueError` before the first pass if a file about texts of so many tokens would be too large to be read."""
    heads = min(HEADS, config.num_hidden_layers * config.num_attention_heads)
    total = sum(np.dtype(kind).itemsize * math.prod(shape)
                for count in tokens for kind, shape in shapes(config, count, heads).values())
    if total + MAX_HEADER > MAX_BYTES:
        raise ValueError(f"the recording would take {size(total)}, and at most {size(MAX_BYTES - MAX_HEADER)} are read "
                         f"again; fewer --tokens or --texts take less")


@torch.inference_mode()
def record_text(model: Transformer, vocabulary: CompactVocabulary, text: Sample, most: int) -> KeptText:
    """One pass over the first `most` tokens of a text, and what is kept of it."""
    tokens = tokens_of(vocabulary, text, most)
    flow = trace(model, torch.tensor([tokens]), keep=lambda name: name.endswith(_KEPT))
    weights, sinks, experts, shares = (
        np.stack([one.float().numpy() for one in _of_layers(flow, name)])
        for name in ("attn.weights", "attn.sink_mass", "mlp.experts", "mlp.expert_weights"))
    heads = chosen_heads(model, weights, sinks, tokens, [vocabulary.label(token) for token in tokens])
    maps = np.stack([weights[one.layer, one.head] for one in heads])
    kept = {"tokens": tokens, "experts": experts, "shares": shares, "sinks": np.round(FULL * sinks),
            "maps": np.round(FULL * maps)} | lens(model, flow)
    kinds = shapes(model.config, len(tokens), len(heads))
    return KeptText(text.name, heads, {name: np.asarray(kept[name]).astype(kind) for name, (kind, _) in kinds.items()})


def _of_layers(flow: Trace, name: str) -> list[Tensor]:
    """Of the one text in a trace, the tensor with this name in every layer."""
    return [value[0] for key, value in flow.items() if key.endswith(f".{name}")]


def chosen_heads(model: Transformer, weights: np.ndarray, sinks: np.ndarray, tokens: Sequence[int],
                 labels: Sequence[str]) -> tuple[KeptHead, ...]:
    """The strongest head of each habit, then those that look most narrowly: of (layers, heads, queries, keys)."""
    named = strongest(named_heads(weights, sinks, [block.attn.window for block in model.block], tokens, labels))
    kept = [KeptHead(one.layer, one.head, one.name) for one in named]
    focus = weights.max(axis=-1).mean(axis=-1)
    taken = {(one.layer, one.head) for one in kept}
    rest = [divmod(int(place), focus.shape[1]) for place in np.argsort(-focus, axis=None, kind="stable")]
    return tuple(kept + [KeptHead(*one, "") for one in rest if one not in taken])[:HEADS]


def lens(model: Transformer, flow: Trace) -> dict[str, np.ndarray]:
    """The logit lens after the embedding and after every layer, beside what the model says in the end."""
    answer = flow["logits"][0].argmax(-1, keepdim=True)
    found: dict[str, list[Tensor]] = {"lens": [], "lens_shares": [], "answer_shares": [], "ranks": []}
    for stream in (value[0] for name, value in flow.items() if name.endswith(("embedding", "after_mlp"))):
        shares = model.unembedding(model.norm(stream)).float().softmax(-1)
        own, best = shares.gather(1, answer), shares.topk(min(LENS, shares.shape[1]), dim=-1)
        for name, value in (("lens", best.indices), ("lens_shares", best.values), ("answer_shares", own[:, 0]),
                            ("ranks", 1 + (shares > own).sum(-1))):
            found[name].append(value)
    return {name: torch.stack(values).numpy() for name, values in found.items()}


def sha256_of(files: Iterable[Path]) -> str:
    """Of files one after the other, read in parts."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while part := file.read(1 << 24):
                digest.update(part)
    return digest.hexdigest()


def require_place(out: Path) -> None:
    """Look before the first pass whether a recording can be written there, in place of nothing else than an earlier one.

    Raises `ValueError` in one sentence.
    """
    try:
        if not out.absolute().parent.is_dir():
            raise ValueError(f"--out {out}: there is no such directory")
        if out.exists() or out.is_symlink():
            read(out)
        tempfile.TemporaryFile(dir=out.parent).close()
    except ReplayError:
        raise ValueError(f"--out {out} is there and is no recording; choose another name") from None
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written to: {error.strerror}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    texts = [one for one in TEXTS if not options.texts or one.name in options.texts]
    try:
        if not 1 <= options.tokens <= MAX_TOKENS:
            raise ValueError(f"--tokens {options.tokens}: 1 to {MAX_TOKENS} are possible")
        require_place(options.out)
        replay = record(options.directory, texts, options.tokens)
        replay.write(options.out)
    except (CheckpointError, ValueError, OSError, SafetensorError) as problem:
        sys.exit(str(problem))
    print(f"{options.out}: {plural(len(texts), 'text')}, {size(options.out.stat().st_size)}, SHA-256 {replay.fingerprint}")


if __name__ == "__main__":
    main()
