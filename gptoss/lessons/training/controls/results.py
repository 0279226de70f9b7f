"""What a run has to show beside its losses: rate and gradient, the load of the experts, recall, texts, and the models."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from gptoss import strict_json
from gptoss.app import kept, pictures, state, text, trained
from gptoss.app.computed import computed
from gptoss.app.hall import asking
from gptoss.app.jobs import JOBS, KEPT_MINUTES, RUNNING, WAITING, View, Watched
from gptoss.checkpoint import CheckpointError
from gptoss.lessons.training import measure
from gptoss.lessons.training.charts.curves import gradient_chart, load_chart, rate_chart, recall_chart
from gptoss.lessons.training.controls import plan
from gptoss.lessons.training.controls.plan import key
from gptoss.lessons.training.controls.replay import replay
from gptoss.lessons.training.controls.run import current, owner
from gptoss.lessons.training.measure import SHOWN, answer_rows, load_rows, samples, shipped_standing, step_rows
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.contest import Standing, contestant_history
from gptoss.training.contestants import BASELINE
from gptoss.training.domains import RECALL, REPETITION
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.training.storage import save_model

RATE, LOAD, ANSWERS, SAMPLES, REPLAY, KEEP = TABS = (
    "Rate and gradient", "Expert load", "Recall", "What they write", "Replay", "Keep a model")
interrupted = computed(measure.interrupted)
HOURGLASS = ":material/hourglass:"


def results(theirs: Watched | None, told: bool = True) -> None:
    """The tabs below the curves: one does no work while it is closed. `theirs` is the run that the curves are of.

    What the page asks about the shipped models is `told` after the reader's answer.
    """
    view = current()
    views = {RATE: _rate_and_gradient, LOAD: _load, ANSWERS: _answers, SAMPLES: _samples,
             REPLAY: partial(_replay, told=told), KEEP: _keep}
    for tab, draw in zip(kept.tabs(TABS, key=key("behind")), views.values(), strict=True):
        if tab.open:
            with tab:
                if theirs:
                    _say_whose()
                draw(view)


def _say_whose() -> None:
    """The tabs show what their reader may have: not the texts and weights of somebody else."""
    st.caption(":material/lock: The picture above is of somebody else's run. What lies behind it, its owner sees; here is "
               "what lies behind the recorded runs, or your own.")


def _standings(view: View | None, recorded: Sequence[str] = SHOWN) -> list[Standing]:
    """Of the run, or of shipped models."""
    return list(view.standings) if view else [shipped_standing(name) for name in recorded if name in shipped()]


def _rate_and_gradient(view: View | None) -> None:
    standings = [standing for standing in _standings(view) if standing.steps]
    if not standings:
        st.info("Nothing has been learned yet.", icon=HOURGLASS)
        return
    left, right = st.columns(2)
    with left:
        pictures.show_chart(rate_chart(step_rows(standings, "rate")), key="training_rate")
    with right:
        pictures.show_chart(gradient_chart(step_rows(standings, "gradient"), standings[0].recipe.clip),
                             key="training_gradient")


def _load(view: View | None) -> None:
    """Claim 21 in a picture: without a run, the shipped model beside the one trained without the balancing loss."""
    standings = [standing for standing in _standings(view, (CLASSROOM, "unbalanced"))
                 if any(shares.shape[-1] > 1 for evaluation in standing.evaluations.values()
                        for shares in (evaluation.load or {}).values())]
    if not standings:
        st.info("No expert load yet: it is measured with every evaluation, where a model has a router.", icon=HOURGLASS)
        return
    layers = max(standing.contestant.config.num_hidden_layers for standing in standings)
    layer = st.segmented_control("Layer", ["all", *range(layers)], default="all", key=key("layer"), required=True,
                                 persist_state="session") if layers > 1 else "all"
    pictures.show_chart(load_chart(load_rows(standings), None if layer == "all" else layer), key="training_load")
    st.caption("An even load does not come by itself: experts that are chosen get trained, and are chosen more. A balancing "
               "loss, added to the loss of every step, is what evens it out.")


def _answers(view: View | None) -> None:
    """Recall and repetition by distance, at the last evaluation."""
    domain = st.segmented_control("Task", [RECALL, REPETITION], default=RECALL, key=key("task"), required=True,
                                  persist_state="session", label_visibility="collapsed")
    if view:
        latest = {standing.contestant.title: standing.evaluations[max(standing.evaluations)] for standing in view.standings
                  if standing.evaluations}
    else:
        latest = {shipped_standing(name).contestant.title: shipped()[name].measured() for name in SHOWN if name in shipped()}
    rows = answer_rows(latest, domain)
    if not rows["asked"].sum():
        st.info(f"Nothing of {domain} has been asked yet.", icon=HOURGLASS)
        return
    pictures.show_chart(recall_chart(rows), key="training_answers")


def _samples(view: View | None) -> None:
    recorded = {standing.contestant.title: standing for standing in _standings(view) if standing.recording}
    if not recorded:
        st.info("Nothing is written yet.", icon=HOURGLASS)
        return
    title = next(iter(recorded))
    if len(recorded) > 1:
        if st.session_state.get(key("writer"), title) not in recorded:
            st.session_state[key("writer")] = title
        title = st.segmented_control("Who writes", list(recorded), default=title, key=key("writer"), required=True,
                                     persist_state="session", label_visibility="collapsed")
    st.dataframe(samples(recorded[title]), hide_index=True, alt="What the model wrote as it learned", column_config={
        "step": st.column_config.Column(width=60), "domain": st.column_config.Column(width=100),
        "prompt ends with": st.column_config.Column(width=300)})
    st.caption("Each moment has the beginning of an unseen document, and the tokens the model holds most likely.")


def _replay(view: View | None, told: bool) -> None:
    recorded = [standing for standing in _standings(view) if standing.recording]
    if not recorded:
        st.info("Nothing is recorded yet: the first moment comes with the first evaluation.", icon=HOURGLASS)
        return
    labels = text.vocabulary_labels(compact_vocabulary(recorded[0].contestant.config.vocab_size))
    losses = {standing.contestant.title: {at: evaluation.losses[REPETITION]
                                          for at, evaluation in standing.evaluations.items()
                                          if REPETITION in evaluation.losses} for standing in recorded}
    known = view is not None or told
    replay({standing.contestant.title: standing.recording for standing in recorded}, labels.__getitem__,
           losses=losses if known else None)
    if not known:
        st.caption(f":material/lock: The loss on {REPETITION} joins the picture once you have answered the question above.")


def _keep(view: View | None) -> None:
    """Put a model on every page, or take it home."""
    if view is None or view.state in (WAITING, RUNNING):
        st.info("Pause or stop a run of yours, or let it end: then its models can be used on every page and downloaded.",
                icon=":material/inventory_2:")
        return
    for standing in view.standings:
        name = standing.contestant.name
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{standing.contestant.title}**, {standing.at:,} steps", width="stretch")
            if name != BASELINE:
                if st.button("Use this model on every page", key=key(f"use_{name}"), icon=":material/public:",
                             on_click=_use, args=(standing,)):
                    st.rerun()  # the whole page: it shows another model now
            _offer_files(view, standing)
    st.caption("The checkpoint has OpenAI's layout: experts in MXFP4, the rest in bfloat16, which rounds the weights a "
               "little; a GPT-2 has Hugging Face's. `Transformer.from_checkpoint` and `GPT2.from_checkpoint` read them. A "
               f"run that is over is kept for {KEPT_MINUTES} minutes, or until newer ones need the room.")


def _use(standing: Standing) -> None:
    """The button's callback."""
    weights = JOBS.weights(owner(), standing.contestant.name)
    if weights is None:
        st.session_state[key("problem")] = "These weights are no longer here."
        return
    try:
        title = f"{standing.contestant.title}, {standing.at:,} steps here"
        state.use_trained(trained.keep(standing.contestant, weights, title, asking.trainer()))
    except ValueError as problem:
        st.session_state[key("problem")] = plan.in_words(problem)


