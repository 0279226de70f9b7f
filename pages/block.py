"""Block: one token's way through the residual stream, what every part adds to the answer, and what its removal does."""

from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss.app import pictures, state, text
from gptoss.app.controls import choose, step_through
from gptoss.app.header import header
from gptoss.app.large import TooLong
from gptoss.app.lesson import below
from gptoss.app.live import live_run
from gptoss.app.study import Study
from gptoss.charts import tensor_picture
from gptoss.claims import register
from gptoss.lessons.block.charts import PIECES, block_flow
from gptoss.lessons.block.controls import block
from gptoss.lessons.block.controls.block import ANSWERS, NOTHING, TokenRun
from gptoss.lessons.block.controls.block_lesson import lesson
from gptoss.lessons.block.measure import (
    answer_direction,
    contributions,
    final_streams_without_each,
    logit_lens,
    stream_without,
)
from gptoss.model import TransformerBlock
from gptoss.trace import as_matrix, meaning, summary


def remove(name: str) -> None:
    """Take a part out, or put it back if it is out."""
    st.session_state["block_remove"] = NOTHING if st.session_state.get("block_remove") == name else name


def remove_piece(piece: str, layer: int, number: int) -> None:
    """Take a head or an expert out, or put it back, and make it the one in question."""
    st.session_state[piece] = number
    remove(f"layer {layer} {piece} {number}")


def choose_stage(stage: str) -> None:
    """Step to a stage of the journey."""
    st.session_state["block_stage"] = stage


def contribution_view(run: TokenRun, side: DeltaGenerator) -> None:
    """The answer's logit, half block by half block."""
    pictures.show_clickable(block.waterfall(run), "block_waterfall", "part", then=remove)
    next_tokens(run, side)


def piece_view(run: TokenRun, side: DeltaGenerator) -> None:
    """The heads and the experts of one layer."""
    with side:
        layer = choose("Layer", range(run.config.num_hidden_layers), key="layer")
    for piece, count in zip(PIECES, (run.config.num_attention_heads, run.config.num_experts), strict=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            chosen = choose(piece.capitalize(), range(count), key=piece)
            name = f"layer {layer} {piece} {chosen}"
            out = run.part is not None and run.part.name == name
            st.button("Put back" if out else "Remove", on_click=remove, args=(name,), key=f"block_remove_{piece}")
        pictures.show_clickable(block.pieces(run, piece, layer, chosen), f"block_{piece}s", "number",
                             then=partial(remove_piece, piece, layer))
    if run.part:
        st.caption("The bars are those of the whole model, before the removal.")
    next_tokens(run, side)


def removal_view(run: TokenRun, side: DeltaGenerator) -> None:
    """Every half block removed in turn."""
    pictures.show_clickable(block.every_removal(run), "block_removals", "part", then=remove)
    st.caption("Filled: the part is left out and every block behind it runs again. Dashed: what its bar alone foresees. "
               "They differ because the blocks behind read another stream and add something else. Dotted: nothing removed.")
    next_tokens(run, side)


def journey_view(run: TokenRun, side: DeltaGenerator) -> None:
    """The token's way, and one addition in its own plane."""
    names = block.stages(run.config)["stage"].tolist()
    stage = names.index(step_through("Stage", names, key="block_stage", default=names[1]))
    with side:
        pictures.show_drawing(block.triangle(run, stage))
        st.caption("Two vectors lie in one plane, however wide the stream is: this is that plane, true to scale.")
    pictures.show_clickable(block.journey_chart(run, stage), "block_journey", "stage", then=choose_stage)


def lens_view(run: TokenRun, side: DeltaGenerator) -> None:
    """What the model would answer if it stopped early."""
    pictures.show_chart(block.lens(run), key="block_lens")
    st.caption(block.why_it_snaps(run))
    next_tokens(run, side)


def tensor_view(run: TokenRun, side: DeltaGenerator) -> None:
    """Every tensor of one layer, in the order in which they come to be."""
    with side:
        layer = choose("Layer", range(run.config.num_hidden_layers), key="layer")
        head = choose("Head", range(run.config.num_attention_heads), key="head")
    trace = live_run(run.study, run.tokens.ids, layer).trace
    table = summary(trace)
    inside = [name for name in trace if name.startswith(f"block.{layer}.") or not name.startswith("block.")]
    name = step_through("Tensor", inside, key="block_tensor", default=f"block.{layer}.attn.norm")
    st.html(block_flow(dict(zip(table["tensor"], table["shape"], strict=True)), layer, name))
    matrix, rows, columns = as_matrix(name, trace[name], head)
    whole = " Nothing is removed here." if run.part else ""
    st.markdown(f"**{name}**: {meaning(name)}. Row {run.position} is the token in question.{whole}")
    pictures.show_picture(tensor_picture(matrix.numpy(), max_rows=64, enlarge=False), f"Rows: {rows}. Columns: {columns}. "
                          "Blue is negative, orange positive, clear is zero.")


def next_tokens(run: TokenRun, side: DeltaGenerator) -> None:
    """What comes out, beside the picture of what makes it."""
    with side:
        pictures.show_chart(block.next_tokens(run), key="block_next")


VIEWS = {"Contributions": contribution_view, "Heads and experts": piece_view, "Every removal": removal_view,
         "Journey": journey_view, "Logit lens": lens_view, "Tensors": tensor_view}


@st.fragment
def picture(study: Study, tokens: text.Tokens) -> None:
    """Controls and the chosen view."""
    view = st.segmented_control("View", list(VIEWS), default="Contributions", key="block_view", bind="query-params",
                                required=True, label_visibility="collapsed")
    words = st.empty()
    main, side = st.columns([3, 2], gap="medium")
    with side:
        position = block.choose_token(tokens)
        wanted = st.segmented_control("Answer", ANSWERS, default=ANSWERS[0], key="block_answer", bind="query-params",
                                      required=True, width="stretch", label_visibility="collapsed")
        part = block.choose_removal(study.live_config)
    run = TokenRun(study, tokens, position, wanted, part)
    words.markdown(block.in_words(run))
    with main:
        try:
            VIEWS[view](run, side)
        except TooLong as why:
            st.info(str(why), icon=":material/hourglass:")


header("block")
study = state.study()
place = st.container()
tokens = text.tokens_from_drawer(study.live_config.vocab_size)
if len(tokens):
    with place:
        picture(study, tokens)
    below(lesson(study, tokens, [TransformerBlock, contributions, answer_direction, stream_without,
                                 final_streams_without_each, logit_lens], register.of_page("block")))
else:
    place.info("Type a text, or choose an example, and the model runs on it.", icon=":material/edit:")
