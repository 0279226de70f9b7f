"""One session's run: starting and steering it, its state in words, and its losses, live, recorded or expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import median

import pandas as pd
import streamlit as st

from gptoss import units
from gptoss.app import kept, state
from gptoss.app.hall import asking, seat
from gptoss.app.jobs import DONE, FAILED, JOBS, PAUSED, RUNNING, STOPPED, WAITING, View, farthest, titles
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.charts import Chart
from gptoss.lessons.training.charts.curves import MEAN, loss_chart
from gptoss.lessons.training.controls import plan
from gptoss.lessons.training.controls.plan import key, value
from gptoss.lessons.training.measure import (
    SHOWN,
    TRAINING,
    Score,
    loss_rows,
    score,
    shipped_floors,
    shipped_standing,
)
from gptoss.training.contest import Standing
from gptoss.training.corpus import DOMAINS, OWN
from gptoss.training.recipe import Recipe
from gptoss.training.shipped import CLASSROOM, shipped

ALL = "all domains"
SOON, OFTEN, IN_LINE = 0.5, 1.0, 2.0  # s between two looks at a run: before its first step, after it, and while it waits
EVEN_GUESS = "an even guess over all tokens"


def owner() -> str:
    """This session's name among those who train; who leads a room has the room's."""
    return asking.trainer().session


def current() -> View | None:
    """This session's run at this moment."""
    return JOBS.view(owner())


def pace(view: View | None) -> float | None:
    """Seconds between two looks at a run; None where looking again would show the same."""
    if view is None or view.state not in (WAITING, RUNNING):
        return None
    return OFTEN if view.at else IN_LINE if view.ahead else SOON


def steer(study: Study, view: View | None) -> None:
    """The controls of a run to come, or how far one is that is not over, with the buttons that fit its state."""
    plan.keep_hidden_values()
    if view and view.unfinished:
        say_how_far(view)
        _pause_and_stop(view)
    else:
        _plan_and_start(study)


def _plan_and_start(study: Study) -> None:
    st.button("Train", key=key("start"), type="primary", icon=":material/play_arrow:", on_click=_start, args=(study,))
    plan.choose_contestants(plan.candidates(study, state.pinned()))
    plan.choose_data()
    plan.choose_schedule()
    plan.draw_expectation(math.log(study.live_config.vocab_size))


def _start(study: Study) -> None:
    """The button's callback: where a run is impossible the page says why, and nothing is lost."""
    try:
        JOBS.submit(plan.chosen(plan.candidates(study, state.pinned())), asking.trainer())
    except ValueError as problem:
        st.session_state[key("problem")] = plan.in_words(problem)
    else:
        st.session_state[key("drawn")] = plan.drawn(math.log(study.live_config.vocab_size))
        if room := seat.led():
            room.trainer = owner()


def _pause_and_stop(view: View) -> None:
    paused = view.state == PAUSED
    st.button("Resume" if paused else "Pause", key=key("pause"), on_click=JOBS.resume if paused else JOBS.pause,
              icon=":material/play_arrow:" if paused else ":material/pause:", args=(owner(),))
    st.button("Stop", key=key("stop"), icon=":material/stop:", on_click=JOBS.stop, args=(owner(),))


def describe(who: str, recipe: Recipe) -> str:
    """What is trained, on what and how, in one line of Markdown."""
    return (f"**{literal(who)}**: {recipe.steps:,} steps of {recipe.batch} × {recipe.length} tokens, peak rate "
            f"{units.number(recipe.peak)}, balancing loss {units.number(recipe.balance)}, seed {recipe.seed}")


def choose_domain(present: Sequence[str]) -> str | None:
    """Which of the domains that are present is shown: None for all."""
    options = [ALL, *([MEAN] if len(present) > 1 else []), *(domain for domain in (*DOMAINS, OWN) if domain in present)]
    if st.session_state.get(key("domain"), ALL) not in options:
        st.session_state[key("domain")] = ALL
    shown = kept.selectbox("Loss shown", options, key=key("domain"), label_visibility="collapsed", width=190)
    return None if shown == ALL else shown


