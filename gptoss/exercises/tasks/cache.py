"""Exercise: the cache of keys and values."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gptoss.exercises.exercise import MEDIUM, Case, Exercise, Mistake

Chunks = Sequence[tuple[Tensor, Tensor]]


class KeyValueCache:
    """One layer's keys and values of the tokens seen so far."""

    def __init__(self, window: int):
        """An empty cache that keeps the last `window` tokens; 0 keeps them all."""
        self.window = window
        self.keys = self.values = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take new tokens' keys and values in; return all that their queries may need.

        Both are (batch, tokens, kv_heads, head_dim). What comes back is what was kept, oldest first, and after it the new
        tokens, all of them: (batch, kept + tokens, kv_heads, head_dim) each. Then the cache keeps the last `window`.
        """
        if self.keys is not None:
            keys, values = torch.cat((self.keys, keys), dim=1), torch.cat((self.values, values), dim=1)
        self.keys, self.values = keys[:, -self.window:], values[:, -self.window:]  # -0 is the beginning: all of them
        return keys, values


def _ask_cache(target: Callable, window: int, chunks: Chunks) -> dict[str, object]:
    cache = target(window)
    answers = {}
    for number, (keys, values) in enumerate(chunks, 1):
        answer = cache.append(keys, values)
        answers[f"what append number {number} returns"] = tuple(
            part.clone() if isinstance(part, Tensor) else part for part in answer) if isinstance(answer, tuple) else answer
    return answers


def _ours(window: int, chunks: Chunks) -> dict[str, object]:
    """Cut out of the whole text: from the first token that was kept to the newest."""
    whole = [torch.cat(parts, dim=1) for parts in zip(*chunks, strict=True)]
    answers, seen = {}, 0
    for number, (keys, _) in enumerate(chunks, 1):
        first = max(0, seen - window) if window else 0
        seen += keys.shape[1]
        answers[f"what append number {number} returns"] = tuple(part[:, first:seen] for part in whole)
    return answers


def _cases() -> list[Case]:
    draw = torch.Generator().manual_seed(8)
    def chunks(*tokens: int, heads: int = 2, size: int = 3, batch: int = 1, dtype: torch.dtype = torch.float32) -> Chunks:
        return [tuple(torch.randn(batch, count, heads, size, generator=draw).to(dtype) for _ in range(2))
                for count in tokens]

    return [
        Case("4 tokens, then 1, then 1, no window", (0, chunks(4, 1, 1))),
        Case("a window of 3: 2 tokens, then four times 1", (3, chunks(2, 1, 1, 1, 1))),
        Case("a window of 2: 5 tokens, then 3, then 1", (2, chunks(5, 3, 1, batch=2))),
        Case("a window of 1, 1 head", (1, chunks(1, 1, 2, 1, heads=1))),
        Case("a window larger than the text", (9, chunks(2, 1))),
        Case("bfloat16", (2, chunks(3, 1, dtype=torch.bfloat16))),
    ]


class _NeverForgets(KeyValueCache):
    def __init__(self, window: int):
        super().__init__(0)


class _CutsTooEarly(KeyValueCache):
    def append(self, keys, values):
        super().append(keys, values)
        return self.keys, self.values


class _NewestOnly(KeyValueCache):
    def append(self, keys, values):
        answer = super().append(keys, values)
        self.keys, self.values = keys, values
        return answer


class _Swapped(KeyValueCache):
    def append(self, keys, values):
        return super().append(keys, values)[::-1]


class _KeepsTheOldest(KeyValueCache):
    def append(self, keys, values):
        keys, values = super().append(keys, values)
        if self.window:
            self.keys, self.values = keys[:, :self.window], values[:, :self.window]
        return keys, values


class _NewFirst(KeyValueCache):
    def append(self, keys, values):
        old = keys[:, :0] if self.keys is None else self.keys, values[:, :0] if self.values is None else self.values
        super().append(keys, values)
        return torch.cat((keys, old[0]), dim=1), torch.cat((values, old[1]), dim=1)


CACHE = Exercise(
    name="cache", title="KV cache", pages=("memory", "window"), difficulty=MEDIUM, minutes=12,
    story="""\
Text is written one token at a time, and every new token looks at all that came before. Their keys and values do not
change, so they are kept: a step then costs one token's work and not the whole text's. A full layer keeps everything, a
sliding one only its window. That is why the cache of GPT-OSS at 131,072 tokens is half of what it would be. One detail
matters: several tokens can come at once, as a prompt does, and then the first of them still needs what the last of them
pushes out.""",
    hints=(
        "Keep two tensors, or None while there is nothing. What is returned and what is kept are not the same.",
        "First append, with `torch.cat((self.keys, keys), dim=1)`; return that. Cut only what is kept.",
        "`self.keys = keys[:, -self.window:]` keeps the last ones, and `-0` is the beginning, so that a window of 0 keeps "
        "all."),
    solution=KeyValueCache, ours=_ours, cases=_cases, parts=("keys", "values"), ask=_ask_cache,
    mistakes=(
        Mistake("never forgets", "Your cache keeps everything although it has a window, so that it grows with the text.",
                _NeverForgets),
        Mistake("cut before it is returned", "You return what you keep. When several tokens come at once, the first of them "
                "still needs keys that the last one pushes out.", _CutsTooEarly),
        Mistake("only the newest kept", "You keep the new tokens alone. Keep them behind what was there "
                "before.", _NewestOnly),
        Mistake("keys and values exchanged", "You return the values first. Keys come first.", _Swapped),
        Mistake("the oldest kept", "You keep the first `window` tokens of the text. Keep the last ones.", _KeepsTheOldest),
        Mistake("new tokens in front", "The new tokens come behind what was kept, because the mask takes the last key for "
                "the newest token.", _NewFirst),
    ))
