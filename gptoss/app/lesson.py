"""The questions and experiments beside a page's picture, and what is below it: maths, code, claims, checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import syntax
from gptoss.app import hidden, kept, pictures, route, stage, state
from gptoss.app.hall import asking, called, paper, seat
from gptoss.app.large import TooLong
from gptoss.app.markdown import literal, plain
from gptoss.app.state import Moment
from gptoss.app.study import Study
from gptoss.app.text import Tokens, live_tokens
from gptoss.app.verdicts import OPEN, Claim, badge, decide, known
from gptoss.exercises.catalogue import of_page
from gptoss.room.order import Question
from gptoss.units import number, with_unit

PREDICT, TRY = "Predict, then look", "Try this"
MATHS, CODE, CLAIMS, CHECKS = TABS = ("The maths", "The code", "Claims", "How we know")
MANY = 12  # choices from which on a list to choose from is easier than all of them at once
_DUE = "try_due"  # the experiment that the next run presses
BESIDE = "beside"  # the key of the questions and experiments, by which style.css and the browser tests find them

Words = str | Callable[[], str]  # a sentence, or what makes it once the reader has committed


@dataclass(frozen=True)
class Prediction:
    """A question that the reader answers before the app does.

    `answer` computes the answer when the reader has committed: a number, or one of `choices`. `because` is the
    sentence or two that follow, made from that answer. A number counts as right within `tolerance` of it (relative).
    `unit` follows the reader's number and ours; `show` writes the answer. `mistakes` answers each typical mistake with
    a sentence on what was not thought of: by choice, or, where a number is asked for, as pairs of the number that it leads
    to (or a function that computes it) and the sentence. `view` tells the questions of several views of a page apart.
    Where something on the page stays away until the reader has committed (`answered`), `hides` has the whole page drawn
    anew then.
    """

    question: str
    answer: Callable[[], float | str]
    because: Callable[[float | str], str]
    choices: Sequence[str] = ()
    unit: str = ""
    tolerance: float = 0.02
    show: Callable[[float], str] = partial(number, digits=4)
    mistakes: Mapping[str, Words] | Sequence[tuple[float | Callable[[], float], Words]] = ()
    view: str = ""
    hides: bool = False

    def right(self, guess: float | str, answer: float | str) -> bool:
        """Whether a guess is the answer, or near enough where it is a number."""
        return guess == answer if self.choices else abs(guess - answer) <= self.tolerance * abs(answer)

    def mistake(self, guess: float | str) -> str:
        """What the mistake behind a wrong guess was, where it is a typical one."""
        if self.choices:
            return _said(dict(self.mistakes).get(guess, ""))
        return next((_said(words) for value, words in self.mistakes
                     if self.right(guess, value() if callable(value) else value)), "")

    def written(self, value: float | str) -> str:
        """A guess or the answer, with its unit."""
        return str(value) if self.choices else with_unit(self.show(value), self.unit)

    def of_room(self, path: str) -> Question:
        """The same for phones, without Markdown. The page at `path` gives the answer later."""
        return Question(plain(self.question), tuple(map(plain, self.choices)), plain(self.unit), source=path)


def _said(words: Words) -> str:
    return words() if callable(words) else words


def _quoted(asked: Prediction, value: float | str) -> str:
    """A guess or the answer inside a sentence: a choice of words in quotes, a number with its unit."""
    words = asked.written(value)
    return f"“{words}”" if asked.choices and any(map(str.isalpha, words)) else words


@dataclass(frozen=True)
class Seen:
    """What is on the screen after an experiment: what its `check` is given."""

    study: Study  # the model under study
    text: str  # the reader's text
    controls: Mapping[str, object]  # where every widget stands, by key
    words: str  # all that the page says
    charts: Mapping[str, pd.DataFrame]  # what each chart draws, by its name

    def chart(self, name: str) -> pd.DataFrame:
        """What the first chart draws in whose name these words are."""
        return next(data for called, data in self.charts.items() if name in called)

    @property
    def tokens(self) -> Tokens:
        """The text in the live model's vocabulary."""
        return live_tokens(self.text, self.study.vocabulary, bool(self.controls.get("special")))


