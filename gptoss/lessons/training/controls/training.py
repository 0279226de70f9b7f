"""The training page's run: starting and steering it, its state in words, its pictures, and what can be taken along."""

from __future__ import annotations

import io
import json
import math
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from gptoss.app import pictures, state, text, trained
from gptoss.app.jobs import DONE, FAILED, JOBS, KEPT_MINUTES, PAUSED, RUNNING, STOPPED, WAITING, View
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.charts import Chart
from gptoss.checkpoint import CheckpointError
from gptoss.lessons.training.charts.curves import MEAN
from gptoss.lessons.training.controls import training_curves as curves
from gptoss.lessons.training.controls import training_settings as settings
from gptoss.lessons.training.controls.replay import replay
from gptoss.lessons.training.controls.training_settings import key, value
from gptoss.lessons.training.measure import answer_rows, samples, shipped_floors, shipped_standing
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.contest import Standing, told
from gptoss.training.contestants import BASELINE
from gptoss.training.corpus import DOMAINS, OWN
from gptoss.training.domains import RECALL, REPETITION
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.training.storage import save_model

ALL = "all domains"
SHOWN = (CLASSROOM, BASELINE)  # the shipped models whose runs were recorded
RATE, LOAD, ANSWERS, SAMPLES, REPLAY, KEEP = TABS = (
    "Rate and gradient", "Expert load", "Recall", "What they write", "Replay", "Keep a model")
SOON, OFTEN = 0.5, 1.0  # s between two looks at a run, before its first step and after


def owner() -> str:
    """This session's name among those who train. Nobody else can guess it."""
    if key("owner") not in st.session_state:
        st.session_state[key("owner")] = secrets.token_hex(16)
    return st.session_state[key("owner")]


def current() -> View | None:
    """This session's run, as it stands at this moment."""
    return JOBS.view(owner())


def moving(view: View | None) -> bool:
    """Whether the picture will change by itself."""
    return view is not None and view.state in (WAITING, RUNNING)


def pace(view: View | None) -> float | None:
    """Seconds between two looks at a run; None where looking again would show the same."""
    return (OFTEN if view.at else SOON) if moving(view) else None


def presence() -> Callable[[], bool]:
    """A function that says whether this session's browser is still connected: any thread may call it."""
    context = get_script_run_ctx()
    return lambda: session_is_open(context.session_id if context else "")


def session_is_open(session: str) -> bool:
    """Whether a browser is connected to a session. Where Streamlit cannot tell, it counts as open."""
    try:
        return not runtime.exists() or runtime.get_instance().is_active_session(session)
    except (AttributeError, RuntimeError):
        return True


def steer(study: Study, view: View | None) -> None:
    """Controls, and the buttons that fit the state of the run."""
    settings.keep_hidden_values()
    if view and view.unfinished:
        _running_controls(view)
    else:
        _controls(study)
    if problem := st.session_state.pop(key("problem"), None):
        st.warning(problem, icon=":material/block:")


def _controls(study: Study) -> None:
    with st.container(horizontal=True, gap="small"):
        settings.choose_contestants(settings.candidates(study, state.pinned()))
        settings.choose_data()
        settings.choose_schedule()
        settings.draw_expectation(math.log(study.live_config.vocab_size))
        st.button("Train", key=key("start"), type="primary", icon=":material/play_arrow:", on_click=_start, args=(study,))


def _start(study: Study) -> None:
    """The button's callback: what cannot be is said on the page, and nothing is lost."""
    try:
        plan = settings.plan(settings.candidates(study, state.pinned()))
        JOBS.submit(owner(), plan, presence())
    except ValueError as problem:
        st.session_state[key("problem")] = settings.sentence(problem)
    else:
        st.session_state[key("drawn")] = settings.drawn(math.log(study.live_config.vocab_size))


