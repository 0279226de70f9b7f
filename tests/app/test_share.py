"""The code of a link: what a phone reads in it, and from which length on the last row cannot."""

from types import SimpleNamespace

import pytest
import segno

from gptoss.app import share


@pytest.mark.parametrize("length, readable", [(60, True), (367, True), (368, False), (2953, False)])
def test_a_code_has_few_squares_while_the_link_is_short(length, readable):
    code = share.code("x" * length)
    assert (share.squares(code) <= share.MOST_SQUARES) == readable
    assert code.mode == "byte"


def test_no_code_holds_more_than_the_standard_allows():
    assert share.code("x" * 2954) is None
    with pytest.raises(segno.DataOverflowError):
        segno.make_qr("x" * 2954, error="l", mode="byte")


def test_a_link_leaves_out_projector_mode_and_the_lecture(monkeypatch):
    class Query(dict):
        def get_all(self, key):
            return [self[key]]

    said = Query(preset="classroom", lead="BCDF", room="BCDF", at="5.1", stage="1", theme="dark", hide="dials")
    monkeypatch.setattr(share, "st", SimpleNamespace(query_params=said, context=SimpleNamespace(url="http://here/sinks")))
    assert share.link() == "http://here/sinks?preset=classroom&hide=dials"
