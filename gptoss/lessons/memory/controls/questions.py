"""The memory page's questions, one for each view, their answers from closed forms, and its formulas with numbers."""

from __future__ import annotations

from dataclasses import replace

from gptoss import cost, units
from gptoss.app.lesson import Prediction
from gptoss.app.study import Study
from gptoss.cost import Accelerator, Load
from gptoss.cost.accelerators import BY_NAME
from gptoss.lessons.memory.accounts import DEFAULTS, LONGEST, Setting, operator_bounds
from gptoss.lessons.memory.charts import DECODE
from gptoss.lessons.memory.controls.load import (
    CACHE,
    ROOFLINE,
    ROUNDED,
    SPEED,
    asked_about,
    machine,
    possible_setting,
)
from gptoss.lessons.memory.measure.rounded_cache import EVERYWHERE, SKIPPED, cache_bytes
from gptoss.notation import with_numbers

ASKED_BATCH = 16  # tokens of the decoding step in the question
MORE = 1000  # tokens by which the text in a question grows
MOST_USERS = 4096  # among whom the question looks for those with whom compute binds
LITTLE = 0.05  # share of a time below which a faster machine hardly helps
HALF, QUARTER, NEXT_TO_NOTHING = SAVINGS = "by half", "by a quarter", "by less than 1%"
TWICE, THIRD, HARDLY = GAINS = "twice as fast", "about a third faster", "hardly faster"


def question(view: str, study: Study) -> Prediction:
    """The question of a view. That of the first also stands under what is measured here."""
    ask = {CACHE: _growth, ROUNDED: _saved_by_sliding, ROOFLINE: _compute_binds, SPEED: _twice_the_peak}
    return ask.get(view, _touched)(study)


def _touched(study: Study) -> Prediction:
    name, config = asked_about(study)
    experts, active = config.num_experts, config.experts_per_token

    def because(touched: float) -> str:
        missed = 1 - active / experts
        return (f"One token misses a given expert with probability {units.number(missed)}, all {ASKED_BATCH} of them with "
                f"{units.number(missed ** ASKED_BATCH, 2)}. So {units.percent(touched / experts, 0)} of the experts' bytes "
                f"are read for {ASKED_BATCH} tokens, where one token alone reads {units.percent(1 - missed)}.")

    return Prediction(
        f"{name} writes one token for each of {ASKED_BATCH} users at once. Each token chooses {active} of {experts} "
        "experts. How many different experts does a layer have to read, if choices are independent and even?",
        answer=lambda: cost.expected_experts_touched(config, ASKED_BATCH), because=because, unit="experts", tolerance=0.1,
        show=units.number, mistakes=[
            (float(ASKED_BATCH * active), f"{ASKED_BATCH} tokens make {ASKED_BATCH * active} choices, and many of them are "
             "the same experts: each is read once."),
            (float(active), "That is one token. The others choose for themselves, and mostly choose others."),
            (float(experts), "Nearly, but some experts are chosen by nobody.")])


def _growth(study: Study) -> Prediction:
    chosen, _ = possible_setting(study)
    config, width = chosen.config, chosen.load.kv_bytes_per_value
    full = sum(not config.window_of(layer) for layer in range(config.num_hidden_layers))
    layer = 2 * config.num_key_value_heads * config.head_dim * width * MORE / 1e6
    sliding = full < config.num_hidden_layers
    outgrown = ", and it had outgrown the window of the sliding layers before" if sliding else ""
    others = (f"Only the {full} full layers keep more of them: a ring that is full gives up its oldest token for each new "
              "one." if sliding else f"Each of the {full} layers keeps them all.")
    return Prediction(
        f"One user of {chosen.name} has a long text. Now it gets {MORE:,} tokens longer{outgrown}. By how many MB (10⁶ "
        f"bytes) does the KV cache grow? A layer has "
        f"{units.plural(config.num_key_value_heads, 'KV group')} of head size {config.head_dim}, "
        f"{units.plural(width, 'byte')} a value; {full} of {config.num_hidden_layers} layers are "
        "full.", answer=lambda: full * layer, because=lambda _: (
            f"Keys and values are 2 × {config.num_key_value_heads} × {config.head_dim} values a token and layer. {others}"),
        unit="MB", tolerance=0.05, show=units.number, view=CACHE, mistakes=[
            (config.num_hidden_layers * layer, "That lets sliding layers grow too. Their rings are full."),
            (full * layer / 2, "That counts keys without values, or values without keys."),
            (full * layer * config.group_size, "That gives every query head keys of its own. Those of a group share them."),
            (layer, "That is one layer.")])


