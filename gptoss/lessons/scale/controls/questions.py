"""The scale page's questions, one for each view, the checks of its experiments, and its formulas with numbers."""

from __future__ import annotations

from gptoss import cost, units
from gptoss.app.glossary import word
from gptoss.app.lesson import Prediction, Seen
from gptoss.app.study import Study
from gptoss.config import PRESETS, ModelConfig
from gptoss.cost.activations import FUSED
from gptoss.cost.scale import FSDP
from gptoss.lessons.scale import measure
from gptoss.lessons.scale.controls.views import SCHEDULE, TIME, model_shown, possible_setting, value
from gptoss.lessons.scale.measure import DEFAULTS, Setting, state_bytes
from gptoss.notation import with_numbers
from gptoss.take_home.here import LARGE, SMALL

ASKED_MEMORY = 80 * 10**9  # bytes of the accelerator in the question
HALF, BOTH, STEPS = EFFECTS = ("half as many accumulation steps, the same optimizer steps", "half as many of both",
                               "the same accumulation steps, half as many optimizer steps")


def question(view: str, study: Study) -> Prediction:
    """The question of a view."""
    if view == TIME:
        return _longer()
    return _twice_the_accelerators() if view == SCHEDULE else _state(study)


def _state(study: Study) -> Prediction:
    name, config = model_shown(study)
    if state_bytes(config) <= ASKED_MEMORY:
        name, config = LARGE, PRESETS[LARGE]
    parameters, state = cost.count_parameters(config).total, state_bytes(config)

    def hold(size: float) -> float:
        return float(-(-size // ASKED_MEMORY))

    return Prediction(
        f"The checkpoint of {name} takes {units.decimal(cost.checkpoint_bytes(config), 'B')}. Training keeps weights, "
        "master weights (a copy in fp32), gradients and the optimizer's two moments of every parameter. Divided "
        "evenly, how many accelerators of 80 GB hold that, without any activations?",
        answer=lambda: hold(state), unit="accelerators", tolerance=0.15, show="{:,.0f}".format, because=lambda _: (
            f"{parameters:,} parameters × {state / parameters:.0f} bytes are {units.decimal(state, 'B')}: "
            f"{state / cost.checkpoint_bytes(config):.0f} times the checkpoint, whose experts take 4.25 bits a value."),
        mistakes=[(hold(cost.checkpoint_bytes(config)), "That holds the checkpoint, and nothing that training adds."),
                  (hold(2 * parameters), "That holds the weights in bf16 and nothing else."),
                  (hold(12 * parameters), "That leaves out the master weights. Without that copy in fp32, small steps would "
                                          "be lost in bf16.")])


def _longer() -> Prediction:
    small, large = PRESETS[SMALL], PRESETS[LARGE]
    flops = {name: measure.training_flops(config, config.initial_context_length, tokens=1)
             for name, config in ((SMALL, small), (LARGE, large))}
    active = {name: cost.count_parameters(config).active for name, config in ((SMALL, small), (LARGE, large))}
    total = cost.count_parameters(large).total / cost.count_parameters(small).total
    return Prediction(
        f"{LARGE} has {units.number(total)} times as many parameters as {SMALL}. Both are trained on the same tokens, on "
        f"the same accelerators, as well used. How many times as long does {LARGE} take?",
        answer=lambda: flops[LARGE] / flops[SMALL], unit="times as long", tolerance=0.08, show=units.number, view=TIME,
        because=lambda _: (
            f"A token is multiplied with the active parameters, {units.count(active[LARGE])} against "
            f"{units.count(active[SMALL])}: most of what {LARGE} has more of are experts that a token does not choose."),
        mistakes=[(total, "That takes all parameters. A token passes through the active ones only."),
                  (large.num_experts / small.num_experts, "It has more experts, but a token chooses as many as before."),
                  (1.0, "It has more layers, and each token goes through all of them.")])


def _twice_the_accelerators() -> Prediction:
    config, batch = PRESETS[LARGE], DEFAULTS["batch"]
    steps = {world: cost.accumulation_steps(batch, 1, config.initial_context_length, world)
             for world in (DEFAULTS["world"], 2 * DEFAULTS["world"])}
    before, after = steps.values()
    return Prediction(
        f"{LARGE} is trained on {DEFAULTS['world']} accelerators in batches of {batch:,} tokens. It gets twice as many "
        "accelerators; tokens and batch stay. What else changes?", choices=EFFECTS, view=SCHEDULE,
        answer=lambda: HALF if after < before else STEPS, because=lambda _: (
            f"A batch is still {batch:,} tokens, so that as many optimizer steps are taken. But more of it is read at once: "
            f"{units.plural(after, 'accumulation step')} in place of {before}."),
        mistakes={BOTH: "The optimizer takes a step a batch, and there are as many batches as before.",
                  STEPS: "An optimizer step is a batch, whose size nobody has changed. Each accelerator only reads "
                         "less of it."})


# Whether the sentences of the experiments are true of what is seen.

def _fits(seen: Seen, stage: str) -> bool:
    """Whether accelerators of 80 GB hold their part of a step."""
    shown = seen.chart("Accelerators that hold").query(f"stage == '{stage}'")
    return set(shown.loc[shown["accelerator"].str.contains("80 GB"), "verdict"]) == {"fits"}


def even_fsdp_is_too_large(seen: Seen) -> bool:
    """Whether a step that is divided as far as possible does not fit into 80 GB, and activations are most of it."""
    parts = _parts(seen, FSDP)
    return not _fits(seen, FSDP) and max(parts, key=parts.get) == "activations"


def activations_shrink(seen: Seen) -> bool:
    """Whether activations are a fraction of what they are without recomputation, and the step fits."""
    config = PRESETS[LARGE]
    before = Setting(cost.Layout(DEFAULTS["world"]), 1, config.initial_context_length, FUSED, "bf16")
    kept = measure.stages(config, before)[FSDP]["activations"]
    return _parts(seen, FSDP)["activations"] < 0.5 * kept and _fits(seen, FSDP)


def fits_under_zero_2(seen: Seen) -> bool:
    """Whether 80 GB are enough for more than one way to divide."""
    return _fits(seen, "ZeRO-2") and _fits(seen, FSDP) and not _fits(seen, "DDP")


def takes_hours(seen: Seen) -> bool:
    """Whether H100s need hours, neither minutes nor days."""
    hours = seen.chart("Hours of training").set_index("accelerator")["figure"]
    return hours["H100"].endswith(" h")


def _parts(seen: Seen, stage: str) -> dict[str, float]:
    bars = seen.chart("by stage of dividing").query(f"kind == 'part' and stage == '{stage}'")
    return (bars["stop"] - bars["start"]).groupby(bars["part"]).sum().to_dict()


def maths(study: Study, formulas: tuple[str, ...]) -> str:
    """The page's formulas, each with the numbers of the model and the setting that are chosen."""
    name, config = model_shown(study)
    chosen, _ = possible_setting(config)
    numbers = (_batch_numbers(chosen), _schedule_numbers(), _compute_numbers(name, config, chosen),
               _state_numbers(name, config, chosen), _activation_numbers(config, chosen))
    return with_numbers(*zip(formulas, numbers, strict=True))


def _batch_numbers(chosen: Setting) -> str:
    batch, accumulation, _ = measure.possible_batch(chosen, value("batch"))
    return (f"{batch:,} / ({chosen.micro_batch} · {chosen.sequence:,} · {chosen.layout.data}) = "
            f"{units.plural(accumulation, 'accumulation step')}.")


def _schedule_numbers() -> str:
    peak, warmup = value("peak"), value("warmup")
    rise = f"up by {units.number(peak / warmup)} with each of {warmup:,} steps, to" if warmup else "at once to"
    return (f"the {word('learning rate')} goes {rise} {units.number(peak)}, and down to "
            f"{units.number(measure.FLOOR * peak)} in the end.")


def _compute_numbers(name: str, config: ModelConfig, chosen: Setting) -> str:
    active = cost.count_parameters(config).active
    exact = sum(cost.training_flops_per_token(config, chosen.sequence).values())
    return (f"{name} has {units.count(active)} active parameters: 6 times that is {units.flops(6 * active)} a token. "
            f"Counted exactly, in sequences of {chosen.sequence:,}, it is {units.flops(exact)}.")


def _state_numbers(name: str, config: ModelConfig, chosen: Setting) -> str:
    total, layout = cost.count_parameters(config).total, chosen.layout
    return (f"{units.count(total)} parameters of {name} need {units.decimal(state_bytes(config), 'B')}. Experts are "
            f"divided by {layout.world} / ({layout.tensor} · {layout.expert}) = "
            f"{layout.world // (layout.tensor * layout.expert)} of them, all else by {layout.data}.")


def _activation_numbers(config: ModelConfig, chosen: Setting) -> str:
    whole = sum(cost.activation_bytes(config, chosen.micro_batch, chosen.sequence).values())
    tokens = chosen.micro_batch * chosen.sequence
    return (f"D = {config.hidden_size:,}, H = {config.num_attention_heads}, G = {config.num_key_value_heads}, "
            f"d = {config.head_dim}, k = {config.experts_per_token}, F = {config.intermediate_size:,}: over "
            f"{config.num_hidden_layers} layers and {units.plural(tokens, 'token')} that is {units.decimal(whole, 'B')}.")
