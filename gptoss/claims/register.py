"""What people say about GPT-OSS: every claim once, the function that decides it, and the page that shows why."""

from __future__ import annotations

from gptoss.app.verdicts import (
    ARCHITECTURE,
    COMPUTE,
    COMPUTED,
    MEASURED,
    MEMORY,
    TIMED,
    TOKENIZER,
    TRAINING,
    UNDER_STUDY,
    Claim,
    given,
    regardless,
)
from gptoss.cost import (
    checkpoint_bytes,
    count_parameters,
    forward_flops,
    kv_cache_bytes,
    kv_cache_bytes_per_layer,
    learning_rate,
    weight_bytes,
)
from gptoss.lessons.attention import claims as attention
from gptoss.lessons.attention.measure import head_size
from gptoss.lessons.block import claims as block
from gptoss.lessons.block.measure import final_streams_without_each
from gptoss.lessons.experts import claims as experts
from gptoss.lessons.experts.measure import against_dense, gelu_gap
from gptoss.lessons.experts.measure.routes import foresee_routes
from gptoss.lessons.gqa import claims as gqa
from gptoss.lessons.gqa.measure import cache_with_head_size_from_width, cache_with_width_of_stream, saving
from gptoss.lessons.ladder import claims as ladder
from gptoss.lessons.memory import claims as memory
from gptoss.lessons.mxfp4 import claims as mxfp4
from gptoss.lessons.mxfp4.measure import effect_of_rounding
from gptoss.lessons.rmsnorm import claims as rmsnorm
from gptoss.lessons.rmsnorm.measure import measure_times
from gptoss.lessons.rope import claims as rope
from gptoss.lessons.rope.measure import answers_under, meets_new_angles, near_and_far, norm_growth
from gptoss.lessons.sampling import claims as sampling
from gptoss.lessons.sampling.measure import repeat
from gptoss.lessons.scale import claims as scale
from gptoss.lessons.sinks import claims as sinks
from gptoss.lessons.sinks.measure import check_sinks
from gptoss.lessons.tokenizer import claims as tokenizer
from gptoss.lessons.training import claims as training
from gptoss.lessons.window import claims as window
from gptoss.lessons.window.measure import windows_in
from gptoss.model import LadderModel, RMSNorm
from gptoss.model.experts import swiglu
from gptoss.model.mask import visible
from gptoss.tokenizer import encode_text
from gptoss.tokenizer.harmony_reader import read_ids
from gptoss.tokenizer.languages import language_counts
from gptoss.training.length_generalisation import scheme_frequencies
from gptoss.training.step_memory import training_step
from gptoss.training.trainer import Trainer

NOTEBOOK, CALCULATOR, OPENAI, OFTEN = "the notebook", "a public calculator", "OpenAI's README", "often said"
PUBLIC = "seen in public"
LARGE, SMALL, CLASSROOM, STORYTELLER = "gpt-oss-120b", "gpt-oss-20b", "classroom", "storyteller"
BOTH = "both published models"
NEVER_ROUNDED = f"{CLASSROOM}, trained without rounding"
WHOLE_CONTEXT = {"gqa_view": "The whole context"}

