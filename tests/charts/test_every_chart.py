"""What holds for all charts alike: valid, constant, readable, coloured from the palette, described, finite."""

import pytest
from chart_checks import assert_well_made, axis_titles
from chart_inputs import every_chart

FIRST, SECOND = every_chart(0, "gpt-oss-20b"), every_chart(3, "gpt-oss-120b")


@pytest.fixture(params=sorted(FIRST))
def kind(request):
    """The name of each chart function in turn."""
    return request.param


def test_every_chart_is_well_made(kind):
    assert_well_made(FIRST[kind], SECOND[kind], may_be_missing={"weight", "distance"} & set(FIRST[kind].data))


def test_all_layers_draw_the_one_named_data_set(kind):
    spec = FIRST[kind].spec
    sources = [spec.get("data") or layer.get("data") for layer in spec.get("layer", [spec])]
    assert all(source == {"name": "source"} for source in sources)


def test_axes_say_what_and_in_which_unit(kind):
    expected = {
        "head_map": {"x": "key (token)", "y": "query (token)"},
        "routing_map": {"x": "token", "y": "expert (number)"},
        "expert_load": {"x": "expert (number)", "y": "tokens (% of all)"},
        "next_token": {"x": "probability (%)", "y": "next token"},
        "parameters_by_part": {"x": "parameters (count)"},
        "kv_cache_lines": {"x": "context (tokens, log scale)", "y": "KV cache (GiB, log scale)"},
        "flops_area": {"x": "context (tokens, log scale)", "y": "compute (GFLOPs per token)"},
    }
    assert axis_titles(FIRST[kind].spec) == expected[kind]