def say_how_far(view: View) -> None:
    """How far a run is, as a bar with words."""
    st.progress(min(view.at / view.plan.recipe.steps, 1.0), text=_state_in_words(view))


def about(study: Study, view: View | None) -> str:
    """Which run the losses are of, in Markdown."""
    if view is not None:
        return describe(titles(view.standings), view.plan.recipe)
    if plan.of_class(1):
        return _about_class()
    if value("draw"):
        return _about_comparison(study) if st.session_state.get(plan.COMPARED) else _about_expectation(study)
    return _about_shipped()


def say_troubles(view: View | None) -> None:
    """What went wrong, and what else a run has to say."""
    if view is not None:
        troubles = [f"{standing.contestant.title}: {standing.trouble}" for standing in view.standings if standing.trouble]
        for sentence in filter(None, (*view.notes, *troubles, view.message)):
            st.warning(literal(sentence), icon=":material/info:")
    if problem := st.session_state.pop(key("problem"), None):
        st.warning(problem, icon=":material/block:")


def _about_shipped() -> str:
    history = shipped()[CLASSROOM].history()
    recipe = history["recipe"]
    return (f":material/history: Recorded: the shipped models, as they learned in {recipe['steps']:,} steps of "
            f"{recipe['batch']} × {recipe['length']} tokens on {history['device']}. Press Train for your own, here.")


def _about_expectation(study: Study) -> str:
    vocab_size = study.live_config.vocab_size
    return (f":material/draw: What you expect of {value('steps'):,} steps, dashed. The line is an even guess: the logarithm "
            f"of {vocab_size:,} tokens, {math.log(vocab_size):.2f} nats. Press Train, and see.")


def _about_comparison(study: Study) -> str:
    """The drawn curve beside a recorded run, with its score."""
    standing = shipped_standing(CLASSROOM)
    drawn = plan.stretched(plan.drawn(math.log(study.live_config.vocab_size)), standing.at)
    return (f":material/draw: Dashed: what you have drawn. The lines: the mean over the domains as the shipped models "
            f"learned, in {standing.at:,} steps. {in_points(score(drawn, standing))}")


def _about_class() -> str:
    """The room's curves over the recorded run: how near they were."""
    standing = shipped_standing(CLASSROOM)
    points = [score(curve, standing).points for curve in plan.of_class(standing.at)]
    return (f":material/groups: Pale: {units.plural(len(points), 'curve')} that the room has drawn. The lines: the mean "
            f"over the domains as the shipped models learned, in {standing.at:,} steps. Half of the room has "
            f"{units.fixed(median(points), 0)} of 100 points or more.")


def in_points(score: Score) -> str:
    """How near a drawn curve was, in Markdown."""
    return (f"Yours is {units.fixed(score.off, 2)} nats off on average, where a line that stays at the beginning would be "
            f"{units.fixed(score.flat, 2)} off: **{score.points} of 100 points**.")


def say_score(view: View) -> None:
    """When a run is over: how near the curve was that was drawn before it."""
    drawn = st.session_state.get(key("drawn"))
    first = view.standings[0]
    if drawn is not None and not view.unfinished and first.evaluations:
        st.markdown(f":material/draw: {in_points(score(drawn, first))}")


