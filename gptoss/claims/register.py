"""What people say of GPT-OSS: every claim, the function that decides it, and the page that shows why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gptoss.app.book import PAGES, Page
from gptoss.app.state import Moment
from gptoss.app.study import Study
from gptoss.app.text import Tokens, live_tokens
from gptoss.claims import published
from gptoss.claims.published import LARGE, SMALL
from gptoss.cost import (
    checkpoint_bytes,
    count_parameters,
    forward_flops,
    kv_cache_bytes,
    kv_cache_bytes_per_layer,
    learning_rate,
    weight_bytes,
)
from gptoss.lessons.attention import controls as heads
from gptoss.lessons.experts.controls import routing_lesson
from gptoss.lessons.experts.measure import against_dense
from gptoss.lessons.gqa import controls as sharing
from gptoss.lessons.gqa.measure import cache_with_head_size_from_width, cache_with_width_of_stream, saving
from gptoss.lessons.ladder.controls import ladder_lesson
from gptoss.lessons.memory.controls import memory_lesson
from gptoss.lessons.mxfp4.controls import mxfp4_lesson
from gptoss.lessons.mxfp4.controls.mxfp4 import rounding_effect
from gptoss.lessons.rmsnorm import controls as norms
from gptoss.lessons.rmsnorm.measure import measure_times
from gptoss.lessons.rope.controls import rotation
from gptoss.lessons.rope.controls.reading import READING, read_further
from gptoss.lessons.rope.measure import meets_new_angles, near_and_far, norm_growth
from gptoss.lessons.scale.controls import scale, scale_lesson
from gptoss.lessons.sinks import controls as sinks
from gptoss.lessons.sinks.measure import check_sinks
from gptoss.lessons.tokenizer.controls import conversation, tokenizer_lesson
from gptoss.lessons.training.controls import training_lesson
from gptoss.lessons.window import controls as window
from gptoss.lessons.window.measure import windows_in
from gptoss.model import LadderModel, RMSNorm
from gptoss.tokenizer import DEFAULT_SAMPLE, encode_text
from gptoss.tokenizer.harmony_reader import read_ids
from gptoss.tokenizer.languages import language_counts
from gptoss.training.length_generalisation import scheme_frequencies
from gptoss.training.step_memory import training_step
from gptoss.training.trainer import Trainer

ARCHITECTURE, MEMORY, COMPUTE, TOKENIZER, TRAINING = TOPICS = (
    "Architecture", "Memory", "Compute", "Tokenizer", "Training")
COMPUTED, MEASURED, TIMED = KINDS = "computed", "measured", "timed"
NOTEBOOK, CALCULATOR, OPENAI, OFTEN = "the notebook", "a public calculator", "OpenAI's README", "often said"
UNDER_STUDY = "the model under study"
WHOLE_CONTEXT = {"gqa_view": "The whole context"}


@dataclass(frozen=True)
class Row:
    """One claim.

    Attributes:
        name: its number, `11` in the notebook, with a letter where a claim has parts; `C1` and the like elsewhere.
        topic: one of `TOPICS`.
        says: the claim, as it is said.
        source: who says so.
        kind: `COMPUTED` from closed forms, `MEASURED` on something that runs, or `TIMED` by this machine's clock.
        about: what it is decided on, in words. `UNDER_STUDY` follows the sidebar.
        measure: decides it for a study: the verdict, as `lesson.Claim` has it, and a sentence with the figures.
        decided_by: the functions and classes behind the verdict, for readers: the deciding one first.
        path: the page that shows why.
        preset, dials: the study it is decided on, where that is not the one under study.
        controls: that page's own controls, as an address spells them.
        takes: what measuring takes. Empty where the claim is decided at once.
    """

    name: str
    topic: str
    says: str
    source: str
    kind: str
    about: str
    measure: Callable[[Study], tuple[bool | str, str]]
    decided_by: tuple[object, ...]
    path: str
    preset: str | None = None
    dials: Mapping[str, object] = field(default_factory=dict)
    controls: Mapping[str, str] = field(default_factory=dict)
    takes: str = ""

    @property
    def page(self) -> Page:
        return next(page for page in PAGES if page.path == self.path)

    def study(self, now: Study) -> Study:
        """What it is decided on while `now` is under study."""
        return (Study.of_preset(self.preset) if self.preset else now).moved(**self.dials)[0]

    def query(self, now: Moment) -> dict[str, str]:
        """The address of the page that shows why, with its sliders set; the reader's text and pinned model stay."""
        return replace(now, study=self.study(now.study)).to_query() | dict(self.controls)


