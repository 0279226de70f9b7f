"""The letters of all formulas: what each means, on every page the same, and the field of the configuration that it is.

A letter with and without an index may be two symbols, and so may a letter in bold (a vector or a matrix) or in script: `s`
is YaRN's factor, `s_{ij}` a score. `tests/unit/test_notation.py` reads every formula of the app against this table.
"""

from __future__ import annotations

from typing import NamedTuple


class Symbol(NamedTuple):
    """One symbol in LaTeX, what it means in words, and its field of `ModelConfig`, if it is one."""

    latex: str
    meaning: str
    field: str = ""


NOTATION = (
    # the text
    Symbol("n", "tokens of the text"),
    Symbol("i", "position: of a token, of the query where there are two, or of a number in its row"),
    Symbol("j", "position of a key"),
    Symbol("V", "tokens of the vocabulary", "vocab_size"),
    Symbol("v", "one token of the vocabulary"),
    # the model's shape
    Symbol("L", "layers", "num_hidden_layers"),
    Symbol(r"\ell", "one layer"),
    Symbol("D", "hidden size: the width of the stream", "hidden_size"),
    Symbol("d", "head size", "head_dim"),
    Symbol("H", "query heads", "num_attention_heads"),
    Symbol("h", "one query head"),
    Symbol("G", "KV groups", "num_key_value_heads"),
    Symbol("g", "one KV group"),
    Symbol("W", "window of the sliding layers", "sliding_window"),
    Symbol("E", "experts of a layer", "num_experts"),
    Symbol("e", "one expert"),
    Symbol("k", "active experts of a token", "experts_per_token"),
    Symbol("F", "inner width of an expert", "intermediate_size"),
    Symbol("N", "parameters"),
    Symbol("C", "compute, in FLOPs"),
    # what flows
    Symbol(r"\mathbf x", "the residual stream at one token"),
    Symbol(r"\mathbf q", "query vector"),
    Symbol(r"\mathbf k", "key vector"),
    Symbol(r"\mathbf v", "value vector"),
    Symbol(r"\mathbf o", "what a head gives back: its mixed value"),
    Symbol(r"\mathbf a", "what a half block adds to the stream"),
    Symbol("s_{ij}", "score: how well query i and key j match"),
    Symbol("a_{ij}", "attention weight: the share that query i takes from token j"),
    Symbol("M_{ij}", "whether a layer lets query i look at key j"),
    Symbol("R_{ij}", "whether token j has reached the stream of token i"),
    Symbol("b_h", "the sink's logit of a head"),
    Symbol(r"\mathbf w_h", "what a head's gate learns, where there is one: GPT-OSS has none"),
    Symbol("z", "logits"),
    Symbol("p", "probabilities"),
    # the experts
    Symbol("S", "the experts that are chosen for a token"),
    Symbol(r"\mathbf u", "the stream after RMSNorm, as the router and the experts read it"),
    Symbol("r_e", "the router's score of an expert"),
    Symbol("w_e", "weight of a chosen expert's answer"),
    Symbol(r"\mathbf W", "a matrix of weights"),
    Symbol(r"\mathbf b", "biases: learned numbers that are added"),
    Symbol("y", "gate of a neuron"),
    Symbol("t", "linear half of a neuron"),
    Symbol(r"\sigma", "the logistic function, from 0 to 1"),
    Symbol("T", "temperature"),
    Symbol("K", "tokens that sampling keeps"),
    Symbol("c", "share of the probability at which top-p cuts"),
    Symbol(r"\mathcal H", "entropy"),
    Symbol(r"\mathcal L", "loss"),
    # RoPE, YaRN and RMSNorm
    Symbol("m", "a pair of dimensions that RoPE turns"),
    Symbol(r"\omega_m", "frequency of pair m, in radians a token"),
    Symbol(r"\theta", "RoPE's base", "rope_theta"),
    Symbol("s", "YaRN's factor", "rope_scaling_factor"),
    Symbol(r"\rho_m", "YaRN's ramp at pair m: 0 keeps its frequency, 1 slows it by the whole factor"),
    Symbol(r"\alpha", "turns in training up to which YaRN slows a pair by the whole factor", "rope_ntk_alpha"),
    Symbol(r"\beta", "turns in training from which YaRN keeps a pair", "rope_ntk_beta"),
    Symbol("n_0", "tokens of the trained context", "initial_context_length"),
    Symbol(r"\gamma", "RMSNorm's learned scale"),
    Symbol(r"\varepsilon", "a small number that keeps a division from being one by zero"),
    # numbers in four bits
    Symbol("x", "one number of a row: of the stream, or of a block of weights"),
    Symbol(r"\mu", "the largest size in a block"),
    Symbol(r"\kappa", "exponent of a block's scale"),
    # training
    Symbol("B", "sequences of a batch"),
    Symbol(r"\eta", "learning rate"),
    Symbol(r"\mathbf g", "gradient"),
)


def with_numbers(*steps: tuple[str, str]) -> str:
    """The maths of a page in Markdown: each formula, and under it the line that puts the model's numbers in."""
    return "\n\n".join(f"{formula.strip()}\n\nWith the numbers above: {numbers}" for formula, numbers in steps)