def _running_controls(view: View) -> None:
    paused = view.state == PAUSED
    words, first, second = st.columns([6, 2, 2], vertical_alignment="center", gap="small")
    words.markdown(f":small[{describe(view)}]")
    first.button("Resume" if paused else "Pause", key=key("pause"), width="stretch",
                 icon=":material/play_arrow:" if paused else ":material/pause:",
                 on_click=JOBS.resume if paused else JOBS.pause, args=(owner(),))
    second.button("Stop", key=key("stop"), icon=":material/stop:", width="stretch", on_click=JOBS.stop, args=(owner(),))


def describe(view: View) -> str:
    """What is trained, on what and how, in one line."""
    recipe = view.plan.recipe
    titles = " against ".join(one.title for one in view.plan.contestants)
    return (f"**{titles}**: {recipe.steps:,} steps of {recipe.batch} × {recipe.length} tokens, peak rate {recipe.peak:g}, "
            f"balancing loss {recipe.balance:g}, seed {recipe.seed}")


def picture(study: Study, view: View | None) -> None:
    """Which run it is and how far, what went wrong, and the one large picture: its losses."""
    which, how_far = st.columns([1, 3], vertical_alignment="center")
    with which:
        domain = _choose_domain(view)
    if view is None:
        how_far.caption(_about_expectation(study) if value("draw") else _about_shipped())
    else:
        how_far.progress(min(view.at / view.plan.recipe.steps, 1.0), text=_state_in_words(view))
        troubles = [f"{one.contestant.title}: {one.trouble}" for one in view.standings if one.trouble]
        for sentence in filter(None, (*view.said, *troubles, view.message)):
            st.warning(literal(sentence), icon=":material/info:")
    pictures.show_chart(_losses(study, view, domain), key="training_losses")


def _about_shipped() -> str:
    history = shipped()[CLASSROOM].history()
    recipe = history["recipe"]
    return (f":material/history: Recorded: the shipped models, as they learnt in {recipe['steps']:,} steps of "
            f"{recipe['batch']} × {recipe['length']} tokens on {history['device']}. Press Train for your own, here.")


def _about_expectation(study: Study) -> str:
    vocab_size = study.live_config.vocab_size
    return (f":material/draw: What you expect of {value('steps'):,} steps, dashed. The line is an even guess: the logarithm "
            f"of {vocab_size:,} tokens, {math.log(vocab_size):.2f} nats. Press Train, and see.")


def _state_in_words(view: View) -> str:
    steps = view.plan.recipe.steps
    if view.state == WAITING:
        return (f"Waiting: {view.ahead} {'run' if view.ahead == 1 else 'runs'} before yours. Meanwhile the picture shows "
                "what is there already.")
    if view.state == RUNNING and not view.at:
        return "Training: the models are built and the documents read. The picture changes with the first step."
    done = f"step {view.at:,} of {steps:,}"
    if view.state == RUNNING:
        left = "" if math.isnan(view.seconds_left) else f" · {_minutes(view.seconds_left)} left"
        speed = f" · {view.tokens_per_second:,.0f} tokens/s" if view.tokens_per_second else ""
        return f"Training: {done}{speed}{left}"
    word = {PAUSED: "Paused", DONE: "Done", STOPPED: "Stopped", FAILED: "Broken off"}[view.state]
    return f"{word}: {done}, {_minutes(view.seconds)} of training. These are your models."


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _choose_domain(view: View | None) -> str | None:
    """Which domain is shown: None for all."""
    there = view.domains if view else [*shipped_floors(CLASSROOM)]
    options = [ALL, *([MEAN] if len(there) > 1 else []), *(domain for domain in (*DOMAINS, OWN) if domain in there)]
    if st.session_state.get(key("domain"), ALL) not in options:
        st.session_state[key("domain")] = ALL
    shown = st.selectbox("Loss shown", options, key=key("domain"), bind="query-params", label_visibility="collapsed")
    return None if shown == ALL else shown


