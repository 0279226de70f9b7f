"""A running order: what its text says is what is read, and what is wrong in one place costs that place alone."""

import pytest

from gptoss.room.order import LONGEST, MOST_BYTES, MOST_STOPS, SHIPPED, Beat, Order, Question, Stop, read_order, write_order

WHOLE = Order("Half an hour", (
    Stop("sinks?preset=storyteller&sinks_view=One+head", 5.5, "A sink is a “gate”", "It lets attention go.",
         "Say this first, because " + "the room guesses before it looks. " * 9 + "\n\nPause.\n\nA \"word\" and a \\ sign.",
         (Beat("vote"), Beat("reveal"), Beat("try", "Close one head: the first"), Beat("set", "sinks_logit=8&gates=on")),
         Question("Where does it look?", ("First", "Nowhere"), answer="Nowhere", because="The sink takes it."),
         ("dials", "answers")),
    Stop("start", 3, "The map", ""),
    Stop("gqa", 4, "How much is saved?", "", vote=Question("How many GB?", unit="GB", source="gqa"))))


def tidy(order):
    """The order as reading makes it: notes with single spaces."""
    return Order(order.title, tuple(Stop(**{**vars(stop), "note": "\n\n".join(
        " ".join(part.split()) for part in stop.note.split("\n\n"))}) for stop in order.stops))


def stop_of(*lines):
    return read_order("\n".join(["[[stop]]", 'address = "sinks"', "minutes = 1", *lines])).stops[0]


def test_a_written_order_is_read_as_it_was():
    assert read_order(write_order(WHOLE)) == tidy(WHOLE)
    assert WHOLE.minutes == 12.5
    assert WHOLE.stops[0].path == "sinks" and WHOLE.stops[0].query["sinks_view"] == "One head"


def test_a_written_order_is_one_that_a_person_edits():
    text = write_order(WHOLE)
    assert max(map(len, text.splitlines())) <= 120 and text.count("[[stop]]") == 3
    assert 'beats = ["vote", "reveal", ' in text and "\nminutes = 3\n" in text


def test_what_is_no_toml_costs_its_stop_alone():
    order = read_order(write_order(WHOLE).replace("minutes = 3", "minutes = three"))
    line = write_order(WHOLE)[:write_order(WHOLE).index("minutes = 3")].count("\n") + 1
    assert [stop.path for stop in order.stops] == ["sinks", "", "gqa"] and order.title == WHOLE.title
    assert f"line {line}" in order.stops[1].problem and not order.problems
    torn = read_order(write_order(WHOLE).replace('sign.\n"""', "sign."))
    assert [stop.path for stop in torn.stops] == ["", "start", "gqa"] and "TOML" in torn.stops[0].problem


@pytest.mark.parametrize(("line", "words"), [
    ('headline = 5', "“headline” has to be a text"), ('beats = "reveal"', "“beats” has to be a list"),
    ('beats = ["jump"]', "“jump” is no beat"), ('beats = ["try:"]', "is no beat"), ('hide = [1]', "“hide” has to be a list"),
    ('headlin = "x"', "no “headlin”"), (f'headline = "{"x" * 161}"', "at most 160 characters"),
    ('vote = "yes?"', "A vote has a table of its own"), ('[stop.vote]\ntext = "A?"\nchoices = ["a"]', "two or more"),
    ('[stop.vote]\ntext = "A?"\nchoices = ["a", "b"]\nanswer = "c"', "one of its “choices”"),
    ('[stop.vote]\ntext = "A?"\nanswer = "b"', "“answer” has to be a number"),
    ('[stop.vote]\nunit = "GB"', "needs a “text”"),
])
def test_a_stop_says_what_is_wrong_and_keeps_the_rest(line, words):
    stop = stop_of(line)
    assert words in stop.problem and (stop.path, stop.minutes) == ("sinks", 1)


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "1e999", "601", '"5"', "true", "1" + "0" * 400])
def test_minutes_are_minutes(minutes):
    stop = read_order(f'[[stop]]\naddress = "sinks"\nminutes = {minutes}').stops[0]
    assert stop.minutes == 0 and "minutes" in stop.problem and stop.path == "sinks"


@pytest.mark.parametrize(("given", "kept"), [
    ("https://example.org/base/sinks?preset=classroom&lead=ABCD&stage=1", "sinks?preset=classroom"), ("./sinks", "sinks"),
    ("sinks?sinks_view=One head&room=ABCD", "sinks?sinks_view=One+head"), ("/sinks/#top", "sinks"),
    ("javascript:alert(1)", ""), ("data:text/html,x", ""), ("//[", ""), ("", ""), ("sinks/../../x<y", "")])
def test_an_address_is_a_page_and_a_state_and_no_session(given, kept):
    stop = read_order(f"[[stop]]\naddress = '{given}'\nminutes = 1").stops[0]
    assert stop.address == kept and bool(stop.problem) == (not kept)


@pytest.mark.parametrize("text", ["", "\0", "stop = 1", "stop = [1]", "[stop]\nminutes = 1", "title = 1", "]" * 99, "\ud800",
                                  "x = " + "[" * 60_000, "a = 2020-13-45", "[[stop]]\n" * 2, "a" * (MOST_BYTES + 1)])
def test_any_text_is_read_and_says_what_is_wrong(text):
    order = read_order(text)
    assert order.problems or all(stop.problem for stop in order.stops)


def test_an_order_is_bounded():
    order = read_order('[[stop]]\naddress = "sinks"\nminutes = 1\n' * (MOST_STOPS + 2))
    assert len(order.stops) == MOST_STOPS and "The 2 after them" in order.problems[0]
    assert len(read_order(f'title = "{"x" * 500}"').title) == LONGEST["title"]


@pytest.mark.parametrize("text", ["a." * 32_000 + "b = 1", "[" + "a." * 30_000 + "b]"])
def test_names_whose_reading_takes_the_square_of_their_length_are_not_read(text):
    assert "full stops" in read_order(text).problems[0]


@pytest.mark.parametrize("minutes", ["45", "90"])
def test_the_minutes_of_a_shipped_lecture_add_up_and_it_ends_with_questions(minutes):
    order = read_order(SHIPPED[minutes])
    assert order.minutes == float(minutes) and not order.problems and not any(stop.problem for stop in order.stops)
    last = order.stops[-1]
    assert last.headline == "Your questions" and 0.05 * order.minutes <= last.minutes <= 0.15 * order.minutes
    assert read_order(write_order(order)) == order


@pytest.mark.parametrize("text", SHIPPED.values(), ids=SHIPPED)
def test_a_shipped_lecture_tells_the_speaker_what_to_say_at_every_stop_and_types_no_figure(text):
    for stop in read_order(text).stops:
        assert stop.headline and stop.sentence and len(stop.note.split()) > 60
        assert not any(sign.isdigit() for sign in stop.note + stop.headline + stop.sentence), "figures are on the pages"
        assert "because" in stop.note or "so " in stop.note