def _saved_by_sliding(study: Study) -> Prediction:
    chosen, _ = possible_setting(study)
    sizes = cache_bytes(chosen.config, LONGEST)
    saved = 1 - sizes[EVERYWHERE.name] / sizes[SKIPPED.name]
    sliding = sum(bool(chosen.config.window_of(layer)) for layer in range(chosen.config.num_hidden_layers))

    def answer() -> str:
        return min((abs(saved - share), name) for share, name in zip((0.5, 0.25, 0.0), SAVINGS, strict=True))[1]

    return Prediction(
        f"{chosen.name} keeps {LONGEST:,} tokens with its full layers in FP8 and its {sliding} sliding layers, of "
        f"{chosen.config.num_hidden_layers}, in bf16. Now the sliding layers go to FP8 too. By how much does the cache "
        "shrink?",
        answer=answer, choices=SAVINGS, view=ROUNDED, because=lambda _: (
            f"From {units.size(sizes[SKIPPED.name])} to {units.size(sizes[EVERYWHERE.name])}, by "
            f"{units.percent(saved, 2)}: a sliding layer keeps {chosen.config.sliding_window:,} tokens where a full one "
            f"keeps {LONGEST:,}."),
        mistakes={HALF: "FP8 halves what it is applied to, and at this length hardly any of the cache is in sliding layers.",
                  QUARTER: "They are half of the layers, but not half of the cache: they keep their window and no more.",
                  NEXT_TO_NOTHING: "Where few layers are full, the sliding ones are much of the cache."})


def _compute_binds(study: Study) -> Prediction:
    chosen, _ = possible_setting(study)
    on = _with_a_peak(chosen)
    peak, ridge = on.peak(chosen.load.rest), on.peak(chosen.load.rest) / on.bandwidth
    width = 4 if chosen.load.rest == "fp32" else 2
    return Prediction(
        f"{on.name} multiplies {units.decimal(peak, 'FLOP/s')} in {chosen.load.rest} and reads "
        f"{units.decimal(on.bandwidth, 'B/s')}. Every user gets one token at a time. From about how many users at once is "
        f"{chosen.name}'s qkv matrix bound by compute and no longer by memory?",
        answer=lambda: float(users_until_compute_binds(chosen, on)), unit="users", tolerance=0.15, show="{:,.0f}".format,
        view=ROOFLINE, because=lambda users: (
            f"The machine does {units.number(ridge)} FLOPs in the time in which it reads a byte. A weight of {width} bytes "
            f"is multiplied and added once for each user, which is 2 FLOPs. With {users:,.0f} users that is enough work for "
            "the bytes of the matrix, and for those of what goes in and comes out."),
        mistakes=[(2 * ridge, "A multiplication and an addition are two FLOPs, not one."),
                  (ridge * 17 / 64, "That takes MXFP4's bytes: only experts are in MXFP4, qkv is not."),
                  (1.0, "With one user every byte of the matrix is used once: memory binds by far.")])


def users_until_compute_binds(chosen: Setting, on: Accelerator) -> int:
    """The smallest batch whose decoding step has a qkv bound by compute; `MOST_USERS` where none up to it has."""
    def binds(batch: int) -> bool:
        of_step = operator_bounds(chosen.config, replace(chosen.load, batch_size=batch), on)[DECODE]
        return next(bound for bound in of_step if bound.operator.name == "qkv").binds == "compute"

    low, high = 0, MOST_USERS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if binds(middle) else (middle, high)
    return high