@dataclass(frozen=True)
class Try:
    """An experiment: a button that sets the state, and a sentence on what one then sees, shown after the press.

    `dials` are moves of the sidebar's dials (after `preset`, where one is named), `text` replaces the reader's, and
    `controls` sets the page's own widgets by key. `check` says whether the sentence is true of what is then seen.
    """

    label: str
    why: str
    dials: Mapping[str, object] = field(default_factory=dict)
    preset: str | None = None
    text: str | None = None
    controls: Mapping[str, object] = field(default_factory=dict)
    check: Callable[[Seen], bool] | None = None

    def study(self, now: Study) -> Study:
        """The model under study after pressing the button."""
        return (Study.of_preset(self.preset) if self.preset else now).moved(**self.dials)[0]

    def set(self, start: Moment) -> None:
        """Set the session to the experiment, as it begins at `start`. `Undo` takes the dials and the text back."""
        state.go_to(self.study(start.study), start.text if self.text is None else self.text)
        state.put_controls(start)
        for key, value in self.controls.items():
            st.session_state[key] = value


@dataclass
class _Pressed:
    """The experiment that was pressed last on a page, where it began, and the last step that was taken by then."""

    label: str
    start: Moment
    study: Study
    step: Moment | None = None
    drawn: bool = False


@dataclass(frozen=True)
class Lesson:
    """All that a page asks, suggests and explains. Functions are called only once their answer or their tab is wanted."""

    path: str
    prediction: Prediction
    tries: Sequence[Try]
    maths: str
    code: Sequence[object]
    claims: Sequence[Claim] = ()
    checks: Callable[[], None] | None = None


def answered(path: str, asked: Prediction) -> bool:
    """Whether the reader has committed to an answer: what would give it away waits for that."""
    return asked.question in _committed(path) or called.to_reveal(path) is not None


def take_up() -> None:
    """Press the experiment that a run has found by its name. Once a run, first: nothing is drawn yet, as in a callback."""
    if _DUE in st.session_state:
        _press(*st.session_state.pop(_DUE))


def beside(lesson: Lesson, place: DeltaGenerator | None = None) -> None:
    """Draw the question and the experiments right under the main picture, or at a `place`: once a run, after the picture."""
    if label := called.take_attempt():
        _look_for(label, lesson)
    under = pictures.under_main()
    with place or under or st.container():
        _beside(lesson)


@st.fragment
def _beside(lesson: Lesson) -> None:
    with st.container(key=BESIDE, border=True, gap="small"):
        try:
            _ask_room_if_due(lesson)
            if hidden.shows("question"):
                _predict(lesson)
            else:
                _answer_unseen(lesson)
            _tries(lesson)
            if paper.on():
                _on_paper(lesson)
        except TooLong as why:
            st.info(str(why), icon=":material/hourglass:")


def below(lesson: Lesson) -> None:
    """Draw the lesson's tabs: last on every component page."""
    if hidden.shows("below"):
        _tabs(lesson)
    if _DUE in st.session_state:
        st.rerun()  # not before: a widget that a run has not reached would forget where it stood


def _look_for(label: str, lesson: Lesson) -> None:
    """Have the experiment of this name pressed in the run that follows."""
    st.session_state.pop(f"{lesson.path}_missing", None)
    found = next((attempt for attempt in lesson.tries if attempt.label == label), None)
    if found:
        st.session_state[_DUE] = f"{lesson.path}_tried", found
    else:
        st.session_state[f"{lesson.path}_missing"] = label


def code_drawer(*objects: object, label: str = "The code that ran") -> None:
    """The very code that ran, in a drawer that does no work while it is closed."""
    with kept.expander(label, icon=":material/code:", key="code_drawer") as drawer:
        if drawer.open:
            _show_code(objects)


def _show_code(objects: Sequence[object]) -> None:
    for shown in objects:
        st.code(syntax.source_of(shown), language="python", wrap_lines=True)


@st.fragment
def _tabs(lesson: Lesson) -> None:
    views = {MATHS: _maths, CODE: _code} | ({CLAIMS: _claims} if lesson.claims else {}) | (
        {CHECKS: _checks} if lesson.checks else {})
    key = f"{lesson.path}_lesson"
    if stage.on():  # a room looks at the picture; what was called there stays
        called = st.session_state.get(key, st.query_params.get(key))
        views = {name: view for name, view in views.items() if name not in (CODE, CLAIMS, CHECKS) or name == called}
    if st.session_state.get(key, MATHS) not in views:
        del st.session_state[key]
    for tab, view in zip(kept.tabs(list(views), key=key), views.values(), strict=True):
        if tab.open:
            with tab:
                try:
                    view(lesson)
                except TooLong as why:
                    st.info(str(why), icon=":material/hourglass:")