def _state_in_words(view: View) -> str:
    steps = view.plan.recipe.steps
    if view.state == WAITING:
        return f"Waiting: {units.plural(view.ahead, 'run')} before yours. Meanwhile the picture shows what is there already."
    if view.state == RUNNING and not view.at:
        return "Training: the models are built and the documents read. The picture changes with the first step."
    done = f"step {view.at:,} of {steps:,}"
    if view.state == RUNNING:
        left = "" if math.isnan(view.seconds_left) else f" · {minutes(view.seconds_left)} left"
        speed = f" · {units.number(view.tokens_per_second)} tokens/s" if view.tokens_per_second else ""
        return f"Training: {done}{speed}{left}"
    word = {PAUSED: "Paused", DONE: "Done", STOPPED: "Stopped", FAILED: "Broken off"}[view.state]
    return f"{word}: {done}, {minutes(view.seconds)} of training. These are your models."


def minutes(seconds: float) -> str:
    """Seconds in words, as seconds as long as a person counts them so."""
    return f"{seconds:.0f} s" if seconds < 120 else units.seconds(seconds)


def losses(study: Study, view: View | None, domain: str | None, hidden: str) -> Chart:
    """The large picture: of the run, of shipped models, or what the audience expects. `domain` None means all of them.

    Of the shipped models, the curves of the `hidden` domain wait for the reader's answer, and those of a mean that the
    reader draws until they are to be compared.
    """
    if view and any(standing.steps for standing in view.standings):
        drawn, steps = st.session_state.get(key("drawn")), view.plan.recipe.steps
        return losses_of(view.standings, view.floors, domain, steps, drawn, cloud=plan.of_class(steps))
    drawn = st.session_state.get(key("drawn")) if view else plan.drawn(math.log(study.live_config.vocab_size))
    if not view and plan.of_class(1):
        return _recorded(drawn)
    if drawn is None:
        return _shipped_losses(tuple(name for name in SHOWN if name in shipped()), domain, hidden)
    if not view and st.session_state.get(plan.COMPARED):
        return _recorded(drawn)
    if view:
        vocab_size, domains, steps = view.plan.contestants[0].config.vocab_size, view.domains, view.plan.recipe.steps
    else:
        vocab_size, domains, steps = study.live_config.vocab_size, plan.domains(), value("steps")
    return _expectation(drawn, vocab_size, domains, steps)


def losses_of(standings: Sequence[Standing], floors: Mapping[str, float], domain: str | None, steps: int,
              drawn: pd.DataFrame | None, hidden: str = "", cloud: Sequence[pd.DataFrame] = ()) -> Chart:
    """Where `domain` has no loss yet, all that there are. A `cloud` of curves lies under the mean, which is shown alone."""
    rows = loss_rows(standings)
    known = {*rows["domain"], *([MEAN] if any(standing.evaluations for standing in standings) else [])}
    wanted = domain or MEAN if cloud else domain
    return loss_chart(rows, floors, drawn, wanted if wanted in known else None, steps, hidden,
                      cloud if wanted == MEAN and MEAN in known else ())


def _recorded(drawn: pd.DataFrame | None) -> Chart:
    """The mean of the shipped models, with what was drawn beforehand."""
    standings = [shipped_standing(name) for name in SHOWN if name in shipped()]
    steps = standings[0].at
    stretched = None if drawn is None else plan.stretched(drawn, steps)
    return losses_of(standings, shipped_floors(CLASSROOM), MEAN, steps, stretched, cloud=plan.of_class(steps))


@lru_cache(maxsize=16)
def _shipped_losses(names: tuple[str, ...], domain: str | None, hidden: str) -> Chart:
    standings = [shipped_standing(name) for name in names]
    return losses_of(standings, shipped_floors(names[0]), domain, farthest(standings), None,
                     hidden)


def _expectation(drawn: pd.DataFrame, vocab_size: int, domains: Sequence[str], steps: int) -> Chart:
    """What the audience expects, before anything has run, beside the loss of an even guess: ln(vocabulary)."""
    guess = pd.DataFrame([(EVEN_GUESS, domain, step, math.log(vocab_size), TRAINING) for domain in domains
                          for step in (0, steps)], columns=["contestant", "domain", "step", "loss", "kind"])
    return loss_chart(guess, {}, drawn, MEAN, steps)
