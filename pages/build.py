"""Build and run: text in, every tensor and the next token out, rebuilt with every move of a slider."""

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import kept, pictures, stage, state, text
from gptoss.app.controls import has_text, view
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.lesson import code_drawer
from gptoss.app.live import live_model, live_run
from gptoss.app.study import Study
from gptoss.app.weights import weights_in_words
from gptoss.charts.accounts import flops_chart, kv_cache_chart, parameters_chart
from gptoss.config import PRESETS
from gptoss.lessons.build import controls
from gptoss.model import AttentionBlock, LanguageModel, MLPBlock, Transformer, TransformerBlock

REAL = PRESETS["gpt-oss-20b"]

OPENING = Opening(
    problem="Each part is simple alone. What a model does shows only when all of them run on a text, one after the other.",
    idea=f"Follow the text: every {word('token')} becomes a row of numbers, each {word('layer')} adds to it twice, and the "
         "last row says what comes next.",
    chosen=f"{REAL.num_hidden_layers} layers of attention and experts. Here a smaller model of the same build runs, so that "
           f"every {word('weight')} can be moved and every number seen.")


def writing(study: Study) -> text.Tokens:
    """The box with the text, and its tokens."""
    special = text.text_box()
    return text.live_tokens(text.current_text(), study.vocabulary, special)


def picture(study: Study, tokens: text.Tokens, beside: DeltaGenerator) -> Callable[[], None] | None:
    """One of four views of the model's pass over the text. Returns what is left to do at the page's end, if anything."""
    shown = view(list(controls.VIEWS), key="view")
    if not has_text(tokens, "the model runs on it"):
        return None
    named = controls.named_heads(study, tokens)
    with beside:
        place = controls.layer(study, named)
    live, run = live_model(study), live_run(study, tokens.ids, place)
    generate = controls.VIEWS[shown](study, tokens, run, place, named, beside)
    st.caption(f":material/timer: Built in {units.seconds(live.build_seconds)}, with {weights_in_words(study)}; "
               f"{units.plural(len(tokens), 'token')} ran in {units.seconds(run.run_seconds)}.")
    return generate


def accounting(study: Study) -> None:
    """What the architecture costs at its real size, in a drawer that does no work while it is closed."""
    with kept.expander("What it costs at the real size", icon=":material/receipt_long:", key="accounts") as drawer:
        if drawer.open:
            shown = view(["Parameters", "KV cache", "FLOPs per token"], key="cost", label="Cost", default="KV cache")
            sizes = study.config, state.pinned() and state.pinned().config
            if shown == "Parameters":
                pictures.show_chart(parameters_chart(*sizes), key="parameters")
            elif shown == "KV cache":
                pictures.show_chart(kv_cache_chart(*sizes, study.context), key="kv_cache")
            else:
                pictures.show_chart(flops_chart(*sizes, study.context), key="flops")


header("build", OPENING)
study = state.study()
left, right = st.columns([1, 3], gap="medium")
with left:
    tokens = writing(study)
with right:
    generate = picture(study, tokens, left)
controls.chips(tokens)
if not stage.on():
    accounting(study)
code_drawer(Transformer, LanguageModel, TransformerBlock, AttentionBlock, MLPBlock)
if generate:
    generate()
