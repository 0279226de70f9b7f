"""What leaves the browser for the printer: any page as it is, and the handouts of a running order."""

from chromium_reader import PATIENCE, at_rest, settle
from playwright.sync_api import expect

A4 = {"width": 703, "height": 1020}  # what is inside the margins, in CSS px
_DARK_ON_WHITE = """() => [...document.querySelectorAll('.stMain :is(p, label, h1)')].filter(each => each.checkVisibility())
    .map(each => getComputedStyle(each).color).filter(colour => colour !== 'rgb(0, 0, 0)')"""


def test_a_page_on_paper_is_black_on_white_with_its_pictures_whole_and_nothing_to_press(visits):
    page = visits.open("/sinks", scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size(A4)
    for gone in ("[data-testid=stSidebar]", "[data-testid=stHeader]", ".way-foot", ".head-turn", ".st-key-take_home",
                 ".st-key-sinks_commit button"):
        expect(page.locator(gone).first).to_be_hidden()
    expect(page.locator(".head-opening")).to_be_visible()  # also where a reader has folded it
    charts = page.locator(".st-key-main_picture .stVegaLiteChart > :is(svg, canvas)")
    boxes = [chart.bounding_box() for chart in charts.all()]
    assert len(boxes) == 2 and boxes[0]["y"] == boxes[1]["y"], "side by side as on the screen"
    assert all(0 <= box["x"] and box["x"] + box["width"] <= A4["width"] for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") <= A4["width"]
    assert page.evaluate(_DARK_ON_WHITE) == []
    expect(page.locator(".katex").first).to_be_visible()


ORDER = '''
title = "Two <b>stops</b>"
[[stop]]
address = "sinks?preset=storyteller&sinks_view=Without+sinks"
minutes = 4
headline = "A <i>gate</i>"
sentence = "It lets go."
[[stop]]
address = "nowhere"
minutes = 1
headline = "Lost"
'''
_READ = """links => Promise.all(links.map(link =>
    fetch(link.href).then(answer => answer.text()).then(text => [link.download, text])))"""
_STANDS = """() => ({headings: [...document.querySelectorAll('h2')].map(each => each.textContent),
    drawn: document.querySelectorAll('.picture svg.marks').length, sentences: document.querySelectorAll('.opening p').length,
    formulas: document.querySelectorAll('.maths math').length, codes: document.querySelectorAll('.code svg').length,
    choices: [...document.querySelectorAll('.choices li')].map(each => each.textContent),
    boxes: [...document.querySelectorAll('.asked')].map(each => each.textContent),
    links: [...document.querySelectorAll('.asked a')].map(each => each.href),
    pictures: document.querySelectorAll('.picture').length, marks: document.querySelectorAll('h1 b, h2 i').length,
    wrong: [...document.querySelectorAll('.wrong')].map(each => each.textContent),
    wide: document.documentElement.scrollWidth})"""


def test_handouts_of_an_order_are_made_and_stand_alone(visits):
    page = visits.open("/lecture", order="own")
    page.evaluate("text => localStorage.setItem('gptoss-order', text)", ORDER)
    page.reload()
    at_rest(page)
    page.get_by_text("Handouts to print").click()
    expect(page.get_by_role("button", name="Make the handouts")).to_be_enabled()
    settle(page)
    page.get_by_role("button", name="Make the handouts").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Stopped")).to_be_visible()
    assert page.locator("iframe").count() == 0
    page.get_by_role("button", name="Make the handouts").click()
    expect(page.get_by_text("nothing could be taken at stop 2")).to_be_visible(timeout=8 * PATIENCE)
    made = dict(page.locator(".made a[download]").evaluate_all(_READ))
    assert [*made] == ["handout.html", "exercises.html", "answers.html"]
    stands = {name: read_alone(visits, html) for name, html in made.items()}
    page.evaluate("localStorage.removeItem('gptoss-order')")
    check_documents(*stands.values())


def read_alone(visits, html: str) -> dict:
    """What is on a document that is opened without any network."""
    page = visits.pages[0].context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size(A4)
    page.set_content(html)
    page.emulate_media(media="print")
    page.evaluate("document.fonts.ready")
    found = page.evaluate(_STANDS) | {"asked": [url for url in asked if not url.startswith("data:")]}
    page.close()
    return found


def check_documents(handout: dict, exercises: dict, answers: dict) -> None:
    for found in (handout, exercises, answers):
        assert found["asked"] == [] and found["marks"] == 0 and found["wide"] <= A4["width"], found
    assert handout["headings"] == ["A <i>gate</i>", "Lost"] and handout["wrong"] == ["There is no page “nowhere”."]
    assert (handout["drawn"], handout["pictures"], handout["sentences"], handout["codes"]) == (1, 1, 3, 1)
    assert handout["formulas"] >= 3 and "it gets longer" in handout["choices"] and len(handout["choices"]) == 4
    assert not any("Every key's weight grows" in text for text in handout["boxes"]), "the answer is apart"
    assert exercises["headings"] == ["A <i>gate</i>"] and len(exercises["boxes"]) == 4 and exercises["pictures"] == 0
    assert exercises["boxes"][0].startswith("1.1 Press “Close one head”")
    assert len(answers["boxes"]) == 5 and answers["pictures"] == 4 and answers["wrong"] == []
    assert len(answers["links"]) == 4 and "sinks_scope=Head" in answers["links"][0] and "paper" not in answers["links"][0]
    assert "it gets longer" in answers["boxes"][0] and "Every key's weight grows" in answers["boxes"][0]
