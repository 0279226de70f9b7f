"""A page for paper: what a handout takes of it is written out, and its charts are shapes."""

import pytest
from reader import assert_fine, open_page

from gptoss.app.lesson import PREDICT


@pytest.mark.parametrize("path", ["sinks", "tokenizer", "memory"])
def test_a_page_for_paper_says_question_answer_maths_and_experiments_once_each(path):
    at = open_page(f"pages/{path}.py", paper="1")
    assert_fine(at)
    texts = [each.value for each in at.markdown]
    question = next(text for text in texts if PREDICT in text).split(":** ", 1)[1]
    place = texts.index(question)
    answer = next(text for text in texts[place:] if text.startswith("**") and "**. " in text)
    assert texts.index(answer) > place
    tried = [button.label for button in at.button if "_try_" in button.key]
    assert tried and all(texts.count(label) == 1 for label in tried)
    assert texts.count(next(text for text in texts if "With the numbers above" in text)) == 2  # the tab's, and paper's
    assert at.query_params["paper"] in ("1", ["1"])
    charts = [chart.proto.spec for chart in at.get("vega_lite_chart")]
    assert all('"renderer": "svg"' in spec or '"renderer":"svg"' in spec for spec in charts)
    assert not at.success and not at.info, "nobody has committed"


def test_without_it_nothing_is_written_out():
    at = open_page("pages/sinks.py")
    assert sum("With the numbers above" in each.value for each in at.markdown) == 1
