"""The router: the bar of pages, their title in the browser's tab, the sidebar with the model under study, the foot.

The server imports this file once, before anybody comes, for `app`, which serves the lecture room's light pages too; each
session runs it as its script.
"""

import importlib
import pkgutil

import streamlit as st

import gptoss.app
import gptoss.claims
import gptoss.lessons
from gptoss.app import keys, lesson, notices, route, share, stage, state
from gptoss.app.book import BAR, PAGES, run_page
from gptoss.app.foot import foot
from gptoss.app.hall import lecture, votes
from gptoss.app.sidebar import sidebar
from gptoss.app.startup import prepare_process, settle_process
from gptoss.app.take_home import take_home
from gptoss.room.routes import routes
from gptoss.room.streams import ended_with_server


def import_everything() -> None:
    """Import what pages import, in one thread: when a whole class comes at once, modules half made would meet each other."""
    for room in (gptoss.app, gptoss.lessons, gptoss.claims):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            importlib.import_module(module.name)


def run() -> None:
    """One session's page, from the address to the foot."""
    prepare_process()
    bar = {section: [page.as_streamlit() for page in pages] for section, pages in BAR.items()}
    current = st.navigation(bar, position="top")
    name = PAGES[0].title
    st.set_page_config(page_title=name if current.title == name else f"{current.title} · {name}", page_icon="🧩",
                       layout="wide")
    lesson.take_up()
    lecture.synchronise(current.url_path)
    stage.synchronise(current.url_path)
    state.synchronise(current.url_path)
    page = route.page_at(current.url_path)
    keys.listen(page.path, before=lecture.act)
    lecture.draw(page.path)
    sidebar(first=page.dials)
    try:
        run_page(current)
        if not stage.on():
            take_home(page)
    finally:  # the way on is there also where a page has failed
        state.settle()
        foot(page.path)
        votes.draw(page.path)
    notices.complete()
    share.show_if_asked()
    settle_process()


if __name__ == "__main__":
    with lecture.turn():
        run()
else:
    import_everything()
    prepare_process()
    app = st.App(__file__, routes=routes(st.get_option("server.baseUrlPath"), PAGES[0].path), lifespan=ended_with_server)
