"""The page of claims at work: what the filters let through, the chosen claim, and measurements in turn.

The page hands its claims in, since the register imports every lesson.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from gptoss import units
from gptoss.app import kept, state
from gptoss.app.computed import WAITING
from gptoss.app.controls import Key
from gptoss.app.markdown import literal
from gptoss.app.study import Study
from gptoss.app.turns import MEASURING
from gptoss.app.verdicts import COMPUTED, MEASURED, OPEN, TIMED, TOPICS, VERDICTS, Claim, Verdict, badge, decide, known
from gptoss.charts import Chart
from gptoss.lessons.claims.charts import Tile, verdict_strip

ALL, ALL_TOPICS = "All", "All topics"
LABELS = {ALL: ALL} | {verdict: verdict.capitalize() for verdict in VERDICTS}
CHOSEN, FIND = Key("claims_row", ""), Key("claims_find", "")
VERDICT, TOPIC = Key("claims_verdict", ALL), Key("claims_topic", ALL_TOPICS)
EVERYTHING = {FIND.name: "", VERDICT.name: ALL, TOPIC.name: ALL_TOPICS}  # filters that let all claims through
_LAST = "claims_last"  # the claim that was shown last
_QUEUE = "claims_queue"  # (the study, the names of claims to measure, how many there were)

_KINDS = {COMPUTED: "computed from closed forms", MEASURED: "measured", TIMED: "timed by this machine's clock"}


def verdict_of_each(claims: Sequence[Claim], study: Study) -> dict[str, str]:
    """The verdict on every claim, by its name; `OPEN` where it has to be measured first."""
    reached = {claim.name: known(claim, study) for claim in claims}
    return {name: verdict.verdict if verdict else OPEN for name, verdict in reached.items()}


def matches(claim: Claim, words: str) -> bool:
    """Whether all words are in the claim, its number, its topic, its page or who says it, large or small."""
    text = f"{claim.name} {claim.sentence} {claim.source} {claim.topic} {claim.page.title}".casefold()
    return all(word in text for word in words.casefold().split())


def filters(claims: Sequence[Claim], study: Study) -> None:
    """The search box and the two filters."""
    looks = {"on_change": _to_the_first, "args": (claims, study), "label_visibility": "collapsed"}
    kept.text_input("Find", key=FIND.name, placeholder="cache, 120b, tokens …", max_chars=80, type="search", width=280,
                    icon=":material/search:", **looks)
    kept.selectbox("Verdict", [*LABELS.values()], key=VERDICT.name, width=210, **looks)
    kept.selectbox("Topic", [ALL_TOPICS, *TOPICS], key=TOPIC.name, width=220, **looks)


def looked_for(claims: Sequence[Claim], verdicts: Mapping[str, str]) -> list[str]:
    """Names of the claims that the filters and the search let through, in order."""
    return [claim.name for claim in claims
            if matches(claim, FIND.value) and TOPIC.value in (claim.topic, ALL_TOPICS)
            and VERDICT.value in (LABELS[verdicts[claim.name]], ALL)]


def _to_the_first(claims: Sequence[Claim], study: Study) -> None:
    """After a filter has moved: a claim that it lets through."""
    names = looked_for(claims, verdict_of_each(claims, study))
    if names and CHOSEN.value not in names:
        CHOSEN.set(names[0])


def choose_claim(claims: Sequence[Claim]) -> Claim:
    """The slider over all claims: its range never changes, so that an address names one whatever the filters say.

    A reader who comes back from the page that shows why finds it where it was.
    """
    memory, by_name = st.session_state, {claim.name: claim for claim in claims}
    if CHOSEN.name not in memory and CHOSEN.name not in st.query_params and _LAST in memory:
        CHOSEN.set(memory[_LAST])
    memory[_LAST] = kept.select_slider("Claim", [*by_name], key=CHOSEN.name)
    return by_name[memory[_LAST]]


def picks_claim() -> None:
    """The callback of a click on the strip."""
    picked = st.session_state["claims_strip"].selection.get("picked")
    if picked:
        CHOSEN.set(picked[0]["claim"])


def strip(claims: Sequence[Claim], verdicts: Mapping[str, str], names: Sequence[str], chosen: Claim) -> Chart:
    """All verdicts in one picture."""
    tiles = [Tile(claim.name, claim.sentence, verdicts[claim.name], claim.name in names) for claim in claims]
    return verdict_strip(tiles, chosen.name)


def summary(verdicts: Mapping[str, str]) -> str:
    """How many claims have which verdict, as badges: the legend of the strip, in Markdown."""
    counted = Counter(verdicts.values())
    return " ".join(badge(verdict, counted[verdict]) for verdict in VERDICTS if counted[verdict])


def show_claim(claim: Claim, study: Study) -> Verdict | None:
    """The chosen claim, its verdict, and what that was found on."""
    verdict = known(claim, study)
    st.markdown(f"## “{literal(claim.sentence)}”")
    st.caption(f"{claim.origin} · {claim.topic} · {_KINDS[claim.kind]}, on {claim.basis(study)}")
    st.markdown(f"{badge(verdict.verdict)} {verdict.sentence}" if verdict else f"{badge(OPEN)} {claim.takes}")
    return verdict


def actions(claim: Claim, study: Study, verdict: Verdict | None) -> None:
    """The way to the page that shows why, and to a measurement where there is one to take."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(f"pages/{claim.page.file}", label=f"See it on {claim.page.title}", icon=claim.page.icon,
                     query_params=claim.query(state.session().now))
        if claim.takes and (verdict is None or claim.kind == TIMED):
            st.button("Measure now" if verdict is None else "Measure again", icon=":material/timer:", key="claims_measure",
                      on_click=_ask_for, args=(study, [claim.name]))
        if verdict and claim.takes:
            st.caption(f"Measured on this server in {units.seconds(verdict.seconds)}.")


