"""Build and run: text in, every tensor and the next token out, rebuilt with every move of a slider."""

from collections.abc import Callable

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import furniture, state, text
from gptoss.app.accounts import flops_chart, kv_cache_chart, parameters_chart
from gptoss.app.controls import choose, step_through
from gptoss.app.live import LiveRun, live_model, live_run, weights_in_words
from gptoss.app.study import Study
from gptoss.charts import (
    expert_load,
    head_grid,
    head_map,
    next_token,
    routing_map,
    tensor_picture,
    token_chips,
)
from gptoss.lessons.build.controls import generator
from gptoss.model import AttentionBlock, LanguageModel, MLPBlock, Transformer, TransformerBlock, next_token_probabilities
from gptoss.trace import as_matrix, meaning, summary


def attention(study: Study, tokens: text.Tokens, run: LiveRun, layer: int, controls: DeltaGenerator) -> None:
    """One head large, all heads small beside it."""
    with controls:
        head = choose("Head shown", range(study.heads), key="head")
    weights = run.trace[f"block.{layer}.attn.weights"][0].float().numpy()
    sink = run.trace[f"block.{layer}.attn.sink_mass"][0].float().numpy()
    window = study.config.window_of(layer)
    large, small = st.columns([3, 2])
    with large:
        furniture.show_chart(head_map(weights[head], sink[head], tokens.labels, window), key="attention_map",
                             height=480)
    with small:
        with_sinks = np.concatenate([sink[..., None], weights], axis=-1)
        furniture.show_picture(
            head_grid(with_sinks, columns=8 if study.heads > 8 else 4, selected=head, width=640, enlarge=False),
            f"Layer {layer}: query heads {study.heads}, KV heads {study.kv}. Pink is what the sink takes.")
    if study.window and window and len(tokens) <= study.window:
        text.offer_longer_text(study.window)


def experts(study: Study, tokens: text.Tokens, run: LiveRun, layer: int, controls: DeltaGenerator) -> None:
    """Where each token went, and how often each expert was used."""
    chosen = run.trace[f"block.{layer}.mlp.experts"][0].numpy()
    weights = run.trace[f"block.{layer}.mlp.expert_weights"][0].float().numpy()
    counts = np.bincount(chosen.ravel(), minlength=study.experts)
    with controls:
        expert = choose("Expert shown", range(study.experts), key="expert")
    where, how_often = st.columns([3, 2])
    with where:
        furniture.show_chart(routing_map(chosen, weights, study.experts, tokens.labels, expert), key="routing_map")
    with how_often:
        furniture.show_chart(expert_load(counts, len(tokens), expert), key="expert_load")
        st.caption(f"Drawn: {weights_in_words(study)}. Random weights use experts unevenly too, by chance: the Experts page "
                   "shows both.")


def tensors(study: Study, run: LiveRun) -> None:
    """Every tensor of the pass, one after the other, in the order in which they came to be."""
    name = step_through("Tensor", list(run.trace), key="tensor", default="embedding")
    matrix, rows, columns = as_matrix(name, run.trace[name], head=min(st.session_state.get("head") or 0, study.heads - 1))
    table = summary(run.trace)
    row = table.loc[table["tensor"] == name].iloc[0]
    size = f"mean {row['mean']:.3f}, std {row['std']:.3f}" if row["mean"] == row["mean"] else "numbers are names"
    st.markdown(f"**{meaning(name)}** · {row['shape']} · {row['dtype']} · {size}")
    furniture.show_picture(tensor_picture(matrix.numpy(), max_rows=64, enlarge=False), f"Rows: {rows}. Columns: {columns}. "
                           "Blue is negative, orange positive, clear is zero.")
    st.dataframe(table, alt="Every tensor of the pass", height=240, hide_index=True)


def prediction(study: Study, tokens: text.Tokens, run: LiveRun) -> Callable[[], None] | None:
    """The distribution of the next token under the sampling dials, and text drawn from it at the page's end."""
    dials, chart = st.columns([2, 3])
    with dials:
        temperature = st.slider("Temperature", 0.0, 2.0, 1.0, 0.1, key="temperature", bind="query-params")
        top_k = st.select_slider("Top-k", [1, 2, 5, 10, 20, 50, 100, "all"], "all", key="top_k", bind="query-params")
        top_p = st.slider("Top-p", 0.05, 1.0, 1.0, 0.05, key="top_p", bind="query-params")
    kept = None if top_k == "all" else top_k
    probabilities = next_token_probabilities(run.trace["logits"][0, -1], temperature, kept, top_p).numpy()
    with chart:
        labels = text.vocabulary_labels(study.live_config.vocab_size)
        furniture.show_chart(next_token(labels, probabilities), key="next_token")
    return generator(study, tokens, temperature, kept, top_p)


def accounting(study: Study) -> None:
    """What the architecture costs at its real size."""
    st.subheader(f"What it costs at the real size: {study.name}", anchor=False)
    shown = st.segmented_control("Cost", ["Parameters", "KV cache", "FLOPs per token"], default="KV cache", key="cost",
                                 bind="query-params", required=True, label_visibility="collapsed")
    sizes = study.config, state.pinned() and state.pinned().config
    if shown == "Parameters":
        furniture.show_chart(parameters_chart(*sizes), key="parameters")
    elif shown == "KV cache":
        furniture.show_chart(kv_cache_chart(*sizes, study.context), key="kv_cache")
    else:
        furniture.show_chart(flops_chart(*sizes, study.context), key="flops")


furniture.header("build")
study = state.study()
generate = None
writing, picture = st.columns([1, 3], gap="medium")
with writing:
    special = text.text_box()
    tokens = text.live_tokens(text.current_text(), study.live_config.vocab_size, special)
    controls = st.container()
    text.say_what_was_cut(tokens)
    with st.container(height=240, border=False):
        st.html(token_chips(tokens.labels, tokens.o200k))
with picture:
    view = st.segmented_control("View", ["Attention", "Experts", "Tensors", "Next token"], default="Attention", key="view",
                                bind="query-params", required=True, label_visibility="collapsed")
    if len(tokens):
        with controls:
            layer = choose("Layer shown", range(study.live_config.num_hidden_layers), key="layer")
        live = live_model(study)
        run = live_run(study, tokens.ids, layer)
        if view == "Attention":
            attention(study, tokens, run, layer, controls)
        elif view == "Experts":
            experts(study, tokens, run, layer, controls)
        elif view == "Tensors":
            tensors(study, run)
        else:
            generate = prediction(study, tokens, run)
        st.caption(f":material/timer: Built in {units.seconds(live.build_seconds)}, with {weights_in_words(study)}; "
                   f"{len(tokens)} tokens ran in {units.seconds(run.run_seconds)}.")
    else:
        st.info("Type a text, or choose an example, and the model runs on it.", icon=":material/edit:")
accounting(study)
furniture.code_drawer(Transformer, LanguageModel, TransformerBlock, AttentionBlock, MLPBlock)
if generate:
    generate()
