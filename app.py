"""The router: page configuration, the bar of pages, and the sidebar with the model under study."""

import streamlit as st

from gptoss.app import keys, notices, stage, state
from gptoss.app.book import BOOK, PAGES, run_page
from gptoss.app.foot import foot
from gptoss.app.sidebar import sidebar
from gptoss.app.startup import prepare_process, settle_process

prepare_process()
bar = {section: [page.as_streamlit() for page in pages] for section, pages in BOOK.items()}
current = st.navigation(bar, position="top")
name = PAGES[0].title
st.set_page_config(page_title=name if current.title == name else f"{current.title} · {name}", page_icon="🧩", layout="wide")
stage.synchronise(current.url_path)
state.synchronise(current.url_path)
page = next(page for page in PAGES if page.title == current.title)
keys.listen(page.path)
sidebar(first=page.dials)
try:
    run_page(current)
finally:  # the way on is there also where a page has failed
    foot(page.path)
notices.complete()
settle_process()