def claims_in_words(claims: Sequence[Claim], verdicts: Mapping[str, str], names: Sequence[str]) -> None:
    """All claims that are looked for, a line each: one element, which stays as it is while another claim is chosen."""
    if names:
        st.markdown("\n".join(
            f"- **{claim.name}** {badge(verdicts[claim.name])} {literal(claim.sentence)} "
            f":gray[:small[{claim.source}]]" for claim in claims if claim.name in names))
        st.caption("“The notebook” is “GPT-OSS Architecture: Implementation”, from which this app grew.")
        return
    words = literal(FIND.value)
    st.info(f"No claim has all of “{words}” and what the filters ask for." if words else
            "No claim has what the filters ask for.", icon=":material/search_off:")
    st.button("Show all claims", key="claims_all", on_click=st.session_state.update, args=(EVERYTHING,))


def measure_all(verdicts: Mapping[str, str], study: Study) -> None:
    """The button that measures what is still open, or how far that is, with a stop."""
    place = st.empty()  # one place, so that one button goes as the other comes
    still_open = [name for name, verdict in verdicts.items() if verdict == OPEN]
    if _waiting(study):
        place.button("Stop measuring", icon=":material/stop:", key="claims_stop", on_click=_stop, type="tertiary",
                     help="After the one that is running.")
    elif still_open:
        place.button("Measure all", icon=":material/timer:", key="claims_measure_all", on_click=_ask_for, type="tertiary",
                     args=(study, still_open), help="All claims that are not measured yet, one after the other: some "
                                                       "seconds each. You can stop.")


def measure_next(claims: Sequence[Claim], study: Study, place: DeltaGenerator) -> None:
    """Measure the first claim that waits, then draw the page anew. Called last, so that all else is there meanwhile."""
    waiting = _waiting(study)
    if not waiting:
        return
    total, name = st.session_state[_QUEUE][2], waiting[0]
    done = total - len(waiting)
    busy = f" {WAITING}" if MEASURING.locked() else ""
    bar = place.progress(done / total, f"Measuring claim {name}, {done + 1} of {total}.{busy}")
    decide(next(claim for claim in claims if claim.name == name), study)
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