def _losses(study: Study, view: View | None, domain: str | None) -> Chart:
    if view and any(one.steps for one in view.standings):
        drawn, steps = st.session_state.get(key("drawn")), view.plan.recipe.steps
        return curves.losses(view.standings, view.floors, domain, steps, drawn)
    drawn = st.session_state.get(key("drawn")) if view else settings.drawn(math.log(study.live_config.vocab_size))
    if drawn is None:
        return curves.shipped_losses(tuple(name for name in SHOWN if name in shipped()), domain)
    if view:
        vocab_size, domains, steps = view.plan.contestants[0].config.vocab_size, view.domains, view.plan.recipe.steps
    else:
        vocab_size, domains, steps = study.live_config.vocab_size, settings.domains(), value("steps")
    return curves.expectation(drawn, vocab_size, domains, steps)


def behind() -> None:
    """What stands behind the curves: a tab does no work while it is closed."""
    view = current()
    views = {RATE: _rate_and_gradient, LOAD: _load, ANSWERS: _answers, SAMPLES: _samples, REPLAY: _replay, KEEP: _keep}
    for tab, draw in zip(st.tabs(TABS, key=key("behind"), on_change="rerun"), views.values(), strict=True):
        if tab.open:
            with tab:
                draw(view)


def _standings(view: View | None, recorded: Sequence[str] = SHOWN) -> list[Standing]:
    """Of the run, or of shipped models."""
    return list(view.standings) if view else [shipped_standing(name) for name in recorded if name in shipped()]


def _rate_and_gradient(view: View | None) -> None:
    standings = [one for one in _standings(view) if one.steps]
    if not standings:
        st.info("Nothing has been learnt yet.", icon=":material/hourglass:")
        return
    left, right = st.columns(2)
    with left:
        pictures.show_chart(curves.rates(standings), key="training_rate")
    with right:
        pictures.show_chart(curves.gradients(standings), key="training_gradient")


def _load(view: View | None) -> None:
    """Claim 21 in a picture: without a run, the shipped model beside the one trained without the balancing loss."""
    standings = [one for one in _standings(view, (CLASSROOM, "unbalanced"))
                 if any(evaluation.load and max(map(_experts, evaluation.load.values())) > 1
                        for evaluation in one.evaluations.values())]
    if not standings:
        st.info("No expert load yet: it is measured with every evaluation, where a model has a router.",
                icon=":material/hourglass:")
        return
    layers = max(one.contestant.config.num_hidden_layers for one in standings)
    layer = st.segmented_control("Layer", ["all", *range(layers)], default="all", key=key("layer"), required=True,
                                 persist_state="session") if layers > 1 else "all"
    pictures.show_chart(curves.expert_loads(standings, None if layer == "all" else layer), key="training_load")
    st.caption("An even load does not come by itself: experts that are chosen get trained, and are chosen more. A balancing "
               "loss, added to the loss of every step, is what evens it out.")


def _experts(load) -> int:
    return load.shape[-1]


def _answers(view: View | None) -> None:
    """Recall and repetition by distance, at the last evaluation."""
    domain = st.segmented_control("Task", [RECALL, REPETITION], default=RECALL, key=key("task"), required=True,
                                  persist_state="session", label_visibility="collapsed")
    if view:
        latest = {one.contestant.title: one.evaluations[max(one.evaluations)] for one in view.standings if one.evaluations}
    else:
        latest = {shipped_standing(name).contestant.title: shipped()[name].measured()
                  for name in SHOWN if name in shipped()}
    if not answer_rows(latest, domain)["asked"].sum():
        st.info(f"Nothing of {domain} has been asked yet.", icon=":material/hourglass:")
        return
    pictures.show_chart(curves.answers(latest, domain), key="training_answers")


def _samples(view: View | None) -> None:
    recorded = [one for one in _standings(view) if one.recording]
    if not recorded:
        st.info("Nothing is written yet.", icon=":material/hourglass:")
        return
    titles = [one.contestant.title for one in recorded]
    chosen = recorded[0]
    if len(recorded) > 1:
        if st.session_state.get(key("writer"), titles[0]) not in titles:
            st.session_state[key("writer")] = titles[0]
        title = st.segmented_control("Who writes", titles, default=titles[0], key=key("writer"), required=True,
                                     persist_state="session", label_visibility="collapsed")
        chosen = recorded[titles.index(title)]
    st.dataframe(samples(chosen), hide_index=True, alt="What the model wrote as it learnt", column_config={
        "step": st.column_config.Column(width=60), "domain": st.column_config.Column(width=100),
        "prompt ends with": st.column_config.Column(width=300)})
    st.caption("Each moment has the beginning of an unseen document, and the tokens the model holds most likely.")


