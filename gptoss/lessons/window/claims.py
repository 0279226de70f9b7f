"""What people say about sliding windows and the context, decided on the published models' own layers."""

from __future__ import annotations

from gptoss.app.study import Study
from gptoss.app.verdicts import Verdict
from gptoss.lessons.window.measure import windows_in
from gptoss.model import Transformer
from gptoss.model.mask import visible
from gptoss.units import number


def block_order(study: Study) -> Verdict:
    """Claim 6: whether the first block is global and the second slides, read off a model laid out without memory."""
    windows = windows_in(Transformer(study.config, device="meta"))
    first = ", ".join(f"layer {layer} {f'slides over {window}' if window else 'sees everything'}"
                      for layer, window in enumerate(windows[:4]))
    return Verdict.of(windows[:2] == (0, study.window), (
        f"In {study.name} {first}, and so on: {sum(map(bool, windows))} of {len(windows)} layers slide, the first one too."))


def context_length(study: Study) -> Verdict:
    """Claim 12: whether 4,096 tokens are the context. As a lower bound it is no more than true."""
    config = study.config
    start, context = config.initial_context_length, config.max_context_length
    return Verdict.of(context == start, partly=context > start, sentence=(
        f"As a lower bound it holds. {start:,} is where YaRN starts: stretched by {number(config.rope_scaling_factor)} it "
        f"is {context:,} tokens, which is {context // 1024} times GPT-2's 1,024."))


def keys_and_the_query(study: Study) -> Verdict:
    """Whether a window of so many tokens shows as many keys beside the query, counted in the mask of a sliding layer."""
    window = study.window
    row = visible(queries=1, keys=2 * window, window=window)[0]
    keys, itself = int(row[:-1].sum()), bool(row[-1])
    return Verdict.of(keys == window, (
        f"A query sees {keys + itself} tokens: {'itself' if itself else 'not itself'} and the {keys} before it. A widely "
        f"used attention library counts only the tokens before the query, so this window is {keys} there; who writes "
        f"{window} gets {window + 1} tokens."))
