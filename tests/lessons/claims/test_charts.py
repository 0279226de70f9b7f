"""The strip of verdicts: a tile for each claim, which differ by words as well as by colour."""

import json

import pytest
from chart_checks import assert_well_made

from gptoss.charts import palette
from gptoss.lessons.claims.charts import FALSE, OPEN, PARTLY, TRUE, VERDICTS, Tile, verdict_strip

SAYS = "<b>32x</b> capacity"


def tiles(count, found=lambda place: True):
    return [Tile(f"{place + 1}a", SAYS, VERDICTS[place % 4], found(place)) for place in range(count)]


def test_is_well_made():
    assert_well_made(verdict_strip(tiles(34), "3a"), verdict_strip(tiles(33), "4a"))


def test_every_claim_has_a_place_of_its_own_in_order():
    data = verdict_strip(tiles(34), "34a").data
    assert list(data["claim"]) == [f"{n}a" for n in range(1, 35)]
    places = list(zip(data["row"], data["column"], strict=True))
    assert places == sorted(set(places)) and places[-1] == (4, 4)


def test_verdicts_have_a_word_and_a_colour_each():
    chart = verdict_strip(tiles(8), "1a")
    words = chart.data.groupby("verdict")["word"].unique().map(list).to_dict()
    assert words == {FALSE: ["false"], PARTLY: ["part"], TRUE: ["true"], OPEN: ["?"]}
    assert len({*palette.VERDICTS.values()}) == 4 and (*palette.VERDICTS,) == VERDICTS


def test_the_chosen_one_alone_is_framed_and_what_is_not_looked_for_is_pale():
    data = verdict_strip(tiles(12, lambda place: place > 5), "2a").data.set_index("claim")
    assert list(data.index[data["chosen"] == 1]) == ["2a"]
    assert list(data.index[data["found"] == 0]) == [f"{n}a" for n in range(1, 7)]
    assert set(data.loc[data["found"] == 0, "ink"]) == {"on pale"}
    assert data.loc["8a", "verdict"] == OPEN and data.loc["8a", "ink"] == "on pale"


def test_the_words_count_what_is_shown():
    whole, part = verdict_strip(tiles(10), "1a"), verdict_strip(tiles(10, lambda place: place == 3), "4a")
    assert whole.alt == "10 claims: 3 false, 3 partly true, 2 true, 2 not measured yet. Framed: claim 1a."
    assert "Looked for: 1, the others are pale. Framed: claim 4a." in part.alt
    assert whole.spec is part.spec and "<b>" not in json.dumps(whole.spec)


@pytest.mark.parametrize(("count", "chosen"), [(0, "1a"), (3, "4a"), (3, "")])
def test_a_claim_that_is_not_there_cannot_be_chosen(count, chosen):
    with pytest.raises(ValueError, match="there is no claim"):
        verdict_strip(tiles(count), chosen)
