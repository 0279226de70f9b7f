"""The page of claims at work: verdicts decided once and remembered, what is looked for, and measurements in turn."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import furniture, lesson, live, state
from gptoss.app.study import Study
from gptoss.charts import Chart
from gptoss.claims.register import BY_NAME, COMPUTED, MEASURED, ROWS, TIMED, TOPICS, UNDER_STUDY, Row
from gptoss.lessons.claims.charts import NOT_SO, OPEN, PARTLY, SO, VERDICTS, Tile, verdict_strip

ALL, ALL_TOPICS = "All", "All topics"
NAMES = tuple(BY_NAME)
CHOSEN, FIND, VERDICT, TOPIC = "claims_row", "claims_find", "claims_verdict", "claims_topic"
LABELS = {ALL: ALL, NOT_SO: "Not so", PARTLY: "Partly", SO: "So", OPEN: "Open"}
OF_LABEL = {label: verdict for verdict, label in LABELS.items()}
KEPT = 2048  # verdicts that the server remembers
_LAST = "claims_last"  # the claim that was shown last
_QUEUE = "claims_queue"  # (the study, the names of claims to measure, how many there were)

_BADGES = {NOT_SO: "red-badge[:material/close:", PARTLY: "orange-badge[:material/contrast:",
           SO: "green-badge[:material/check:", OPEN: "gray-badge[:material/hourglass_empty:"}
_KINDS = {COMPUTED: "computed from closed forms", MEASURED: "measured", TIMED: "timed by this machine's clock"}


@dataclass(frozen=True)
class Decided:
    """A verdict, one of `VERDICTS`, the sentence with its figures, and the seconds it took."""

    verdict: str
    sentence: str
    seconds: float


_decided: OrderedDict[tuple, Decided] = OrderedDict()
_lock = Lock()


def decide(row: Row, study: Study) -> Decided:
    """Decide a claim now, and remember the verdict for the whole server."""
    start = time.perf_counter()
    verdict, sentence = row.measure(row.study(study))
    verdict = PARTLY if verdict == lesson.PARTLY else SO if verdict else NOT_SO
    found = Decided(verdict, sentence, time.perf_counter() - start)
    key = _key(row, study)
    with _lock:
        _decided[key] = found
        _decided.move_to_end(key)
        while len(_decided) > KEPT:
            _decided.popitem(last=False)
    return found


def known(row: Row, study: Study) -> Decided | None:
    """The verdict on a claim: remembered, or decided at once where that takes no time. None where it has to be measured."""
    with _lock:
        found = _decided.get(_key(row, study))
    return found or (None if row.takes else decide(row, study))


def _key(row: Row, study: Study) -> tuple:
    """What a verdict depends on: weights by name too, since those of a run can go."""
    return (row.name,) if row.preset or UNDER_STUDY not in row.about else (row.name, study, live.running(study))


def verdicts(study: Study) -> dict[str, str]:
    """The verdict on every claim, by its name."""
    found = {row.name: known(row, study) for row in ROWS}
    return {name: decided.verdict if decided else OPEN for name, decided in found.items()}


def matches(row: Row, words: str) -> bool:
    """Whether all words stand in what the claim says, its number, its topic, its page or who says it, large or small."""
    text = f"{row.name} {row.says} {row.source} {row.topic} {row.page.title}".casefold()
    return all(word in text for word in words.casefold().split())


def controls() -> None:
    """The search box and the two filters."""
    find, verdict, topic = st.columns([3, 6, 3], gap="medium", vertical_alignment="bottom")
    with find:
        st.text_input("Find", key=FIND, bind="query-params", placeholder="cache, 120b, tokens …", max_chars=80,
                      type="search", on_change=_to_the_first, label_visibility="collapsed", icon=":material/search:")
    with verdict:
        st.segmented_control("Verdict", list(OF_LABEL), default=ALL, key=VERDICT, bind="query-params", required=True,
                             on_change=_to_the_first, label_visibility="collapsed")
    with topic:
        st.selectbox("Topic", [ALL_TOPICS, *TOPICS], key=TOPIC, bind="query-params", on_change=_to_the_first,
                     label_visibility="collapsed")


def looked_for(found: dict[str, str]) -> list[str]:
    """Names of the claims that the filters and the search let through, in order."""
    memory = st.session_state
    verdict, topic = OF_LABEL.get(memory.get(VERDICT), ALL), memory.get(TOPIC)
    return [row.name for row in ROWS
            if matches(row, memory.get(FIND) or "") and topic in (row.topic, ALL_TOPICS, None)
            and verdict in (found[row.name], ALL)]


def _to_the_first() -> None:
    """After a filter has moved: a claim that it lets through."""
    names = looked_for(verdicts(state.study().small))
    if names and st.session_state.get(CHOSEN) not in names:
        st.session_state[CHOSEN] = names[0]


def choose_claim() -> Row:
    """The slider over all claims: its range never changes, so that an address names one whatever the filters say.

    A reader who comes back from the page that shows why finds it where it was.
    """
    memory = st.session_state
    if CHOSEN not in memory and CHOSEN not in st.query_params and _LAST in memory:
        memory[CHOSEN] = memory[_LAST]
    memory[_LAST] = st.select_slider("Claim", NAMES, key=CHOSEN, bind="query-params")
    return BY_NAME[memory[_LAST]]


def picks_claim() -> None:
    """The callback of a click on the strip."""
    picked = st.session_state["claims_strip"].selection.get("picked")
    if picked:
        st.session_state[CHOSEN] = picked[0]["claim"]


def strip(found: dict[str, str], names: Sequence[str], chosen: Row) -> Chart:
    """All verdicts in one picture."""
    return verdict_strip([Tile(row.name, row.says, found[row.name], row.name in names) for row in ROWS], chosen.name)


def summary(found: dict[str, str]) -> str:
    """How many claims have which verdict, as badges: the legend of the strip."""
    counted = Counter(found.values())
    return " ".join(f":{_BADGES[verdict]} {counted[verdict]} {verdict}]" for verdict in VERDICTS if counted[verdict])


def say(row: Row, study: Study) -> Decided | None:
    """The chosen claim: what is said, what is so, and on what that was found."""
    decided = known(row, study)
    st.markdown(f"### “{furniture.literal(row.says)}”")
    about = f"{row.about}, {study.name}" if row.about == UNDER_STUDY else row.about
    which = f", claim {row.name}" if row.name.isalnum() and row.name[0].isdigit() else ""
    st.caption(f"{row.source}{which} · {row.topic} · {_KINDS[row.kind]}, on {about}")
    if decided is None:
        st.markdown(f":{_BADGES[OPEN]} not yet measured] {row.takes}")
    else:
        st.markdown(f"{lesson.badge({SO: True, NOT_SO: False}.get(decided.verdict, lesson.PARTLY))} {decided.sentence}")
    return decided


def actions(row: Row, study: Study, decided: Decided | None) -> None:
    """The way to the page that shows why, and to a measurement where there is one to take."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(f"pages/{row.page.file}", label=f"See it on {row.page.title}", icon=row.page.icon,
                     query_params=row.query(state.session().now))
        if row.takes and (decided is None or row.kind == TIMED):
            st.button("Measure now" if decided is None else "Measure again", icon=":material/timer:", key="claims_measure",
                      on_click=_ask_for, args=(study, [row.name]))
        if decided and row.takes:
            st.caption(f"Measured on this server in {units.seconds(decided.seconds)}.")