def _predict(lesson: Lesson) -> None:
    asked = lesson.prediction
    _answer_if_revealed(lesson)
    if st.session_state.pop(f"{lesson.path}_turned", False) and asked.hides:
        st.rerun()  # the whole page: what waited for the answer is elsewhere on it
    st.markdown(f":material/psychology_alt: **{PREDICT}:** {asked.question}")
    if asked.question not in _committed(lesson.path):
        _ask(lesson)
        return
    guess, answer = _committed(lesson.path)[asked.question], asked.answer()
    reason = asked.because(answer)
    _tell_room(lesson, answer, reason)
    right = guess is not None and asked.right(guess, answer)
    said = "" if guess is None else f"You said {_quoted(asked, guess)}."
    wrong = "" if guess is None or right else asked.mistake(guess)
    same = right and asked.written(guess) == asked.written(answer)
    words = _quoted(asked, answer)
    truth = "**That is right.**" if same else f"**The answer is {words}.**" if words[0] == "“" else f"**It is {words}.**"
    sentence = " ".join(filter(None, (said, wrong, truth, reason)))
    with st.container(horizontal=True, vertical_alignment="center"):
        (st.success if right else st.info)(sentence, icon=":material/check:" if right else ":material/lightbulb:")
        st.button("Ask me again", key=f"{lesson.path}_again", on_click=_forget, args=(lesson,), type="tertiary",
                  icon=":material/replay:")


def _ask_room_if_due(lesson: Lesson) -> None:
    """Ask the room where the order or the presenter wants that."""
    room = seat.led()
    if room and asking.due(room, lesson.path):
        _ask_room(lesson)


def _ask_room(lesson: Lesson) -> None:
    """Put the question to the room. The answer goes, if it is there."""
    if room := seat.led():
        asking.put(room, lesson.prediction.of_room(lesson.path))
        if lesson.prediction.question in _committed(lesson.path):
            _forget(lesson)


def _answer_unseen(lesson: Lesson) -> None:
    """Answer the room where the page itself shows no question."""
    asked = lesson.prediction
    _answer_if_revealed(lesson)
    if seat.led() and asked.question in _committed(lesson.path):
        answer = asked.answer()
        _tell_room(lesson, answer, asked.because(answer))


def _tell_room(lesson: Lesson, answer: float | str, reason: str) -> None:
    """Give the room the answer that it waits for."""
    if room := seat.led():
        asked = lesson.prediction.of_room(lesson.path)
        asking.tell(room, asked, plain(answer) if asked.choices else float(answer), plain(reason))


def _answer_if_revealed(lesson: Lesson) -> None:
    """Commit to no answer where ours was called for, unless an experiment that comes before has still to be pressed."""
    after_attempt = called.to_reveal(lesson.path)
    if after_attempt is not None and not (after_attempt and _DUE in st.session_state):
        called.revealed(lesson.path)
        committed = _committed(lesson.path)
        st.session_state[f"{lesson.path}_committed"] = {lesson.prediction.question: None} | committed


def _ask(lesson: Lesson) -> None:
    """The reader's answer: nothing is computed, and nothing shown, before it is committed."""
    asked, key = lesson.prediction, _guess_key(lesson)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if asked.choices:
            ask = partial(st.radio, horizontal=True) if len(asked.choices) <= MANY else st.selectbox
            guess = ask("Your prediction", asked.choices, index=None, key=key, label_visibility="collapsed")
        else:
            unit = f" ({asked.unit})" if asked.unit else ""
            guess = st.number_input(f"Your prediction{unit}", value=None, step=None, format="%.6g", key=key, width=260,
                                    placeholder=f"A number{unit}", label_visibility="collapsed")
        if not hidden.shows("answers"):
            return
        pressed = st.button("Commit", type="primary", key=f"{lesson.path}_commit", on_click=_commit, args=(lesson,))
        if seat.led():
            st.button("Ask the room", key=f"{lesson.path}_room", icon=":material/how_to_vote:", on_click=_ask_room,
                      args=(lesson,))
        if stage.on():  # a room says its own aloud
            st.button("Show", key=f"{lesson.path}_show", on_click=_commit, args=(lesson, True))
        if pressed and guess is None:
            st.caption(":material/edit: Give your own answer first.")


