"""What is below the picture of every component page: predict, try, maths, code, claims, checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import streamlit as st

from gptoss.app import kept, route, stage, state
from gptoss.app.large import TooLong
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.app.verdicts import Claim, badge, decide, known
from gptoss.exercises.catalogue import of_page
from gptoss.units import number

PREDICT, TRY, MATHS, CODE, CLAIMS, CHECKS = TABS = (
    "Predict, then look", "Try this", "The maths", "The code", "Claims", "How we know")
MANY = 12  # choices from which on a list to choose from is easier than all of them at once


@dataclass(frozen=True)
class Prediction:
    """A question that the reader answers before the app does.

    `answer` computes the answer when the reader has committed: a number, or one of `choices`. `because` is the
    sentence or two that follow, made from that answer. A number counts as right within `tolerance` of it (relative).
    `unit` follows the reader's number and ours; `show` writes the answer.
    """

    question: str
    answer: Callable[[], float | str]
    because: Callable[[float | str], str]
    choices: Sequence[str] = ()
    unit: str = ""
    tolerance: float = 0.02
    show: Callable[[float], str] = partial(number, digits=4)

    def right(self, guess: float | str, answer: float | str) -> bool:
        """Whether a guess is the answer, or near enough where it is a number."""
        return guess == answer if self.choices else abs(guess - answer) <= self.tolerance * abs(answer)


@dataclass(frozen=True)
class Try:
    """An experiment: a button that sets the state, and a sentence on why.

    `dials` are moves of the sidebar's dials (after `preset`, where one is named), `text` replaces the reader's, and
    `controls` sets the page's own widgets by key.
    """

    label: str
    why: str
    dials: Mapping[str, object] = field(default_factory=dict)
    preset: str | None = None
    text: str | None = None
    controls: Mapping[str, object] = field(default_factory=dict)

    def study(self, now: Study) -> Study:
        """The model under study after pressing the button."""
        return (Study.of_preset(self.preset) if self.preset else now).moved(**self.dials)[0]

    def set(self) -> None:
        """The button's callback. `Undo` takes the dials and the text back."""
        state.go_to(self.study(state.study()), self.text)
        for key, value in self.controls.items():
            st.session_state[key] = value


@dataclass(frozen=True)
class Lesson:
    """Everything below the picture of one page. Functions are called only while their tab is open."""

    path: str
    prediction: Prediction
    tries: Sequence[Try]
    maths: str
    code: Sequence[object]
    claims: Sequence[Claim] = ()
    checks: Callable[[], None] | None = None


def below(lesson: Lesson) -> None:
    """Draw the lesson's tabs: last on every component page."""
    _tabs(lesson)


def code_drawer(*objects: object, label: str = "The code that ran") -> None:
    """The very code that ran, in a drawer that does no work while it is closed."""
    with kept.expander(label, icon=":material/code:", key="code_drawer") as drawer:
        if drawer.open:
            _show_code(objects)


def _show_code(objects: Sequence[object]) -> None:
    for shown in objects:
        st.code(inspect.getsource(shown), language="python", wrap_lines=True)


@st.fragment
def _tabs(lesson: Lesson) -> None:
    views = {PREDICT: _predict, TRY: _try, MATHS: _maths, CODE: _code} | (
        {CLAIMS: _claims} if lesson.claims else {}) | ({CHECKS: _checks} if lesson.checks else {})
    if stage.on():  # a room looks at the picture; what was called there stays
        called = st.session_state.get(f"{lesson.path}_lesson", st.query_params.get(f"{lesson.path}_lesson"))
        views = {name: view for name, view in views.items() if name not in (CODE, CLAIMS, CHECKS) or name == called}
    for tab, view in zip(kept.tabs(list(views), key=f"{lesson.path}_lesson"), views.values(), strict=True):
        if tab.open:
            with tab:
                try:
                    view(lesson)
                except TooLong as why:
                    st.info(str(why), icon=":material/hourglass:")


def _predict(lesson: Lesson) -> None:
    asked, key = lesson.prediction, f"{lesson.path}_committed"
    guess = st.session_state.get(key, {}).get(asked.question)
    st.markdown(f"**{asked.question}**")
    if guess is None:
        _ask(lesson)
        return
    answer = asked.answer()
    show = str if asked.choices else lambda number: f"{asked.show(number)} {asked.unit}".strip()
    sentence = f"You said {show(guess)}. **It is {show(answer)}.** {asked.because(answer)}"
    if asked.right(guess, answer):
        st.success(sentence, icon=":material/check:")
    else:
        st.info(sentence, icon=":material/lightbulb:")
    st.button("Ask me again", key=f"{lesson.path}_again", on_click=st.session_state.pop, args=(key,), type="tertiary",
              icon=":material/replay:")


def _ask(lesson: Lesson) -> None:
    """The reader's answer: nothing is computed, and nothing shown, before it is committed."""
    asked = lesson.prediction
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if asked.choices:
            ask = partial(st.radio, horizontal=True) if len(asked.choices) <= MANY else st.selectbox
            guess = ask("Your prediction", asked.choices, index=None, key=f"{lesson.path}_guess")
        else:
            unit = f" ({asked.unit})" if asked.unit else ""
            guess = st.number_input(f"Your prediction{unit}", value=None, step=None, format="%.6g",
                                    placeholder="A number", key=f"{lesson.path}_guess", width=260)
        pressed = st.button("Commit", type="primary", key=f"{lesson.path}_commit", help="The answer follows yours.",
                            on_click=_commit, args=(lesson,))
        if pressed and guess is None:
            st.caption(":material/edit: Say your own first.")


def _commit(lesson: Lesson) -> None:
    guess = st.session_state[f"{lesson.path}_guess"]
    if guess is not None:
        st.session_state[f"{lesson.path}_committed"] = {lesson.prediction.question: guess}


def _try(lesson: Lesson) -> None:
    for place, attempt in enumerate(lesson.tries):
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(attempt.label, on_click=attempt.set, key=f"{lesson.path}_try_{place}", icon=":material/science:"):
                st.rerun()  # the whole page: the callback has set more than this fragment draws
            st.markdown(attempt.why, width="stretch")


def _maths(lesson: Lesson) -> None:
    st.markdown(lesson.maths)


def _code(lesson: Lesson) -> None:
    st.caption("What just ran, read from the program itself.")
    _show_code(lesson.code)
    _exercises(lesson.path)


def _exercises(path: str) -> None:
    """The way to what a reader can write of it."""
    exercises = of_page(path)
    if exercises:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Write it yourself:", width="content")
            for exercise in exercises:
                st.page_link("pages/exercises.py", label=exercise.title, icon=":material/construction:",
                             query_params=state.query() | {"exercises_name": exercise.title})


def _claims(lesson: Lesson) -> None:
    study = route.page_at(lesson.path).of(state.study())
    for claim in lesson.claims:
        verdict = known(claim, study) or decide(claim, study)
        st.markdown(f"“{literal(claim.sentence)}” :small[{claim.origin} · decided on {claim.basis(study)}]  \n"
                    f"{badge(verdict.verdict)} {verdict.sentence}")


def _checks(lesson: Lesson) -> None:
    lesson.checks()
