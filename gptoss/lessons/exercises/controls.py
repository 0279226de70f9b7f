"""The page of exercises at work: the list, one exercise large, its hints one by one, and what can be taken home."""

from __future__ import annotations

from functools import partial

import streamlit as st

from gptoss.app import kept, pictures, route, state
from gptoss.app.controls import Key
from gptoss.exercises.catalogue import EXERCISES
from gptoss.exercises.exercise import Exercise
from gptoss.exercises.handouts import FOLDER, code_file, folder_zip, notebook
from gptoss.lessons.exercises.charts import Row, minutes_chart
from gptoss.units import plural

CHOSEN = Key("exercises_name", next(iter(EXERCISES)))
_LIST, _OPENED = "exercises_list", "exercises_opened"  # the chart; by name, how many hints are open
_NOTEBOOK = "application/x-ipynb+json"


def choose_exercise() -> Exercise:
    """The list to choose from by name; the chart of all moves it too."""
    name = kept.selectbox("Exercise", [*EXERCISES], key=CHOSEN.name, format_func=lambda name: EXERCISES[name].title)
    return EXERCISES.get(name, EXERCISES[CHOSEN.default])


def show_list(chosen: Exercise) -> None:
    """All exercises as a chart whose bars can be clicked."""
    rows = [Row(each.name, each.title, each.minutes, each.difficulty) for each in EXERCISES.values()]
    pictures.show_chart(minutes_chart(rows, chosen.name), key=_LIST, on_select=_picks)


def _picks() -> None:
    picked = st.session_state[_LIST].selection.get("picked")
    if picked:
        CHOSEN.set(picked[0]["name"])


def show_exercise(exercise: Exercise) -> None:
    """One exercise: what it is for, hints, and where in the app it is explained."""
    st.markdown(f":small[{exercise.difficulty} · about {exercise.minutes} minutes · checked on "
                f"{plural(len(exercise.cases()), 'case')} · {len(exercise.mistakes)} mistakes are recognised by name]  \n"
                f"{exercise.story}")
    _hints(exercise)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button("File", partial(code_file, exercise), exercise.file, "text/x-python", on_click="ignore",
                           key="exercises_file", icon=":material/download:", help="The stub, to fill in with an editor.")
        st.download_button("Notebook", partial(notebook, [exercise]), f"{exercise.name}.ipynb", _NOTEBOOK,
                           on_click="ignore", key="exercises_notebook", icon=":material/download:",
                           help="Story, stub, hints and a cell that checks.")
        for path in exercise.pages:
            page = route.page_at(path)
            st.page_link(f"pages/{page.file}", label=page.title, icon=page.icon, query_params=state.query())


def show_stub(exercise: Exercise) -> None:
    """What is to be written."""
    st.markdown("**What you write**")
    st.code(exercise.stub.rstrip(), language="python", wrap_lines=True)


def _hints(exercise: Exercise) -> None:
    """Those hints that are open, and the button that opens the next."""
    opened = st.session_state.setdefault(_OPENED, {})
    count = opened.get(exercise.name, 0)
    for number, words in enumerate(exercise.hints[:count], 1):
        st.markdown(f"**Hint {number}.** {words}")
    if count < len(exercise.hints):
        st.button(f"Open hint {count + 1} of {len(exercise.hints)}", icon=":material/lightbulb:", key="exercises_hint",
                  on_click=opened.update, args=({exercise.name: count + 1},))


def take_all_home(name: str) -> None:
    """How to work at home, and everything to download at once."""
    st.header("On your own machine", anchor=False)
    st.markdown("Nothing that you write is sent here or runs here: you need this project on your machine, with its "
                "`requirements.txt` installed, and no internet. In the project's folder:")
    st.code(_COMMANDS.format(folder=FOLDER, name=name), language="sh", wrap_lines=True)
    with st.container(horizontal=True):
        st.download_button("All as files", folder_zip, f"{FOLDER}.zip", "application/zip", on_click="ignore",
                           key="exercises_zip", icon=":material/folder_zip:")
        st.download_button("All as one notebook", notebook, "build-gptoss.ipynb", _NOTEBOOK, on_click="ignore",
                           key="exercises_whole", icon=":material/download:",
                           help="Put it beside app.py. Its last cell makes one model out of your parts.")


_COMMANDS = """\
python -m gptoss.exercises start {folder}          # a folder with one file an exercise
python -m gptoss.exercises check {folder} {name}
python -m gptoss.exercises hint {name}
python -m gptoss.exercises solution {name}
python -m gptoss.exercises together {folder}       # one model out of your parts, on trained weights
python -m gptoss.exercises notebook build-gptoss.ipynb"""