CLAIMS = (
    Claim("1", ARCHITECTURE, "The 120b configuration has about 2,967 M parameters", NOTEBOOK, COMPUTED, LARGE,
          memory.parameters_of_the_large, ("memory",), behind=(count_parameters,), controls={"memory_view": "Memory"}),
    Claim("2", ARCHITECTURE, "~20B+ parameters, 36 layers, 128 experts", NOTEBOOK, COMPUTED, BOTH,
          regardless(memory.size_layers_and_experts), ("start", "memory"), behind=(count_parameters,), preset=SMALL),
    Claim("3", ARCHITECTURE, "YaRN's blend is interpolation × (1 − ramp) + extrapolation × ramp", NOTEBOOK, COMPUTED,
          UNDER_STUDY, rope.blend_is_reversed, ("rope",), behind=(scheme_frequencies,), controls={"rope_view": "YaRN"}),
    Claim("4", ARCHITECTURE, "RoPE preserves norms: a difference of 0.67 ‘should be ~0’, and is ‘verified’", NOTEBOOK,
          MEASURED, UNDER_STUDY, rope.norms_grow, ("rope",), behind=(norm_growth,), controls={"rope_view": "Arrows"}),
    Claim("5", ARCHITECTURE, "Sinks are a bias for the first tokens", NOTEBOOK, MEASURED, UNDER_STUDY,
          sinks.bias_for_the_first_tokens, ("sinks",), behind=(check_sinks,), controls={"sinks_view": "By position"},
          takes="The live model reads the first example with and without its sinks."),
    Claim("6", ARCHITECTURE, "Block 1 is global, block 2 slides", NOTEBOOK, MEASURED, SMALL, window.block_order, ("window",),
          behind=(windows_in,), controls={"window_view": "Reach"}),
    Claim("7", ARCHITECTURE, "Embedding and head are tied", NOTEBOOK, MEASURED, SMALL, ladder.tied, ("gpt2", "ladder"),
          behind=(LadderModel,), controls={"gpt2_view": "Table"}),
    Claim("8", ARCHITECTURE, "RMSNorm has eps 1e-6 and computes in bfloat16", NOTEBOOK, MEASURED, f"the width of {LARGE}",
          rmsnorm.as_in_the_notebook, ("rmsnorm",), behind=(RMSNorm,), preset=LARGE,
          controls={"rmsnorm_view": "Number formats"}),
    Claim("9", COMPUTE, "8 experts, 2 active: 4x capacity, 25% compute … 8x capacity with 25% compute", NOTEBOOK, COMPUTED,
          "the notebook's own sizes", experts.capacity_and_compute, ("experts",), behind=(against_dense,), preset="notebook",
          controls={"experts_view": "Cost"}),
    Claim("10a", COMPUTE, "32x capacity with ~3% compute", NOTEBOOK, COMPUTED, BOTH, regardless(experts.active_share),
          ("gpt2", "experts"), behind=(count_parameters,), preset=LARGE, controls={"gpt2_view": "Sizes"}),
    Claim("10b", COMPUTE, "~30x compute gain", NOTEBOOK, COMPUTED, BOTH, regardless(experts.compute_gain), ("experts",),
          behind=(forward_flops,), preset=LARGE, controls={"experts_view": "Cost"}),
    Claim("11a", MEMORY, "Grouped queries: 87.5% memory saved", NOTEBOOK, COMPUTED, LARGE, gqa.memory_saved, ("gqa",),
          behind=(saving,), controls=WHOLE_CONTEXT),
    Claim("11b", MEMORY, "Grouped queries: ~8x memory reduction for inference", NOTEBOOK, COMPUTED, LARGE,
          gqa.inference_reduced, ("gqa",), behind=(kv_cache_bytes, checkpoint_bytes), controls=WHOLE_CONTEXT),
    Claim("12", ARCHITECTURE, "Context 4096+, 4x+ longer", NOTEBOOK, COMPUTED, LARGE, window.context_length, ("window",),
          controls={"window_view": "Cost"}),
    Claim("13", ARCHITECTURE, "RoPE's positions are ‘unlimited’", NOTEBOOK, MEASURED,
          f"the shipped {CLASSROOM}, and the angles of {SMALL}", rope.angles_are_new, ("rope",),
          behind=(meets_new_angles, rope.read_further), preset=SMALL,
          controls={"rope_view": f"Trained on {rope.TRAINED}, reading {rope.READ}"},
          takes="The shipped classroom reads 24 documents of four times its training's length under four rotations."),
    Claim("14a", TOKENIZER, "A 50k vocabulary needs an estimated 1.3 times the tokens", NOTEBOOK, MEASURED,
          "one story in many languages", regardless(tokenizer.tokens_as_estimated, 50_257), ("tokenizer", "gpt2"),
          behind=(language_counts,), controls={"tokenizer_view": "Languages"}),
    Claim("14b", TOKENIZER, "A 32k vocabulary needs an estimated 1.5 times the tokens", NOTEBOOK, MEASURED,
          "one story in many languages", regardless(tokenizer.tokens_as_estimated, 32_000), ("tokenizer",),
          behind=(language_counts,), controls={"tokenizer_view": "Vocabulary size"}),
    Claim("15", TRAINING, "These are training and validation curves", NOTEBOOK, MEASURED, "a small model, trained now",
          regardless(training.training_curves), ("training", "scale"), behind=(Trainer,),
          takes="A model of one layer is trained twice: some seconds."),
    Claim("16", TRAINING, "Training memory = weights (37.3 GB) + activations (0.1 GB)", NOTEBOOK, MEASURED,
          f"{SMALL} and its live size", scale.training_memory_left_out, ("scale",), behind=(training_step,), preset=SMALL,
          controls={"scale_view": "Memory"},
          takes="A model of the live size takes one real training step, and every tensor is weighed."),
    Claim("17", ARCHITECTURE, "The simple GPT has learned absolute positions", NOTEBOOK, MEASURED,
          f"a live GPT-2 of {CLASSROOM}'s size", ladder.simple_gpt, ("gpt2", "ladder"), preset=CLASSROOM,
          controls={"gpt2_view": "Table"}),
    Claim("18a", TOKENIZER, "<|untrusted|>, <|end_untrusted|> and <|refusal|> are special tokens", NOTEBOOK, MEASURED,
          "o200k_harmony", regardless(tokenizer.special_names), ("tokenizer",), behind=(encode_text,),
          controls={"tokenizer_view": "Search", "tokenizer_query": "<|refusal|>"}),
    Claim("18b", TOKENIZER, "A conversation is written <|startoftext|><|message|>…<|return|>", NOTEBOOK, MEASURED,
          "o200k_harmony", regardless(tokenizer.conversation_format), ("tokenizer",), behind=(read_ids,),
          controls={"tokenizer_view": "Conversation"}),
    Claim("19", TRAINING, "The learning-rate schedule used in GPT-OSS training", NOTEBOOK, COMPUTED, "what is published",
          regardless(scale.published_schedule), ("scale",), behind=(learning_rate,),
          controls={"scale_view": "Batch and schedule"}),
    Claim("20", COMPUTE, "RMSNorm is ~1.5x faster", NOTEBOOK, TIMED, f"the width of {LARGE}, on this machine",
          rmsnorm.half_as_fast_again, ("rmsnorm",), behind=(measure_times,), preset=LARGE, controls={"rmsnorm_view": "Time"},
          takes="Four norms run forward and backward, in turn: less than a second, while nobody else measures."),
    Claim("21", TRAINING, "Load balancing to ensure expert utilization, in the MoE block", NOTEBOOK, MEASURED, UNDER_STUDY,
          experts.no_balancing, ("experts", "training"), behind=(experts.busiest_share,), controls={"experts_view": "Load"},
          takes="The live model routes the first example, all together and token by token."),
    Claim("C1", MEMORY, "gpt-oss-120b keeps 3.40 GB of KV cache at 131k tokens", CALCULATOR, COMPUTED, LARGE,
          gqa.head_size_from_width, ("gqa", "memory"), behind=(cache_with_head_size_from_width, kv_cache_bytes_per_layer),
          controls=WHOLE_CONTEXT),
    Claim("C2", MEMORY, "gpt-oss-120b keeps 25.3 GiB of KV cache at 131k tokens", CALCULATOR, COMPUTED, LARGE,
          gqa.keys_as_wide_as_the_stream, ("gqa", "memory"), behind=(cache_with_width_of_stream, kv_cache_bytes_per_layer),
          controls=WHOLE_CONTEXT),
    Claim("C3", MEMORY, "gpt-oss-20b takes ~85 GB at 32k tokens in 4 bits", CALCULATOR, COMPUTED, SMALL,
          gqa.cache_as_a_share_of_weights, ("gqa", "memory"), behind=(kv_cache_bytes, checkpoint_bytes),
          dials={"context": 32_768}, controls=WHOLE_CONTEXT),
    Claim("C4", ARCHITECTURE, "The size of a head is the hidden size divided by the number of heads", CALCULATOR, MEASURED,
          LARGE, attention.head_size_is_divided, ("attention",), behind=(head_size,), controls={"layer": "0"}),
    Claim("C5", MEMORY, "Without its windows, gpt-oss-20b's KV cache is reckoned 14.3 times too large", CALCULATOR, COMPUTED,
          SMALL, given(gqa.windows_forgotten, 14.3), ("gqa", "memory"), behind=(kv_cache_bytes,), controls=WHOLE_CONTEXT),
    Claim("O1", ARCHITECTURE, "gpt-oss-120b: 117B parameters with 5.1B active parameters", OPENAI, COMPUTED, LARGE,
          given(memory.parameters_as_published, 117, 5.1), ("gpt2",), behind=(count_parameters,),
          controls={"gpt2_view": "Sizes"}),
    Claim("O2", ARCHITECTURE, "gpt-oss-20b: 21B parameters with 3.6B active parameters", OPENAI, COMPUTED, SMALL,
          given(memory.parameters_as_published, 21, 3.6), ("gpt2",), behind=(count_parameters,),
          controls={"gpt2_view": "Sizes"}),
    Claim("O3", MEMORY, "gpt-oss-120b runs on a single H100 GPU (80 GB)", OPENAI, COMPUTED, LARGE,
          given(memory.fits_within, 80), ("memory",), behind=(kv_cache_bytes, checkpoint_bytes),
          controls={"memory_view": "Memory"}),
    Claim("O4", MEMORY, "gpt-oss-20b runs within 16 GB of memory", OPENAI, COMPUTED, SMALL, given(memory.fits_within, 16),
          ("memory",), behind=(kv_cache_bytes, checkpoint_bytes), controls={"memory_view": "Memory"}),
    Claim("P1", ARCHITECTURE, "gpt-oss-20b has 128 expert sub-networks", PUBLIC, COMPUTED, SMALL,
          given(experts.number_of_experts, 128), ("experts",), controls={"experts_view": "Cost"}),
    Claim("P2", ARCHITECTURE, "The experts' clamped activation is gelu(gate) · (up + 1)", PUBLIC, MEASURED,
          "the activation that runs", regardless(experts.activation_is_gelu), ("experts",), behind=(gelu_gap, swiglu),
          controls={"experts_view": "SwiGLU"}),
    Claim("P3", ARCHITECTURE, "A window of 128 sees 128 keys and the query", PUBLIC, MEASURED, SMALL,
          window.keys_and_the_query, ("window",), behind=(visible,), controls={"window_view": "Reach"}),
    Claim("P4", TRAINING, "A small re-implementation retrieves at least 85% of passkeys at 128k", PUBLIC, MEASURED,
          f"the architecture of {CLASSROOM}, untrained and trained", regardless(rope.retrieves_untrained, 0.85), ("rope",),
          behind=(answers_under,), controls={"rope_view": f"Trained on {rope.TRAINED}, reading {rope.READ}"},
          preset=CLASSROOM, takes="An untrained and a trained model read 24 documents and answer what these have told."),
    Claim("P5", COMPUTE, "It is effectively a dense model of √(active · total) parameters", PUBLIC, MEASURED,
          "both published models, and two that ship here", regardless(experts.effective_dense), ("experts",),
          behind=(count_parameters,), controls={"experts_view": "Cost"}),
    Claim("P6", MEMORY, "Community Cloud gives an app 1 GB and three users", PUBLIC, COMPUTED, "its documentation",
          regardless(memory.community_cloud, 1, 3), ("memory",)),
    Claim("S1", ARCHITECTURE, "Softmax makes the weights of the keys add up to 1", OFTEN, MEASURED, UNDER_STUDY,
          attention.weights_sum_to_one, ("attention",), controls={"layer": "0"},
          takes="The live model reads the first example, and every head's weights are added up."),
    Claim("S2", ARCHITECTURE, "With RoPE, scores fall with distance", OFTEN, MEASURED, UNDER_STUDY, rope.scores_fall,
          ("rope",), behind=(near_and_far,), controls={"rope_view": "Score and distance", "rope_vectors": "random"}),
    Claim("S3", MEMORY, "4-bit weights are a quarter of bf16's size", OFTEN, COMPUTED, SMALL, mxfp4.quarter_of_bf16,
          ("mxfp4",), behind=(weight_bytes,), controls={"mxfp4_view": "Block"}),
    Claim("S4", MEMORY, "All of gpt-oss is in MXFP4", OFTEN, COMPUTED, SMALL, mxfp4.everything_is_mxfp4, ("mxfp4",),
          behind=(count_parameters,), controls={"mxfp4_view": "Model"}),
    Claim("S5", MEMORY, "Quantisation costs nothing", OFTEN, MEASURED, NEVER_ROUNDED, mxfp4.costs_nothing, ("mxfp4",),
          behind=(effect_of_rounding,), preset=CLASSROOM, controls={"mxfp4_view": "Model"},
          takes="The model reads the first example with its experts as they are, and rounded in two formats."),
    Claim("S6", MEMORY, "One outlier ruins a quantised matrix", OFTEN, MEASURED, NEVER_ROUNDED,
          mxfp4.outlier_ruins_the_matrix, ("mxfp4",), preset=CLASSROOM,
          controls={"mxfp4_view": "Block", "mxfp4_outlier": "32"}),
    Claim("S7", ARCHITECTURE, "The part that adds most to the answer is the one that the answer needs most", OFTEN, MEASURED,
          UNDER_STUDY, block.largest_bar_matters_most, ("block",), behind=(final_streams_without_each,),
          controls={"block_view": "Every removal"},
          takes="Each half block of the live model is left out in turn, and the rest runs again."),
    Claim("S8", COMPUTE, "Temperature 0 makes a model deterministic", OFTEN, MEASURED, UNDER_STUDY,
          sampling.greedy_is_deterministic, ("sampling",), behind=(repeat,),
          controls={"sampling_view": "Twelve continuations", "sampling_temperature": "0"},
          takes="The live model writes 24 tokens after the first example twice, and reads them once."),
    Claim("S9", ARCHITECTURE, "Each expert is a specialist for a subject", OFTEN, MEASURED, f"the shipped {STORYTELLER}",
          experts.specialise_by_subject, ("experts",), behind=(foresee_routes,), preset=STORYTELLER,
          controls={"experts_view": "Foreseen"},
          takes="The model and its untrained twin read texts that they were not trained on: some seconds."),
)
BY_NAME = {claim.name: claim for claim in CLAIMS}


def of_page(path: str) -> tuple[Claim, ...]:
    """The claims of one page, in order. Raises `ValueError` for an address that none belongs to."""
    claims = tuple(claim for claim in CLAIMS if path in claim.pages)
    if not claims:
        allowed = ", ".join(sorted({page for claim in CLAIMS for page in claim.pages}))
        raise ValueError(f"the page “{path}” has no claims; allowed: {allowed}")
    return claims
