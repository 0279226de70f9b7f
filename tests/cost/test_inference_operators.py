"""FLOPs and bytes of every operator, against real passes, the flop counter and the other closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_flops import FlopCounterMode

from gptoss.config import PRESETS
from gptoss.cost import (
    Load,
    decode_bytes,
    decode_operators,
    expected_experts_touched,
    forward_flops,
    prefill_operators,
)
from gptoss.cost.inference import CACHE, FIGURES, FLOPS, WEIGHTS
from gptoss.model import Transformer

CLASSROOM = PRESETS["classroom"]
NAMES = ("qkv", "scores", "values", "out", "router", "mlp1", "mlp2", "unembedding")
loads = st.builds(Load, batch_size=st.integers(1, 5), prompt=st.integers(1, 40), context=st.integers(1, 40),
                  experts=st.sampled_from(["bf16", "fp32"]), rest=st.sampled_from(["bf16", "fp32"]),
                  kv_bytes_per_value=st.integers(1, 4))


def by_name(operators) -> dict:
    return {operator.name: operator for operator in operators}


@settings(max_examples=25)
@given(data=st.data(), load=loads)
def test_flops_are_those_of_a_forward_pass_with_one_position_of_logits(small_configs, data, load):
    config = data.draw(small_configs)
    reading = forward_flops(config, load.prompt).needed
    reading["unembedding"] //= load.prompt
    writing = forward_flops(config, 1, load.context).needed
    for operators, needed in ((prefill_operators(config, load), reading), (decode_operators(config, load), writing)):
        assert {operator.name: operator.flops for operator in operators} == {
            name: load.batch_size * flops for name, flops in needed.items()}
        assert tuple(operator.name for operator in operators) == NAMES


class DecodedStep:
    """One step of a real model, with everything that went in and out of its parts."""

    def __init__(self, config, batch_size: int, context: int):
        self.model = Transformer(config, dtype=torch.bfloat16)
        cache = self.model.new_cache(context, batch_size)
        ids = torch.arange(batch_size * context).view(batch_size, context) % config.vocab_size
        self.recorded, self.handed = {}, []
        for layer in cache.layers:
            layer.append = self._noting(layer.append)
        with torch.no_grad():
            for position in range(context - 1):
                self.model(ids[:, position:position + 1], cache=cache)
            self.handed.clear()
            with FlopCounterMode(display=False) as counter:
                self.model(ids[:, -1:], cache=cache, record=self.recorded.__setitem__)
        self.flops = counter.get_total_flops()
        chosen = [self.recorded[f"block.{layer}.mlp.experts"] for layer in range(config.num_hidden_layers)]
        self.touched = [experts.unique().tolist() for experts in chosen]

    def _noting(self, append):
        def noted(keys, values):
            self.handed.append((keys.clone(), *append(keys, values)))
            return self.handed[-1][1:]

        return noted

    @property
    def mean_touched(self) -> float:
        return sum(map(len, self.touched)) / len(self.touched)

    def weights_read(self) -> int:
        """Bytes of the parameters that the operators multiply with."""
        read = self.model.unembedding.weight.nbytes
        for block, touched in zip(self.model.block, self.touched, strict=True):
            read += sum(linear.weight.nbytes + linear.bias.nbytes
                        for linear in (block.attn.qkv, block.attn.out, block.mlp.gate)) + block.attn.sinks.nbytes
            read += sum(parameter[touched].nbytes for parameter in block.mlp._parts())
        return read


@settings(max_examples=20)
@given(data=st.data(), batch_size=st.integers(1, 4), context=st.integers(2, 14))
def test_a_real_decoding_step_multiplies_reads_and_writes_what_is_predicted(small_configs, data, batch_size, context):
    config = data.draw(small_configs)
    config = config.replace(sliding_window=max(config.sliding_window, 2) if config.sliding_window else 0)
    step = DecodedStep(config, batch_size, context)
    load = Load(batch_size, context=context, experts="bf16")
    operators = decode_operators(config, load, step.mean_touched)
    assert sum(operator.flops for operator in operators) == step.flops
    assert sum(operator.weight_bytes for operator in operators) == pytest.approx(step.weights_read(), rel=1e-12)
    named = by_name(operators)
    assert named["scores"].cache_bytes == sum(keys.nbytes for _, keys, _ in step.handed)
    assert named["values"].cache_bytes == sum(values.nbytes for _, _, values in step.handed)
    assert named["qkv"].cache_bytes == 2 * sum(new.nbytes for new, _, _ in step.handed)

    def recorded(ending: str) -> int:
        return sum(value.nbytes for name, value in step.recorded.items() if name.endswith(ending))

    assert named["qkv"].activation_bytes == recorded("attn.norm") + recorded("attn.q")
    assert named["scores"].activation_bytes == recorded("attn.q_rope")
    assert named["values"].activation_bytes == recorded("attn.mixed")
    assert named["out"].activation_bytes == recorded("attn.mixed") + recorded("attn.out")
    assert named["router"].activation_bytes == recorded("mlp.norm") + recorded("mlp.router_logits")
    assert named["unembedding"].activation_bytes == step.recorded["norm"].nbytes + step.recorded["logits"].nbytes
    answers = recorded("mlp.expert_outputs")
    assert named["mlp1"].activation_bytes == answers + answers * 2 * config.intermediate_size // config.hidden_size
    assert named["mlp2"].activation_bytes == answers + answers * config.intermediate_size // config.hidden_size


@pytest.mark.parametrize("name", ["gpt-oss-20b", "gpt-oss-120b", "classroom"])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize(("experts", "rest"), [("mxfp4", "bf16"), ("bf16", "bf16"), ("fp32", "fp32"), ("mxfp4", "fp32")])
def test_decoding_moves_the_weights_and_the_cache_of_decode_bytes(name, batch_size, experts, rest):
    config, load = PRESETS[name], Load(batch_size, context=3000, experts=experts, rest=rest)
    moved, named = decode_bytes(config, 3000, batch_size, experts, rest), by_name(decode_operators(config, load))
    for part in ("qkv", "out", "router", "unembedding"):
        assert named[part].weight_bytes == moved[part]
    assert named["scores"].weight_bytes == moved["sinks"] and named["values"].weight_bytes == 0
    both = named["mlp1"].weight_bytes + named["mlp2"].weight_bytes
    assert both == pytest.approx(moved["mlp1"] + moved["mlp2"] + moved["expert biases"], abs=1.5)  # rounded there
    assert named["scores"].cache_bytes + named["values"].cache_bytes == moved["KV cache read"]
    assert named["qkv"].cache_bytes == moved["KV cache written"]
    assert sum(operator.cache_bytes for operator in named.values()) == moved["KV cache read"] + moved["KV cache written"]


def test_reading_a_prompt_writes_and_reads_every_key_and_value_once():
    config, load = PRESETS["gpt-oss-20b"], Load(batch_size=2, prompt=1000)
    named = by_name(prefill_operators(config, load))
    keys = 24 * 2 * 1000 * 8 * 64 * 2
    assert (named["qkv"].cache_bytes, named["scores"].cache_bytes, named["values"].cache_bytes) == (2 * keys, keys, keys)


@given(load=loads)
def test_factors_make_the_figures(load):
    for operator in (*prefill_operators(CLASSROOM, load), *decode_operators(CLASSROOM, load)):
        assert tuple(operator.factors) == FIGURES
        sizes = [math.prod(factors.values()) if factors else 0 for factors in operator.factors.values()]
        assert sizes == [operator.flops, operator.weight_bytes, operator.cache_bytes, operator.activation_bytes]
        assert operator.bytes == sum(sizes[1:]) and operator.intensity == operator.flops / operator.bytes
        assert bool(operator.factors[WEIGHTS]) == (operator.name != "values")
        assert bool(operator.factors[CACHE]) == (operator.name in ("qkv", "scores", "values"))
        assert operator.factors[FLOPS]["FLOPs of a multiply-add"] == 2
        assert isinstance(hash(operator), int)


@given(load=loads, touched=st.floats(2, 8))
def test_experts_share_the_rows_that_are_routed(load, touched):
    tokens = load.batch_size * load.prompt
    most = min(8, 2 * tokens)
    for operator in prefill_operators(CLASSROOM, load, min(touched, most))[5:7]:
        assert operator.calls == CLASSROOM.num_hidden_layers * min(touched, most)
        assert operator.calls * operator.rows == pytest.approx(CLASSROOM.num_hidden_layers * tokens * 2)
        assert operator.number_format == ("fp32" if load.rest == "fp32" else load.experts)
    for operator in decode_operators(CLASSROOM, load)[:5]:
        assert (operator.calls, operator.rows) == (CLASSROOM.num_hidden_layers, load.batch_size)
        assert operator.number_format == load.rest


@given(tokens=st.integers(1, 3000))
def test_more_tokens_visit_more_experts_but_never_more_than_there_are(tokens):
    for name in ("gpt-oss-20b", "gpt-oss-120b"):
        config = PRESETS[name]
        here, next_one = (expected_experts_touched(config, number) for number in (tokens, tokens + 1))
        assert config.experts_per_token <= here <= next_one <= config.num_experts
        assert next_one - here <= config.experts_per_token


@pytest.mark.parametrize(("call", "words"), [
    (lambda: Load(batch_size=0), "batch_size=0"), (lambda: Load(prompt=0), "prompt=0"),
    (lambda: Load(context=1.5), "context=1.5"), (lambda: Load(kv_bytes_per_value=0), "kv_bytes_per_value=0"),
    (lambda: Load(experts="int4"), "experts='int4' .*mxfp4"), (lambda: Load(rest="mxfp4"), "rest='mxfp4'"),
    (lambda: decode_operators(CLASSROOM, Load(), touched=1), "touched=1 .*2 to 2"),
    (lambda: decode_operators(CLASSROOM, Load(batch_size=64), touched=8.5), "touched=8.5 .*2 to 8"),
    (lambda: prefill_operators(CLASSROOM.replace(hidden_size=100), Load()), "hidden_size=100 .*MXFP4"),
])
def test_impossible_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