def _offer_files(view: View, standing: Standing) -> None:
    """The checkpoint where MXFP4 can hold it, made when it is asked for, and the history."""
    name, whose = standing.contestant.name, owner()
    if checkpoint_possible(standing):
        st.download_button("Checkpoint", lambda: checkpoint_zip(view, standing, whose), f"{name}.zip", "application/zip",
                           key=key(f"zip_{name}"), icon=":material/download:", on_click="ignore")
    else:
        st.caption("No checkpoint: MXFP4 needs widths that are multiples of 32.")
    st.download_button("History", lambda: strict_json.write(contestant_history(view.plan, standing)), f"{name}-history.json",
                       "application/json", key=key(f"history_{name}"), icon=":material/download:", on_click="ignore")


def checkpoint_possible(standing: Standing) -> bool:
    """Whether the experts' matrices are whole blocks of MXFP4."""
    config = standing.contestant.config
    return standing.contestant.name == BASELINE or config.hidden_size % 32 == config.intermediate_size % 32 == 0


def checkpoint_zip(view: View, standing: Standing, whose: str) -> bytes:
    """The model's directory and its history, as one file. Raises `CheckpointError` where the run is gone."""
    name, config = standing.contestant.name, standing.contestant.config
    weights = JOBS.weights(whose, name)
    if weights is None:
        raise CheckpointError("The run is no longer here.")
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        save_model(Path(folder), standing.contestant, weights, compact_vocabulary(config.vocab_size))
        for path in sorted(Path(folder).iterdir()):
            archive.write(path, f"{name}/{path.name}")
        archive.writestr(f"{name}/history.json", strict_json.write(contestant_history(view.plan, standing)))
    return packed.getvalue()
