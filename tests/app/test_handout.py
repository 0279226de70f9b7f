"""What is printed of an order beside what its pages show: links, codes, problems, the stops' own questions."""

from gptoss.app.hall import handout
from gptoss.room import addresses
from gptoss.room.order import read_order

ORDER = read_order('''
title = "Mine"
[[stop]]
address = "start?preset=storyteller"
minutes = 2.5
headline = "First"
[stop.vote]
text = "How many?"
unit = "weights"
answer = 3
because = "They are counted."
[[stop]]
address = "sinks?preset=storyteller&sinks_view=Without+sinks"
minutes = 4
[[stop]]
address = "nowhere"
minutes = 1
[[stop]]
minutes = 1
''')


def test_a_stop_has_its_link_and_code_or_says_why_it_has_none():
    sheet = handout.sheet(ORDER, "https://example.org/gpt/lecture")
    first, second, *others = sheet["stops"]
    assert sheet["title"] == "Mine" and sheet["minutes"] == 8.5
    assert first["link"] == "https://example.org/gpt/?preset=storyteller", "the first page is at the bare address"
    assert first["address"] == "./?preset=storyteller"
    assert second["link"] == "https://example.org/gpt/sinks?preset=storyteller&sinks_view=Without+sinks"
    assert all(stop["code"].startswith("<svg") and not stop["problem"] for stop in (first, second))
    assert all(not stop["link"] and not stop["code"] and not stop["address"] and stop["problem"] for stop in others)
    assert first["vote"]["answer"] == "3 weights" and second["vote"] is None


def test_paper_from_the_lecturer_s_own_machine_names_it_as_phones_reach_it(monkeypatch):
    monkeypatch.setattr(addresses, "own_address", lambda: "192.0.2.7")
    sheet = handout.sheet(ORDER, "http://localhost:8501/lecture")
    assert sheet["stops"][1]["link"].startswith("http://192.0.2.7:8501/sinks?")


def test_a_link_that_no_phone_can_read_has_no_code():
    text = "x" * 1200
    sheet = handout.sheet(read_order(f'[[stop]]\naddress = "sinks?text={text}"\nminutes = 1'), "http://here/lecture")
    assert text in sheet["stops"][0]["link"] and not sheet["stops"][0]["code"]
