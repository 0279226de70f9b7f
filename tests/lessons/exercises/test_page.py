"""The page of exercises: previews, hints one by one, downloads, and the ways to it."""

import io
import zipfile

import nbformat
import pytest
import streamlit
from reader import assert_fine, open_page, open_tab, page_text

from gptoss.app.book import PAGES
from gptoss.exercises.catalogue import EXERCISES, of_page
from gptoss.exercises.handouts import code_file, folder_files

PAGE = "pages/exercises.py"


def opened(name, **query):
    at = open_page(PAGE, exercises_name=EXERCISES[name].title, **query)
    assert_fine(at)
    return at


@pytest.mark.parametrize("name", EXERCISES)
def test_an_address_opens_an_exercise_with_its_story_and_stub(name):
    exercise, at = EXERCISES[name], opened(name)
    assert at.selectbox(key="exercises_name").value == name
    assert exercise.story in page_text(at) and f"about {exercise.minutes} minutes" in page_text(at)
    code = [block.value for block in at.code]
    assert exercise.stub.rstrip() in code and not any(exercise.solved.rstrip() in block for block in code)
    assert any(f"check my_gptoss {name}" in block for block in code)


def test_hints_open_one_by_one_and_stay_with_their_exercise():
    at = opened("rope")
    for number, words in enumerate(EXERCISES["rope"].hints, 1):
        assert words.replace("\\", "") not in page_text(at)
        at.button(key="exercises_hint").click().run()
        assert f"**Hint {number}.** {words}" in page_text(at)
    assert not [button for button in at.button if button.key == "exercises_hint"]
    at.selectbox(key="exercises_name").set_value("yarn").run()
    assert "**Hint 1.**" not in page_text(at)
    at.selectbox(key="exercises_name").set_value("rope").run()
    assert "**Hint 3.**" in page_text(at)


def test_one_exercise_and_all_of_them_can_be_taken_home(monkeypatch):
    """What the four buttons hand out, which is what the command writes."""
    handed = {}
    monkeypatch.setattr(streamlit, "download_button",
                        lambda label, data, file_name, *others, **looks: handed.update({file_name: data()}))
    opened("mxfp4")
    assert handed["mxfp4.py"] == code_file(EXERCISES["mxfp4"])
    for file_name, count in (("mxfp4.ipynb", 1), ("build-gptoss.ipynb", len(EXERCISES))):
        cells = nbformat.reads(handed[file_name], as_version=4).cells
        assert sum(cell.id.endswith("-stub") for cell in cells) == count
    with zipfile.ZipFile(io.BytesIO(handed["my_gptoss.zip"])) as archive:
        assert {name.removeprefix("my_gptoss/") for name in archive.namelist()} == folder_files().keys()


@pytest.mark.parametrize("page", [page for page in PAGES if of_page(page.path)], ids=lambda page: page.path)
def test_the_page_of_a_component_leads_to_its_exercises(page):
    at = open_tab(open_page(f"pages/{page.file}", preset="classroom"), page.path, "The code")
    assert_fine(at)
    links = {link.proto.label for link in at.get("page_link")}
    assert {exercise.title for exercise in of_page(page.path)} <= links
