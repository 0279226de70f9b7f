"""Ours against `transformers`, and against this machine's own matrix multiplication.

    python -m tests.benchmarks.model
    python -m tests.benchmarks.model --preset classroom
    python -m tests.benchmarks.model --rounds 30 --json model.json

Both models hold the same weights, in float32, and take turns in one process, on another text in every round: so many texts
send an expert so many numbers of tokens. `transformers` runs the attention and the experts that it chooses by default; it
is spared the cache that it would otherwise fill in a forward pass. AdamW is fused for both, as the training loop has it.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GptOssForCausalLM

from gptoss.config import ModelConfig
from gptoss.cost import forward_flops
from gptoss.model import Transformer
from gptoss.model.fast.linear import linear
from gptoss.timing import in_turn
from tests.benchmarks.measure import ratio, summary, table, write_json
from tests.kit.hugging_face import hugging_face_config, hugging_face_twin

CONFIG = ModelConfig(
    num_hidden_layers=4, hidden_size=256, intermediate_size=256, num_attention_heads=8, num_key_value_heads=2,
    head_dim=32, sliding_window=32, num_experts=8, experts_per_token=2, vocab_size=4096)
BATCH, TOKENS = 16, 128
FORWARD = ((BATCH, TOKENS), (1, 64))  # a batch as in training, and one text as on the pages
PROMPT, NEW_TOKENS = 32, 64
SQUARE = 2048


def default_twin(model: Transformer) -> GptOssForCausalLM:
    """The model's weights in `transformers`, with the implementations that it chooses when not told."""
    config = hugging_face_config(model.config)
    config._attn_implementation = config._experts_implementation = None
    twin = GptOssForCausalLM(config).eval()
    twin.load_state_dict(hugging_face_twin(model).state_dict())
    return twin


def on_other_texts(call: Callable[[Tensor], object], config: ModelConfig, shape: tuple[int, int]) -> Callable[[], object]:
    """The call on another random text every time. Made anew from the same shape it gets the same texts in the same order."""
    generator = torch.Generator().manual_seed(1)
    return lambda: call(torch.randint(config.vocab_size, shape, generator=generator))


def forward(ours: Transformer, theirs: GptOssForCausalLM, shape: tuple[int, int], rounds: int) -> dict:
    """The forward pass, and the same matrices multiplied with nothing in between."""
    shapes = linear_shapes(ours.config, math.prod(shape))
    operands = [(torch.randn(m, k), torch.randn(n, k)) for m, k, n in shapes.elements()]
    a, b = torch.randn(SQUARE, SQUARE), torch.randn(SQUARE, SQUARE)
    with torch.inference_mode():
        seconds = in_turn({
            "ours": on_other_texts(ours, ours.config, shape),
            "transformers": on_other_texts(lambda tokens: theirs(tokens, use_cache=False).logits, ours.config, shape),
        }, rounds, warm=2)
        # By themselves: whoever comes after a large product finds caches and heap emptied by it.
        seconds |= in_turn({
            "square": lambda: linear(a, b),
            "square by torch": lambda: a @ b,
            "shapes": lambda: [linear(x, weight) for x, weight in operands],
        }, rounds, warm=2)
    batch, tokens = shape
    work = forward_flops(ours.config, tokens)
    flop = {"needed": batch * work.needed_total, "executed": batch * work.executed_total,
            "square": 2 * SQUARE**3, "shapes": sum(2 * m * k * n * count for (m, k, n), count in shapes.items())}
    return {"seconds": seconds, "rates": rates(flop, seconds)}


def linear_shapes(config: ModelConfig, rows: int) -> Counter[tuple[int, int, int]]:
    """(m, k, n) of every linear layer of a forward pass over `rows` tokens, as if experts shared them evenly."""
    hidden, intermediate = config.hidden_size, config.intermediate_size
    width = config.num_attention_heads * config.head_dim
    routed = rows * config.experts_per_token // config.num_experts
    layer = Counter([(rows, hidden, config.qkv_size), (rows, width, hidden), (rows, hidden, config.num_experts)])
    experts = Counter([(routed, hidden, 2 * intermediate), (routed, intermediate, hidden)])
    shapes = Counter({(rows, hidden, config.vocab_size): 1})
    for _ in range(config.num_hidden_layers):
        shapes += layer
        for _ in range(config.num_experts):
            shapes += experts
    return shapes


def rates(flop: dict[str, int], seconds: dict[str, list[float]]) -> dict[str, float]:
    """GFLOP/s by the median time, and the forward pass as a share of the machine's own rates."""
    ours, square, shapes = (summary(seconds[name])["median_ms"] / 1000 for name in ("ours", "square", "shapes"))
    needed, executed = flop["needed"] / ours / 1e9, flop["executed"] / ours / 1e9
    own, alone = flop["square"] / square / 1e9, flop["shapes"] / shapes / 1e9
    by_torch = flop["square"] / statistics.median(seconds["square by torch"]) / 1e9
    return {"forward, needed": needed, "forward, executed": executed, f"matmul, {SQUARE} squared": own,
            f"matmul, {SQUARE} squared, by torch's own way": by_torch,
            "matmul, the model's shapes": alone, "share of square, needed": needed / own,
            "share of shapes, needed": needed / alone, "share of square, executed": executed / own,
            "share of shapes, executed": executed / alone}