def tokens_of(study: Study) -> Tokens:
    """The first example in the live model's tokens: what claims are measured on, whatever a reader has typed."""
    return live_tokens(DEFAULT_SAMPLE.text, study.live_config.vocab_size, special=False)


ROWS = (
    Row("1", ARCHITECTURE, "The 120b configuration has about 2,967 M parameters", NOTEBOOK, COMPUTED, LARGE,
        lambda study: memory_lesson.parameters_of_the_large(),
        (memory_lesson.parameters_of_the_large, count_parameters), "memory", LARGE, controls={"memory_view": "Memory"}),
    Row("2", ARCHITECTURE, "~20B+ parameters, 36 layers, 128 experts", NOTEBOOK, COMPUTED, "both published models",
        lambda study: memory_lesson.size_layers_and_experts(),
        (memory_lesson.size_layers_and_experts, count_parameters), "start", SMALL),
    Row("3", ARCHITECTURE, "YaRN's blend is interpolation × (1 − ramp) + extrapolation × ramp", NOTEBOOK, COMPUTED,
        UNDER_STUDY, lambda study: rotation.blend_is_reversed(study.config),
        (rotation.blend_is_reversed, scheme_frequencies), "rope", controls={"rope_view": "YaRN"}),
    Row("4", ARCHITECTURE, "RoPE preserves norms: a difference of 0.67 “should be ~0”, and is “verified”", NOTEBOOK,
        MEASURED, UNDER_STUDY, lambda study: rotation.norms_grow(study.config), (rotation.norms_grow, norm_growth), "rope",
        controls={"rope_view": "Arrows"}),
    Row("5", ARCHITECTURE, "Sinks are a bias for the first tokens", NOTEBOOK, MEASURED, UNDER_STUDY,
        lambda study: sinks.bias_for_the_first_tokens(study, tokens_of(study).ids),
        (sinks.bias_for_the_first_tokens, check_sinks), "sinks", controls={"sinks_view": "By position"},
        takes="The live model reads the first example with and without its sinks."),
    Row("6", ARCHITECTURE, "Block 1 is global, block 2 slides", NOTEBOOK, MEASURED, UNDER_STUDY, window.block_order,
        (window.block_order, windows_in), "window", controls={"window_view": "Reach"}),
    Row("7", ARCHITECTURE, "Embedding and head are tied", NOTEBOOK, MEASURED, SMALL, ladder_lesson.tied,
        (ladder_lesson.tied, LadderModel), "gpt2", SMALL, controls={"gpt2_view": "Table"}),
    Row("8", ARCHITECTURE, "RMSNorm has eps 1e-6 and computes in bfloat16", NOTEBOOK, MEASURED, f"the width of {LARGE}",
        lambda study: norms.as_in_the_notebook(study.hidden), (norms.as_in_the_notebook, RMSNorm), "rmsnorm", LARGE,
        controls={"rmsnorm_view": "Number formats"}),
    Row("9", COMPUTE, "8 experts, 2 active: 4x capacity, 25% compute … 8x capacity with 25% compute", NOTEBOOK, COMPUTED,
        "the notebook's own sizes", lambda study: routing_lesson.capacity_and_compute(),
        (routing_lesson.capacity_and_compute, against_dense), "experts", "notebook", controls={"experts_view": "Cost"}),
    Row("10a", COMPUTE, "32x capacity with ~3% compute", NOTEBOOK, COMPUTED, "both published models",
        lambda study: routing_lesson.active_share(), (routing_lesson.active_share, count_parameters), "gpt2", LARGE,
        controls={"gpt2_view": "Sizes"}),
    Row("10b", COMPUTE, "~30x compute gain", NOTEBOOK, COMPUTED, "both published models",
        lambda study: routing_lesson.compute_gain(), (routing_lesson.compute_gain, forward_flops), "experts", LARGE,
        controls={"experts_view": "Cost"}),
    Row("11a", MEMORY, "Grouped queries: 87.5% memory saved", NOTEBOOK, COMPUTED, LARGE, sharing.memory_saved,
        (sharing.memory_saved, saving), "gqa", LARGE, controls=WHOLE_CONTEXT),
    Row("11b", MEMORY, "Grouped queries: ~8x memory reduction for inference", NOTEBOOK, COMPUTED, LARGE,
        sharing.inference_reduced, (sharing.inference_reduced, kv_cache_bytes, checkpoint_bytes), "gqa", LARGE,
        controls=WHOLE_CONTEXT),
    Row("12", ARCHITECTURE, "Context 4096+, 4x+ longer", NOTEBOOK, COMPUTED, LARGE, lambda study: window.context_length(),
        (window.context_length,), "window", LARGE, controls={"window_view": "Cost"}),
    Row("13", ARCHITECTURE, "RoPE's positions are “unlimited”", NOTEBOOK, MEASURED, UNDER_STUDY,
        lambda study: rotation.angles_are_new(study.config, study.context),
        (rotation.angles_are_new, meets_new_angles, read_further), "rope", controls={"rope_view": READING},
        takes="The shipped classroom reads 24 documents of four times its training's length under four rotations."),
    Row("14a", TOKENIZER, "A 50k vocabulary needs an estimated 1.3 times the tokens", NOTEBOOK, MEASURED,
        "one story in many languages", lambda study: tokenizer_lesson.tokens_as_estimated(50_257),
        (tokenizer_lesson.tokens_as_estimated, language_counts), "tokenizer",
        controls={"tokenizer_view": tokenizer_lesson.LANGUAGES}),
    Row("14b", TOKENIZER, "A 32k vocabulary needs an estimated 1.5 times the tokens", NOTEBOOK, MEASURED,
        "one story in many languages", lambda study: tokenizer_lesson.tokens_as_estimated(32_000),
        (tokenizer_lesson.tokens_as_estimated, language_counts), "tokenizer",
        controls={"tokenizer_view": tokenizer_lesson.SIZES}),
    Row("15", TRAINING, "These are training and validation curves", NOTEBOOK, MEASURED, "a small model, trained now",
        lambda study: training_lesson.training_curves(), (training_lesson.training_curves, Trainer), "training",
        takes="A model of one layer is trained twice: some seconds."),
    Row("16", TRAINING, "Training memory = weights (37.3 GB) + activations (0.1 GB)", NOTEBOOK, MEASURED, UNDER_STUDY,
        lambda study: scale_lesson.training_memory_left_out(study, scale.usual(study)),
        (scale_lesson.training_memory_left_out, training_step), "scale", controls={"scale_view": "Memory"},
        takes="A model of the live size takes one real training step, and every tensor is weighed."),
    Row("17", ARCHITECTURE, "The simple GPT has learned absolute positions", NOTEBOOK, MEASURED,
        "a live GPT-2 of classroom's size", ladder_lesson.simple_gpt, (ladder_lesson.simple_gpt,), "gpt2", "classroom",
        controls={"gpt2_view": "Table"}),
    Row("18a", TOKENIZER, "<|untrusted|>, <|end_untrusted|> and <|refusal|> are special tokens", NOTEBOOK, MEASURED,
        "o200k_harmony", lambda study: tokenizer_lesson.special_names(), (tokenizer_lesson.special_names, encode_text),
        "tokenizer", controls={"tokenizer_view": tokenizer_lesson.SEARCH, "tokenizer_query": "<|refusal|>"}),
    Row("18b", TOKENIZER, "A conversation is written <|startoftext|><|message|>…<|return|>", NOTEBOOK, MEASURED,
        "o200k_harmony", lambda study: conversation.notebook_claim(), (conversation.notebook_claim, read_ids), "tokenizer",
        controls={"tokenizer_view": tokenizer_lesson.CONVERSATION}),
    Row("19", TRAINING, "The learning-rate schedule used in GPT-OSS training", NOTEBOOK, COMPUTED, "what is published",
        lambda study: scale_lesson.published_schedule(), (scale_lesson.published_schedule, learning_rate), "scale",
        controls={"scale_view": "Batch and schedule"}),
    Row("20", COMPUTE, "RMSNorm is ~1.5x faster", NOTEBOOK, TIMED, "the width of the model under study, on this machine",
        lambda study: norms.half_as_fast_again(study.hidden, again=True), (norms.half_as_fast_again, measure_times),
        "rmsnorm", controls={"rmsnorm_view": "Time"},
        takes="Four norms run forward and backward, in turn: less than a second, while nobody else measures."),
    Row("21", TRAINING, "Load balancing to ensure expert utilization, in the MoE block", NOTEBOOK, MEASURED, UNDER_STUDY,
        lambda study: routing_lesson.no_balancing(study, tokens_of(study).ids),
        (routing_lesson.no_balancing, routing_lesson.busiest_share), "experts", controls={"experts_view": "Load"},
        takes="The live model routes the first example, all together and token by token."),
    Row("C1", MEMORY, "gpt-oss-120b keeps 3.40 GB of KV cache at 131k tokens", CALCULATOR, COMPUTED, LARGE,
        lambda study: sharing.head_size_from_width(),
        (sharing.head_size_from_width, cache_with_head_size_from_width, kv_cache_bytes_per_layer), "gqa", LARGE,
        controls=WHOLE_CONTEXT),
    Row("C2", MEMORY, "gpt-oss-120b keeps 25.3 GiB of KV cache at 131k tokens", CALCULATOR, COMPUTED, LARGE,
        lambda study: sharing.keys_as_wide_as_the_stream(),
        (sharing.keys_as_wide_as_the_stream, cache_with_width_of_stream, kv_cache_bytes_per_layer), "gqa", LARGE,
        controls=WHOLE_CONTEXT),
    Row("C3", MEMORY, "gpt-oss-20b takes ~85 GB at 32k tokens in 4 bits", CALCULATOR, COMPUTED, SMALL,
        lambda study: sharing.cache_as_a_share_of_weights(),
        (sharing.cache_as_a_share_of_weights, kv_cache_bytes, checkpoint_bytes), "gqa", SMALL, {"context": 32_768},
        WHOLE_CONTEXT),
    Row("O1", ARCHITECTURE, "gpt-oss-120b: 117B parameters with 5.1B active parameters", OPENAI, COMPUTED, LARGE,
        lambda study: published.parameters_as_published(LARGE, 117, 5.1),
        (published.parameters_as_published, count_parameters), "gpt2", LARGE, controls={"gpt2_view": "Sizes"}),
    Row("O2", ARCHITECTURE, "gpt-oss-20b: 21B parameters with 3.6B active parameters", OPENAI, COMPUTED, SMALL,
        lambda study: published.parameters_as_published(SMALL, 21, 3.6),
        (published.parameters_as_published, count_parameters), "gpt2", SMALL, controls={"gpt2_view": "Sizes"}),
    Row("O3", MEMORY, "gpt-oss-120b runs on a single H100 GPU (80 GB)", OPENAI, COMPUTED, LARGE,
        lambda study: published.fits_within(LARGE, 80), (published.fits_within, kv_cache_bytes, checkpoint_bytes), "memory",
        LARGE, controls={"memory_view": "Memory"}),
    Row("O4", MEMORY, "gpt-oss-20b runs within 16 GB of memory", OPENAI, COMPUTED, SMALL,
        lambda study: published.fits_within(SMALL, 16), (published.fits_within, kv_cache_bytes, checkpoint_bytes), "memory",
        SMALL, controls={"memory_view": "Memory"}),
    Row("S1", ARCHITECTURE, "Softmax makes the weights of the keys add up to 1", OFTEN, MEASURED, UNDER_STUDY,
        lambda study: heads.measure_sums(study, tokens_of(study)), (heads.measure_sums,), "attention",
        controls={"layer": "0"}, takes="The live model reads the first example, and every head's weights are added up."),
    Row("S2", ARCHITECTURE, "With RoPE, scores fall with distance", OFTEN, MEASURED, UNDER_STUDY,
        lambda study: rotation.scores_fall(study.config), (rotation.scores_fall, near_and_far), "rope",
        controls={"rope_view": "Score and distance", "rope_vectors": "random"}),
    Row("S3", MEMORY, "4-bit weights are a quarter of bf16's size", OFTEN, COMPUTED, SMALL, mxfp4_lesson.quarter_of_bf16,
        (mxfp4_lesson.quarter_of_bf16, weight_bytes), "mxfp4", SMALL, controls={"mxfp4_view": "Block"}),
    Row("S4", MEMORY, "All of gpt-oss is in MXFP4", OFTEN, COMPUTED, SMALL, mxfp4_lesson.everything_is_mxfp4,
        (mxfp4_lesson.everything_is_mxfp4, count_parameters), "mxfp4", SMALL, controls={"mxfp4_view": "Model"}),
    Row("S5", MEMORY, "Quantisation costs nothing", OFTEN, MEASURED, UNDER_STUDY, mxfp4_lesson.costs_nothing,
        (mxfp4_lesson.costs_nothing, rounding_effect), "mxfp4", controls={"mxfp4_view": "Model"},
        takes="The live model reads the first example with its experts as they are, and rounded in two formats."),
)
BY_NAME = {row.name: row for row in ROWS}