def _replay(view: View | None) -> None:
    recorded = [one for one in _standings(view) if one.recording]
    if not recorded:
        st.info("Nothing is recorded yet: the first moment comes with the first evaluation.", icon=":material/hourglass:")
        return
    labels = text.vocabulary_labels(recorded[0].contestant.config.vocab_size)
    losses = {one.contestant.title: {at: evaluation.losses[REPETITION] for at, evaluation in one.evaluations.items()
                                     if REPETITION in evaluation.losses} for one in recorded}
    replay({one.contestant.title: one.recording for one in recorded}, labels.__getitem__, losses=losses)


def _keep(view: View | None) -> None:
    """Put a model on every page, or take it home."""
    if view is None or view.state in (WAITING, RUNNING):
        st.info("Pause or stop a run of yours, or let it end: then its models can be used on every page and downloaded.",
                icon=":material/inventory_2:")
        return
    for one in view.standings:
        name = one.contestant.name
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{one.contestant.title}**, {one.at:,} steps", width="stretch")
            if name != BASELINE:
                if st.button("Use this model on every page", key=key(f"use_{name}"), icon=":material/public:",
                             on_click=_use, args=(one,)):
                    st.rerun()  # the whole page: it shows another model now
            _offer_files(view, one)
    st.caption("The checkpoint has OpenAI's layout: experts in MXFP4, the rest in bfloat16, which rounds the weights a "
               "little; a GPT-2 has Hugging Face's. `Transformer.from_checkpoint` and `GPT2.from_checkpoint` read them. A "
               f"run that is over is kept for {KEPT_MINUTES} minutes, or until newer ones need the room.")


def _use(one: Standing) -> None:
    """The button's callback."""
    weights = JOBS.weights(owner(), one.contestant.name)
    if weights is None:
        st.session_state[key("problem")] = "These weights are no longer here."
        return
    try:
        title = f"{one.contestant.title}, {one.at:,} steps here"
        state.use_trained(trained.keep(one.contestant, weights, title))
    except ValueError as problem:
        st.session_state[key("problem")] = settings.sentence(problem)


def _offer_files(view: View, one: Standing) -> None:
    """The checkpoint where MXFP4 can hold it, made when it is asked for, and the history."""
    name, whose = one.contestant.name, owner()
    if checkpoint_possible(one):
        st.download_button("Checkpoint", lambda: checkpoint_zip(view, one, whose), f"{name}.zip", "application/zip",
                           key=key(f"zip_{name}"), icon=":material/download:", on_click="ignore")
    else:
        st.caption("No checkpoint: MXFP4 needs widths that are multiples of 32.")
    st.download_button("History", lambda: json.dumps(told(view.plan, one)), f"{name}-history.json", "application/json",
                       key=key(f"history_{name}"), icon=":material/download:", on_click="ignore")


def checkpoint_possible(one: Standing) -> bool:
    """Whether the experts' matrices are whole blocks of MXFP4."""
    config = one.contestant.config
    return one.contestant.name == BASELINE or config.hidden_size % 32 == config.intermediate_size % 32 == 0


def checkpoint_zip(view: View, one: Standing, whose: str) -> bytes:
    """The model's directory and its history, as one file."""
    weights = JOBS.weights(whose, one.contestant.name)
    if weights is None:
        raise CheckpointError("The run is no longer here.")
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        save_model(Path(folder), one.contestant, weights, compact_vocabulary(one.contestant.config.vocab_size))
        for path in sorted(Path(folder).iterdir()):
            archive.write(path, f"{one.contestant.name}/{path.name}")
        archive.writestr(f"{one.contestant.name}/history.json", json.dumps(told(view.plan, one)))
    return packed.getvalue()