def code_drawer(row: Row) -> None:
    """The code that decides the chosen claim, in a drawer that does no work while it is closed."""
    furniture.code_drawer(*row.decided_by, label="The code that decides it")


def claims_in_words(found: dict[str, str], names: Sequence[str]) -> None:
    """All claims that are looked for, a line each: one element, which stays as it is while another claim is chosen."""
    if names:
        st.markdown("\n".join(f"- {_in_a_line(BY_NAME[name], found[name])}" for name in names))
        return
    words = furniture.literal(st.session_state.get(FIND) or "")
    st.info(f"No claim has all of “{words}” and what the filters ask for." if words else
            "No claim has what the filters ask for.", icon=":material/search_off:")
    st.button("Show all claims", key="claims_all", on_click=_show_all)


def _in_a_line(row: Row, verdict: str) -> str:
    return f"**{row.name}** :{_BADGES[verdict]} {verdict}] {furniture.literal(row.says)} :gray[:small[{row.source}]]"


def _show_all() -> None:
    st.session_state.update({FIND: "", VERDICT: ALL, TOPIC: ALL_TOPICS})


def measure_all(study: Study, found: dict[str, str]) -> None:
    """The button that measures what is still open, or how far that is, with a stop."""
    waiting, place = _waiting(study), st.empty()  # one place, so that one button goes as the other comes
    still_open = [name for name, verdict in found.items() if verdict == OPEN]
    if waiting:
        place.button("Stop measuring", icon=":material/stop:", key="claims_stop", on_click=_stop, type="tertiary",
                     help="After the one that is running.")
    elif still_open:
        place.button("Measure all", icon=":material/timer:", key="claims_measure_all", on_click=_ask_for, type="tertiary",
                     args=(study, still_open), help="What is open, one after the other: some seconds each. You can stop.")


def measure_next(study: Study, place: DeltaGenerator) -> None:
    """Measure the first claim that waits, then draw the page anew. Called last, so that all else is there meanwhile."""
    waiting = _waiting(study)
    if not waiting:
        return
    total, name = st.session_state[_QUEUE][2], waiting[0]
    done = total - len(waiting)
    busy = " Another reader's measurement is running; yours is next." if live.MEASURING.locked() else ""
    bar = place.progress(done / total, f"Measuring claim {name}, {done + 1} of {total}.{busy}")
    decide(BY_NAME[name], study)
    waiting.remove(name)
    bar.progress((done + 1) / total, f"Claim {name} is measured.")  # where a press on Stop takes effect
    st.rerun()


def _waiting(study: Study) -> list[str]:
    """Names of the claims that wait to be measured on this study; none once another one is under study."""
    asked, names, _ = st.session_state.get(_QUEUE, (None, [], 0))
    return names if asked == study else []


def _ask_for(study: Study, names: Sequence[str]) -> None:
    st.session_state[_QUEUE] = (study, list(names), len(names))


def _stop() -> None:
    st.session_state.pop(_QUEUE, None)