def _twice_the_peak(study: Study) -> Prediction:
    chosen, _ = possible_setting(study)
    chosen = replace(chosen, load=replace(chosen.load, batch_size=1))
    on = _with_a_peak(chosen)
    faster = replace(on, peaks={name: 2 * peak for name, peak in on.peaks.items()})

    def gain() -> float:
        now, then = (cost.tokens_per_second(chosen.config, chosen.load, which) for which in (on, faster))
        return then / now - 1

    def answer() -> str:
        return HARDLY if gain() < LITTLE else THIRD if gain() < 2 / 3 else TWICE

    return Prediction(
        f"One user has {chosen.load.context:,} tokens. A new {on.name} multiplies twice as fast and reads memory as fast "
        f"as before. How much faster does {chosen.name} write at best?", choices=GAINS, view=SPEED,
        answer=answer, because=lambda _: (
            f"It gains {units.percent(gain())}. To write a token for a single user, the machine has to read every active "
            "weight and the cache, and does only two FLOPs with each value: so memory bounds nearly everything. With many "
            "users the answer changes."),
        mistakes={TWICE: "Only if compute bounded every operator.", THIRD: "Only if compute bounded much of the time."})


def _with_a_peak(chosen: Setting) -> Accelerator:
    """The chosen machine, or the first one's where its peak is not published."""
    on = machine()
    return on if on.peak(chosen.load.rest) else BY_NAME[DEFAULTS["machine"]]


def maths(study: Study, formulas: tuple[str, ...]) -> str:
    """The page's formulas, each with the numbers of the model and the machine that are chosen."""
    chosen, _ = possible_setting(study)
    numbers = (_memory_numbers(chosen, machine()), _touched_numbers(chosen), _roofline_numbers(chosen, _with_a_peak(chosen)),
               _speed_numbers(chosen, machine()))
    return with_numbers(*zip(formulas, numbers, strict=True))


def _memory_numbers(chosen: Setting, on: Accelerator) -> str:
    config, load = chosen.config, chosen.load
    groups, size = config.num_key_value_heads, config.head_dim
    one = sum(layer.bytes for layer in cost.cache_film(config, load.context, load.kv_bytes_per_value,
                                                       longest=max(LONGEST, load.context)))
    users = cost.users_at_once(config, on.memory, load)
    return (f"for {chosen.name}, 2 · {groups} · {size} = {2 * groups * size:,} values a token and layer, "
            f"{units.plural(load.kv_bytes_per_value, 'byte')} each. One sequence of {load.context:,} tokens takes "
            f"{units.size(one)}, and {on.name} has room for {units.plural(users, 'user')} beside the weights.")


def _touched_numbers(chosen: Setting) -> str:
    experts, active, batch = chosen.config.num_experts, chosen.config.experts_per_token, chosen.load.batch_size
    touched = cost.expected_experts_touched(chosen.config, batch)
    return (f"E = {experts}, k = {active}, B = {batch:,}: {experts} · (1 − (1 − {active}/{experts})^{batch}) = "
            f"{units.number(touched)} {'expert' if touched == 1 else 'experts'}.")


def _roofline_numbers(chosen: Setting, on: Accelerator) -> str:
    config, peak = chosen.config, on.peak(chosen.load.rest)
    scores = 2 * config.num_attention_heads / config.num_key_value_heads / chosen.load.kv_bytes_per_value
    return (f"{on.name}: {units.decimal(peak, 'FLOP/s')} / {units.decimal(on.bandwidth, 'B/s')} = "
            f"{units.number(peak / on.bandwidth)} FLOPs a byte. Scores and values of {chosen.name} have at most "
            f"2 · {config.num_attention_heads} / ({config.num_key_value_heads} · {chosen.load.kv_bytes_per_value}) = "
            f"{units.number(scores)} in a decoding step.")


def _speed_numbers(chosen: Setting, on: Accelerator) -> str:
    load: Load = chosen.load
    rate = cost.tokens_per_second(chosen.config, load, on)
    return (f"on {on.name}, a step of {units.plural(load.batch_size, 'sequence')} takes at least "
            f"{units.seconds(load.batch_size / rate)}: {units.number(rate)} tokens a second at most.")
