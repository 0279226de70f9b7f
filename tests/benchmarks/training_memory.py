"""Predicted against measured bytes of a real training step, on a CPU or a CUDA device.

    python -m tests.benchmarks.training_memory
    python -m tests.benchmarks.training_memory --preset gpt-oss-20b --layers 4 --tokens 4096 --precision bf16

Takes one step of AdamW on random tokens and prints, for weights, gradients, optimizer states and what autograd keeps of
each part, the closed form of `gptoss.cost` and the bytes of the real tensors. On CUDA the allocator's peak is printed below:
it also holds results that pass by, and gaps.
"""

from __future__ import annotations

import argparse

import torch

from gptoss.config import PRESETS, ModelConfig
from gptoss.cost import activation_bytes, count_parameters
from gptoss.cost.activations import MASKED_KERNEL, WRITTEN_OUT
from gptoss.cost.memory import BYTES_PER_VALUE
from gptoss.model import Transformer
from gptoss.training.step_memory import MeasuredStep, random_tokens, training_step
from tests.benchmarks.measure import table

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="classroom")
    parser.add_argument("--layers", type=int, help="keep this many of the preset's layers")
    parser.add_argument("--experts", type=int, help="keep this many of the preset's experts")
    parser.add_argument("--batch", type=int, default=4, help="sequences (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=256, help="of each sequence (default: %(default)s)")
    parser.add_argument("--precision", choices=DTYPES, default="fp32", help="of weights and stream (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def chosen_config(arguments: argparse.Namespace) -> ModelConfig:
    wanted = {"num_hidden_layers": arguments.layers, "num_experts": arguments.experts}
    return PRESETS[arguments.preset].replace(**{name: number for name, number in wanted.items() if number})


def predictions(config: ModelConfig, arguments: argparse.Namespace, step: MeasuredStep) -> dict[str, int]:
    """Bytes by part. AdamW's moments have the weights' format here, and norms are fp32 in any case."""
    counts, width = count_parameters(config), BYTES_PER_VALUE[arguments.precision]
    weights = (counts.total - counts.norms) * width + counts.norms * BYTES_PER_VALUE["fp32"]
    attention = MASKED_KERNEL if arguments.device.startswith("cuda") else WRITTEN_OUT
    activations = activation_bytes(
        config, arguments.batch, arguments.tokens, arguments.precision, attention, step.padded_rows)
    return {"weights": weights, "gradients": weights, "optimizer states": 2 * weights} | {
        f"kept: {part}": size for part, size in activations.items()}


def main() -> None:
    arguments = parsed()
    config = chosen_config(arguments)
    model = Transformer(config, device=arguments.device, dtype=DTYPES[arguments.precision])
    tokens = random_tokens(model, arguments.batch, arguments.tokens)
    on_cuda = arguments.device.startswith("cuda")
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    step = training_step(model, tokens)
    measured = {"weights": step.weights, "gradients": step.gradients, "optimizer states": step.optimizer_states} | {
        f"kept: {part}": size for part, size in step.activations.items()}
    predicted = predictions(config, arguments, step)
    for sizes in (measured, predicted):
        sizes["all"] = sum(sizes.values())
    device = torch.cuda.get_device_name() if on_cuda else "CPU"
    print(f"{arguments.preset}, {config.num_hidden_layers} layers, {config.num_experts} experts, "
          f"{count_parameters(config).total:,} parameters, {arguments.precision}; {arguments.batch} x {arguments.tokens} "
          f"tokens; torch {torch.__version__}, {device}")
    print(table([{"part": part, "predicted": f"{size:,}", "measured": f"{measured[part]:,}",
                  "difference": f"{measured[part] - size:,}"} for part, size in predicted.items()]))
    print(f"AdamW's step counters, not predicted: {step.step_counters:,} bytes")
    if on_cuda:
        peak = torch.cuda.max_memory_allocated()
        print(f"the allocator's peak: {peak:,} bytes, {peak / predicted['all']:.3f} of what is predicted")


if __name__ == "__main__":
    main()
