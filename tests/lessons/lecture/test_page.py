"""The page of running orders: what it lists, what is wrong said clearly, one's own edited and taken back."""

import re
from html import unescape

import pytest
from reader import address, assert_fine, open_page

from gptoss.app.book import LECTURES
from gptoss.app.hall import draft, orders
from gptoss.room.order import read_order

PAGE = "pages/lecture.py"
THREE = "\n".join(['title = "Mine <b>"', *(f'[[stop]]\naddress = "{address}"\nminutes = 2\nheadline = "{headline}"' for
                                           address, headline in (("sinks", "One"), ("nowhere", "Two"), ("rope", "Three")))])


def own(text):
    """The page with a text as one's own order."""
    at = open_page(PAGE, order="own")
    at.session_state["own_order"] = draft.Draft(text, mark="1")
    return at.run()


def listed(at):
    """The list of stops as HTML."""
    return next((unescape(html.proto.body) for html in at.get("html") if "running-order" in html.proto.body), "")


def headlines(at):
    return re.findall(r"<b>(?:<a [^>]*>)?([^<]+)", listed(at))


@pytest.mark.parametrize("minutes", LECTURES)
def test_an_order_opens_by_its_address_with_clock_link_beats_and_notes(minutes):
    at = open_page(PAGE, order=str(minutes))
    assert_fine(at)
    html, order = listed(at), LECTURES[minutes]
    clocks = [60 * int(hours) + int(rest) for hours, rest in re.findall(r"<time>(\d):(\d\d)</time>", html)]
    assert clocks == [sum(stop.minutes for stop in order.stops[:place]) for place in range(len(order.stops))]
    for stop in order.stops:
        assert f'href="./{stop.address.removeprefix("start")}"' in html
        assert stop.sentence in html and stop.note.split("\n\n")[-1] in html
    assert "Try: Close one head" in html and order.stops[0].vote.text in html and not at.warning


def test_what_is_wrong_is_said_and_the_stops_beside_it_are_as_they_were():
    at = own(THREE)
    assert_fine(at)
    assert [warning.value.split(".")[0] for warning in at.warning] == ["Something is wrong with stop 2"]
    assert headlines(at) == ["One", "Two", "Three"] and "There is no page “nowhere”" in listed(at)
    assert "Mine &lt;b&gt;" in next(html.proto.body for html in at.get("html") if "running-order" in html.proto.body)


def test_a_text_that_is_no_order_is_answered_with_a_sentence():
    at = own("title = \n")
    assert_fine(at)
    assert "This is no TOML" in at.warning[0].value and "(line 1)" in at.warning[0].value


def test_ones_own_is_edited_as_a_text_and_stop_by_stop_and_taken_back():
    at = own(THREE)
    at.button(key="lecture_arrow_downward").click().run()
    assert headlines(at) == ["Two", "One", "Three"]
    at.button(key="lecture_delete").click().run()
    assert headlines(at) == ["Two", "Three"], "the stop that was moved is the one that is chosen"
    at.button(key="lecture_back").click().run()
    assert headlines(at) == ["Two", "One", "Three"]
    at.text_area(key="lecture_text").set_value('[[stop]]\naddress = "gqa"\nminutes = 1\nheadline = "New"').run()
    assert_fine(at)
    assert headlines(at) == ["New"]


def test_a_shipped_order_is_copied_and_one_that_is_uploaded_becomes_ones_own():
    at = open_page(PAGE, order="90")
    at.button(key="lecture_copy").click().run()
    assert address(at)["order"] == "own" and read_order(at.text_area(key="lecture_text").value) == LECTURES[90]
    at.file_uploader[0].set_value(("mine.toml", THREE.encode(), "text/plain")).run()
    assert headlines(at) == ["One", "Two", "Three"]
    at.file_uploader[0].set_value(("large.toml", b"#" * 70_000, "text/plain")).run()
    assert "has 70,000 bytes" in at.warning[0].value and headlines(at) == ["One", "Two", "Three"]
    at.file_uploader[0].set_value(("old.toml", THREE.replace("One", "Één").encode("latin-1"), "text/plain")).run()
    assert "no text in UTF-8" in at.warning[0].value and headlines(at) == ["One", "Two", "Three"]
    at.file_uploader[0].set_value(("marked.toml", THREE.replace("One", "Één").encode("utf-8-sig"), "text/plain")).run()
    assert headlines(at) == ["Één", "Two", "Three"]


def problem_of(*lines):
    return orders.read("\n".join(["[[stop]]", "minutes = 1", *lines])).stops[0].problem


@pytest.mark.parametrize(("lines", "words"), [
    (['address = "sinkz"'], "There is no page “sinkz”; perhaps “sinks”"),
    (['address = "sinks?heads=7.5"'], "Query heads"), (['address = "sinks?rope_view=Arrows"'], "no control “rope_view”"),
    (['address = "sinks?colour=red"'], "settings unknown here: “colour”"),
    (['address = "sinks"', 'beats = ["try: Close a head"]'], "no experiment “Close a head”; perhaps “Close one head”"),
    (['address = "sinks"', 'beats = ["set: sink_logit=8"]'], "no control “sink_logit” to be set; perhaps “sinks_logit”"),
    (['address = "sinks"', 'beats = ["set: nothing"]'], "no control “nothing” to be set"),
    (['address = "build"', 'beats = ["reveal"]'], "asks no question"),
    (['address = "start"', 'beats = ["vote"]'], "asks no"),
    (['address = "sinks"', 'hide = ["dial"]'], "called “dial”, to be hidden; perhaps “dials”"),
])
def test_what_this_app_cannot_do_of_an_order_is_said_in_its_stop(lines, words):
    assert words in problem_of(*lines)


def test_what_this_app_can_do_of_an_order_is_no_problem():
    assert not problem_of('address = "sinks?preset=classroom&heads=4&sinks_view=One+head&token=3"',
                          'beats = ["vote", "reveal", "try: Close one head", "set: sinks_logit=8&window=8"]',
                          'hide = ["dials", "heads"]')
    assert not problem_of('address = "start"', 'beats = ["vote"]', '[stop.vote]', 'text = "Why?"')


def test_a_stop_is_filled_in_with_beats_that_its_page_offers():
    at = own(THREE)
    fields = {str(widget.key).split("_")[1]: widget for kind in ("text_input", "number_input", "multiselect", "text_area")
              for widget in getattr(at.main, kind)}
    assert {"vote", "reveal", "try: Close one head"} <= set(fields["beats"].options)
    fields["headline"].set_value('Say "gate"')
    fields["minutes"].set_value(7.5)
    fields["beats"].set_value(["vote", "try: Close one head"])
    fields["note"].set_value("Slowly.\n\nThen pause.")
    at.button(key=next(button.key for button in at.button if button.label == "Put it into the order")).click().run()
    assert_fine(at)
    stops = read_order(at.session_state["own_order"].text).stops
    assert (stops[0].headline, stops[0].minutes, stops[0].note) == ('Say "gate"', 7.5, "Slowly.\n\nThen pause.")
    assert [beat.kind for beat in stops[0].beats] == ["vote", "try"]
    assert [stop.path for stop in stops] == ["sinks", "nowhere", "rope"]


def test_what_another_window_has_added_comes_here_and_what_is_no_order_does_not():
    here = draft.Draft(THREE)
    for said in ({"text": "title = 'Other'"}, {"text": "#" * 70_000}, {"text": 5}, {}, None, "text"):
        here.hear(said)
        assert (here.text, here.before) == ("title = 'Other'", THREE)
