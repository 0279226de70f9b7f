"""What can be replayed of a run: at each moment, where heads look, where tokens are routed, and what the model writes.

Weights of every moment would be too much to keep; what a few fixed probe texts make of them is not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import torch

from gptoss.model import LanguageModel
from gptoss.trace import trace
from gptoss.training.archives import opened
from gptoss.training.corpus import Corpus
from gptoss.training.domains import REPETITION, Documents
from gptoss.training.induction import induction_scores, previous_token_scores

REPEATED = 12  # words, at least, of the line that the attention probe says twice
PROMPT, WRITTEN = 24, 16  # tokens that a sample is given, and writes
CANDIDATES = 64  # validation documents among which the probe is looked for


@dataclass(frozen=True)
class Probe:
    """The texts that are read at every moment.

    Attributes:
        attention: (tokens,) ids of a document in which a line of words comes back.
        distance: (tokens,) how far back each of its tokens last came, 0 where it is new.
        routed: (documents, tokens) ids, one document of each domain.
        domains: of `routed`.
    """

    attention: np.ndarray
    distance: np.ndarray
    routed: np.ndarray
    domains: tuple[str, ...]

    @classmethod
    def of(cls, corpus: Corpus, candidates: int = CANDIDATES) -> Probe:
        """From `candidates` validation texts of each domain. Without repetition among them, any document is watched."""
        texts = corpus.validation(candidates)
        watched = texts.get(REPETITION) or next(iter(texts.values()))
        row = _row_that_repeats(watched)
        return cls(watched.tokens[row, :-1], watched.distance[row, :-1],
                   np.stack([documents.tokens[0, :-1] for documents in texts.values()]), tuple(texts))


def _row_that_repeats(documents: Documents) -> int:
    """The first document with a line that is long enough, written twice in full; else the one that repeats most."""
    long = ((documents.distance > REPEATED).sum(axis=1) > REPEATED)
    return int(long.argmax() if long.any() else (documents.distance > 0).sum(axis=1).argmax())


@dataclass
class Recording:
    """Moments of a run, by the number of steps done.

    Attributes:
        probe: what was read.
        steps: of each moment.
        attention: for each moment (layers, heads, queries, keys), in 255ths.
        experts: for each moment (layers, documents, tokens, active), the chosen experts; nothing where there is no router.
        samples: for each moment (prompt, what the model wrote, greedily), as ids.
    """

    probe: Probe
    steps: list[int] = field(default_factory=list)
    attention: list[np.ndarray] = field(default_factory=list)
    experts: list[np.ndarray] = field(default_factory=list)
    samples: list[tuple[list[int], list[int]]] = field(default_factory=list)

    @torch.no_grad()
    def add(self, step: int, model: LanguageModel) -> None:
        """Keep this moment."""
        layers = range(len(model.block))
        was_training = model.training
        model.eval()
        flow = trace(model, torch.as_tensor(self.probe.attention)[None].to(model.device))
        weights = np.stack([flow[f"block.{n}.attn.weights"][0].float().cpu().numpy() for n in layers])
        self.attention.append(np.round(weights * 255).astype(np.uint8))
        if "block.0.mlp.experts" in flow:
            flow = trace(model, torch.as_tensor(self.probe.routed).to(model.device))
            self.experts.append(np.stack([flow[f"block.{n}.mlp.experts"].cpu().numpy() for n in layers]).astype(np.uint8))
        prompt = self.probe.routed[len(self.steps) % len(self.probe.routed), :PROMPT].tolist()
        room = max(model.config.max_context_length - len(prompt), 0)  # GPT-2 has no position beyond its last
        self.samples.append((prompt, list(model.generate(prompt, min(WRITTEN, room), temperature=0))))
        self.steps.append(step)
        model.train(was_training)

    def keep_until(self, steps: Collection[int]) -> None:
        """Drop the last moments that are not at one of these steps: of a run that ended before its state was written."""
        kept = sum(at in steps for at in self.steps)
        for moments in (self.steps, self.attention, self.experts, self.samples):
            del moments[kept:]

    def weights(self, moment: int) -> np.ndarray:
        """Attention of one moment, (layers, heads, queries, keys), 0 to 1."""
        return self.attention[moment].astype(np.float32) / 255

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Previous-token and induction score of every head at every moment: two of (moments, layers, heads), 0 to 1."""
        previous = [previous_token_scores(self.weights(moment)) for moment in range(len(self.steps))]
        induction = [induction_scores(self.weights(moment), self.probe.distance) for moment in range(len(self.steps))]
        return np.stack(previous), np.stack(induction)

    def to_bytes(self) -> bytes:
        """The recording as a compressed `.npz` file."""
        file = io.BytesIO()
        experts = {"experts": np.stack(self.experts)} if self.experts else {}
        np.savez_compressed(file, steps=self.steps, attention=np.stack(self.attention), probe=self.probe.attention,
                            distance=self.probe.distance, routed=self.probe.routed, domains=list(self.probe.domains),
                            samples=json.dumps(self.samples), **experts)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Recording:
        """What `to_bytes` wrote. Raises `ValueError` for anything else."""
        with opened(io.BytesIO(data), "the recording") as archive:
            probe = Probe(archive["probe"], archive["distance"], archive["routed"], tuple(map(str, archive["domains"])))
            return cls(probe, archive["steps"].tolist(), list(archive["attention"]),
                       list(archive["experts"]) if "experts" in archive else [],
                       [tuple(sample) for sample in json.loads(str(archive["samples"]))])