def _guess_key(lesson: Lesson) -> str:
    return "_".join(filter(None, (lesson.path, lesson.prediction.view.lower().replace(" ", "-"), "guess")))


def _commit(lesson: Lesson, without: bool = False) -> None:
    """Keep the reader's answer; `without` one, show ours alone."""
    guess = st.session_state[_guess_key(lesson)]
    if guess is not None or without:
        _turn(lesson.path, _committed(lesson.path) | {lesson.prediction.question: guess})


def _forget(lesson: Lesson) -> None:
    committed = _committed(lesson.path)
    _turn(lesson.path, {asked: guess for asked, guess in committed.items() if asked != lesson.prediction.question})


def _turn(path: str, committed: dict[str, object]) -> None:
    st.session_state[f"{path}_committed"], st.session_state[f"{path}_turned"] = committed, True


def _committed(path: str) -> dict[str, object]:
    """The reader's answers on a page, by question: nothing where only ours was asked for."""
    return st.session_state.get(f"{path}_committed", {})


def _tries(lesson: Lesson) -> None:
    """A row of buttons, and what is to be seen of the one that was pressed last."""
    key = f"{lesson.path}_tried"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if hidden.shows("tries"):
            st.markdown(f":material/science: **{TRY}:**", width="content")
        for place, attempt in enumerate(lesson.tries if hidden.shows("tries") else ()):
            if st.button(attempt.label, on_click=_press, args=(key, attempt), key=f"{lesson.path}_try_{place}"):
                st.rerun()  # the whole page: the callback has set more than this fragment draws
    if missing := st.session_state.get(f"{lesson.path}_missing"):
        st.caption(f":material/info: No experiment here is called “{literal(missing)}”.")
    pressed = st.session_state.get(key)
    tried = pressed and next((attempt for attempt in lesson.tries if attempt.label == pressed.label), None)
    if not tried:
        return
    if not pressed.drawn:
        pressed.step, pressed.drawn, pressed.study = state.last_step(), True, state.study()
    if pressed.study == state.study():
        st.markdown(f"**{tried.label}{'' if tried.label.endswith('?') else ':'}** {tried.why}")


def _on_paper(lesson: Lesson) -> None:
    """Write out what a handout takes of a lesson, each part in a place of its own that `handout.js` finds by its key."""
    asked, answer = lesson.prediction, lesson.prediction.answer()
    mistakes = asked.mistakes.items() if isinstance(asked.mistakes, Mapping) else asked.mistakes
    parts = {"question": [asked.question], "choices": asked.choices, "unit": [asked.unit], "maths": [lesson.maths],
             "answer": [f"**{asked.written(answer)}**. {asked.because(answer)}"],
             "mistakes": [f"*{asked.written(_said(value))}*: {_said(words)}" for value, words in mistakes]} | {
                 f"try_{place}": [attempt.label, attempt.why] for place, attempt in enumerate(lesson.tries)}
    for name, texts in parts.items():
        with st.container(key=f"{paper.KEY}_{name}"):
            for text in texts:
                st.markdown(text)


def _press(key: str, attempt: Try) -> None:
    """Begin an experiment where the one before it began, as long as nothing else has been moved since."""
    before, start = st.session_state.get(key), state.moment()
    if before and before.drawn and before.step is state.last_step():
        start = before.start
    attempt.set(start)
    st.session_state[key] = _Pressed(attempt.label, start, state.study())


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
    """Each claim with its verdict: at once, or when the reader asks where it has to be measured."""
    study = route.page_at(lesson.path).of(state.study())
    for claim in lesson.claims:
        st.markdown(f"“{literal(claim.sentence)}” :small[{claim.origin} · decided on {claim.basis(study)}]")
        place, key = st.container(horizontal=True, vertical_alignment="center"), f"{lesson.path}_measure_{claim.name}"
        verdict = known(claim, study)
        if verdict is None and place.button("Measure now", key=key, icon=":material/timer:", help=claim.takes):
            verdict = decide(claim, study)
        place.markdown(f"{badge(verdict.verdict)} {verdict.sentence}" if verdict else f"{badge(OPEN)} {claim.takes}")


def _checks(lesson: Lesson) -> None:
    lesson.checks()
