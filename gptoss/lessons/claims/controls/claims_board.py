"""The page of claims at work: verdicts decided once and remembered, what is looked for, and measurements in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import lesson, live, state
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.app.verdicts import (
    COMPUTED,
    FALSE,
    MEASURED,
    OPEN,
    PARTLY,
    TIMED,
    TOPICS,
    TRUE,
    VERDICTS,
    Claim,
    Verdict,
    badge,
    decide,
    known,
)
from gptoss.charts import Chart
from gptoss.claims.register import BY_NAME, CLAIMS
from gptoss.lessons.claims.charts import Tile, verdict_strip

ALL, ALL_TOPICS = "All", "All topics"
NAMES = tuple(BY_NAME)
CHOSEN, FIND, VERDICT, TOPIC = "claims_row", "claims_find", "claims_verdict", "claims_topic"
LABELS = {ALL: ALL, FALSE: "False", PARTLY: "Partly true", TRUE: "True", OPEN: "Not measured yet"}
OF_LABEL = {label: verdict for verdict, label in LABELS.items()}
_LAST = "claims_last"  # the claim that was shown last
_QUEUE = "claims_queue"  # (the study, the names of claims to measure, how many there were)

_KINDS = {COMPUTED: "computed from closed forms", MEASURED: "measured", TIMED: "timed by this machine's clock"}




def verdicts(study: Study) -> dict[str, str]:
    """The verdict on every claim, by its name."""
    found = {claim.name: known(claim, study) for claim in CLAIMS}
    return {name: decided.verdict if decided else OPEN for name, decided in found.items()}


def matches(claim: Claim, words: str) -> bool:
    """Whether all words stand in what the claim says, its number, its topic, its page or who says it, large or small."""
    text = f"{claim.name} {claim.sentence} {claim.source} {claim.topic} {claim.page.title}".casefold()
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
    return [claim.name for claim in CLAIMS
            if matches(claim, memory.get(FIND) or "") and topic in (claim.topic, ALL_TOPICS, None)
            and verdict in (found[claim.name], ALL)]


def _to_the_first() -> None:
    """After a filter has moved: a claim that it lets through."""
    names = looked_for(verdicts(state.study().small))
    if names and st.session_state.get(CHOSEN) not in names:
        st.session_state[CHOSEN] = names[0]


def choose_claim() -> Claim:
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


def strip(found: dict[str, str], names: Sequence[str], chosen: Claim) -> Chart:
    """All verdicts in one picture."""
    tiles = [Tile(claim.name, claim.sentence, found[claim.name], claim.name in names) for claim in CLAIMS]
    return verdict_strip(tiles, chosen.name)


def summary(found: dict[str, str]) -> str:
    """How many claims have which verdict, as badges: the legend of the strip."""
    counted = Counter(found.values())
    return " ".join(badge(verdict, counted[verdict]) for verdict in VERDICTS if counted[verdict])


def say(claim: Claim, study: Study) -> Verdict | None:
    """The chosen claim: what is said, what is so, and on what that was found."""
    decided = known(claim, study)
    st.markdown(f"### “{literal(claim.sentence)}”")
    about = f"{claim.about}, {study.name}" if claim.follows else claim.about
    st.caption(f"{claim.origin} · {claim.topic} · {_KINDS[claim.kind]}, on {about}")
    if decided is None:
        st.markdown(f"{badge(OPEN)} {claim.takes}")
    else:
        st.markdown(f"{badge(decided.verdict)} {decided.sentence}")
    return decided


def actions(claim: Claim, study: Study, decided: Verdict | None) -> None:
    """The way to the page that shows why, and to a measurement where there is one to take."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(f"pages/{claim.page.file}", label=f"See it on {claim.page.title}", icon=claim.page.icon,
                     query_params=claim.query(state.session().now))
        if claim.takes and (decided is None or claim.kind == TIMED):
            st.button("Measure now" if decided is None else "Measure again", icon=":material/timer:", key="claims_measure",
                      on_click=_ask_for, args=(study, [claim.name]))
        if decided and claim.takes:
            st.caption(f"Measured on this server in {units.seconds(decided.seconds)}.")


def code_drawer(claim: Claim) -> None:
    """The code that decides the chosen claim, in a drawer that does no work while it is closed."""
    lesson.code_drawer(*claim.decided_by, label="The code that decides it")


def claims_in_words(found: dict[str, str], names: Sequence[str]) -> None:
    """All claims that are looked for, a line each: one element, which stays as it is while another claim is chosen."""
    if names:
        st.markdown("\n".join(f"- {_in_a_line(BY_NAME[name], found[name])}" for name in names))
        return
    words = literal(st.session_state.get(FIND) or "")
    st.info(f"No claim has all of “{words}” and what the filters ask for." if words else
            "No claim has what the filters ask for.", icon=":material/search_off:")
    st.button("Show all claims", key="claims_all", on_click=_show_all)


def _in_a_line(claim: Claim, verdict: str) -> str:
    return f"**{claim.name}** {badge(verdict)} {literal(claim.sentence)} :gray[:small[{claim.source}]]"


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