def training(ours: Transformer, theirs: GptOssForCausalLM, rounds: int) -> dict[str, list[float]]:
    """Forward, cross-entropy, backward and an AdamW step. Changes both models' weights."""
    theirs.train()
    contestants = {
        "ours": training_step(ours, ours),
        "transformers": training_step(theirs, lambda inputs: theirs(inputs, use_cache=False).logits)}
    return in_turn({name: on_other_texts(step, ours.config, (BATCH, TOKENS + 1)) for name, step in contestants.items()},
                   rounds, warm=2)


def training_step(model: nn.Module, logits: Callable[[Tensor], Tensor]) -> Callable[[Tensor], None]:
    """One step on a batch of tokens; the same loss and optimiser for every model."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(tokens: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(logits(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()

    return step


def decoding(ours: Transformer, theirs: GptOssForCausalLM, prompt: Tensor, rounds: int) -> dict[str, list[float]]:
    """Greedy decoding of one sequence. Both must write the same tokens, all of them."""
    theirs.generation_config.eos_token_id = theirs.generation_config.pad_token_id = None  # nothing ends it early

    def generate() -> list[int]:
        return theirs.generate(prompt[None], max_new_tokens=NEW_TOKENS, do_sample=False)[0, len(prompt):].tolist()

    def our_generate() -> list[int]:
        return list(ours.generate(prompt.tolist(), NEW_TOKENS, temperature=0))

    answer, wanted = our_generate(), generate()
    if answer != wanted or len(wanted) != NEW_TOKENS:
        raise SystemExit(f"The decoded tokens differ:\n{answer}\n{wanted}")
    return in_turn({"ours": our_generate, "transformers": generate}, rounds)


def largest_difference(ours: Transformer, theirs: GptOssForCausalLM, tokens: Tensor) -> float:
    """Of the logits, relative to the largest of them: that both compute the same."""
    with torch.inference_mode():
        a, b = ours(tokens), theirs(tokens, use_cache=False).logits
    return float((a - b).abs().max() / b.abs().max())


def run(rounds: int, config: ModelConfig = CONFIG) -> dict:
    """All measurements, in an order in which training comes last, since it changes the weights."""
    torch.manual_seed(0)
    ours = Transformer(config, seed=0).eval()
    theirs = default_twin(ours)
    tokens = torch.randint(config.vocab_size, (BATCH, TOKENS))
    difference = largest_difference(ours, theirs, tokens)
    passes = {f"forward {batch} x {length}": forward(ours, theirs, (batch, length), rounds) for batch, length in FORWARD}
    series = {name: measured["seconds"] for name, measured in passes.items()}
    series |= {"decoding": decoding(ours, theirs, tokens[0, :PROMPT], max(3, rounds // 3)),
               "training step": training(ours, theirs, max(3, rounds // 2))}
    return {"threads": torch.get_num_threads(), "largest_difference": difference,
            "attention": theirs.config._attn_implementation, "experts": theirs.config._experts_implementation,
            "seconds": series, "gflop_per_s": {name: measured["rates"] for name, measured in passes.items()},
            "times_as_fast": {name: ratio(seconds["transformers"], seconds["ours"]) for name, seconds in series.items()}}


def report(results: dict) -> None:
    """The tables."""
    print(f"{results['threads']} threads, float32; transformers: attention {results['attention']}, experts "
          f"{results['experts']}; logits differ by {results['largest_difference']:.1e} of the largest\n")
    print(table([{"what": f"{what}, {who}", **summary(seconds),
                  "times as fast": results["times_as_fast"][what] if who == "ours" else None}
                 for what, series in results["seconds"].items() for who, seconds in series.items()]), "\n")
    print(table([{"rate": f"{what}: {name}", "GFLOP/s": None if "share" in name else value,
                  "share": f"{value:.0%}" if "share" in name else None}
                 for what, measured in results["gflop_per_s"].items() for name, value in measured.items()]))
    print("\nFLOPs of matrix products alone. Needed: attention over visible pairs; executed: over all pairs, as the "
          "explicit path does. What the fused path multiplies lies between them.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="timed rounds of the forward pass")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--preset", choices=("classroom", "storyteller"), help="in place of a larger shape")
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    measured = run(arguments.rounds, ModelConfig.preset(arguments.preset) if arguments.preset else CONFIG)
    report(measured)
    write_json(arguments.json, measured)
