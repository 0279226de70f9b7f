"""The charts of the block page: the waterfall, removals, the journey, the logit lens, and the drawings of a block."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from chart_checks import assert_well_made, axis_titles, in_light, nodes

from gptoss.charts import palette
from gptoss.lessons.block import charts


def stages(windows):
    halves = [f"{layer} {half}" for layer in range(len(windows)) for half in ("attention", "experts")]
    return charts.stage_table(["embedding", *halves], windows)


STAGES, DEEP = stages([8, 0, 8]), stages([0] * 40)
VOCABULARY = [f"t{n}" for n in range(50)]


def numbers(count, seed):
    return np.random.default_rng(seed).normal(size=count)


def probabilities(seed, *shape):
    weights = np.exp(np.random.default_rng(seed).normal(size=shape))
    return weights / weights.sum(axis=-1, keepdims=True)


def waterfall(seed, stages=STAGES, **options):
    return charts.contribution_waterfall(stages, numbers(len(stages), seed), "·the", **options)


def journey(seed, stages=STAGES):
    before, added = abs(numbers(len(stages), seed)), abs(numbers(len(stages), seed + 1))
    before[0] = 0
    cosine = np.array([np.nan, *np.tanh(numbers(len(stages) - 1, seed + 2))])
    return charts.journey_bars(stages, before, added, cosine, chosen=2)


def lens(seed, stages=STAGES):
    table = -np.sort(-probabilities(seed, len(stages), len(VOCABULARY)), axis=-1)
    random = np.random.default_rng(seed)
    tops = [[VOCABULARY[i] for i in random.permutation(50)[:charts.LENS_TOKENS]] for _ in range(len(stages))]
    answers = np.zeros((len(stages), charts.LENS_TOKENS), bool)
    answers[-1, 0] = True
    rank = np.array([*(2 + random.integers(30, size=len(stages) - 1)), 1])
    return charts.lens_table(stages, tops, table[:, :charts.LENS_TOKENS], answers, table[:, 10], rank, "·the")


def effects(seed, stages=STAGES):
    measured, foreseen = probabilities(seed, 2, len(stages))[:, 1:]
    return charts.removal_effects(stages, 0.25 + seed / 100, measured, foreseen, "·the")


def pieces(seed, piece="head", removed=None):
    used = np.ones(32, bool) if piece == "head" else np.arange(32) % 8 == seed
    return charts.piece_bars(piece, numbers(32, seed), used, chosen=4, removed=removed)


STAGE_AXIS = "half block (layer, part)"
AXES = {
    waterfall: {"x": "the answer's logit (sum so far)", "y": STAGE_AXIS},
    journey: {"x": ["length (norm), outlined: the", "stream, filled: what is added"], "y": STAGE_AXIS},
    lens: {"x": ["most probable tokens (rank),", "bars as long as the probability"], "y": STAGE_AXIS},
    effects: {"x": "the answer's probability without it (%)", "y": "half block removed (layer, part)"},
    pieces: {"x": "head (number)", "y": "added to logit"},
}


@pytest.mark.parametrize(("chart", "model"), [*((chart, ()) for chart in AXES),
                                              *((chart, (DEEP,)) for chart in (waterfall, journey, lens, effects))])
def test_every_chart_is_well_made(chart, model):
    assert len(DEEP) > charts.MANY
    assert_well_made(chart(0, *model), chart(3, *model))
    assert axis_titles(chart(0, *model).spec) == AXES[chart]


def test_a_removal_keeps_the_specification():
    whole = numbers(len(STAGES), 9)
    assert waterfall(0, whole=whole, removed="layer 1 experts").spec is waterfall(0).spec
    assert pieces(0, removed=3).spec is pieces(0).spec


def test_stages_know_their_part_kind_and_layer():
    assert STAGES["part"].tolist()[:3] == ["", "layer 0 attention", "layer 0 experts"]
    assert STAGES["kind"].tolist()[:3] == ["embedding", "attention", "experts"]
    assert STAGES["layer"].tolist() == ["", *["sliding layer"] * 2, *["full layer"] * 2, *["sliding layer"] * 2]
    with pytest.raises(ValueError, match="7 stages do not fit 2 layers; allowed: 5"):
        charts.stage_table(STAGES["stage"].tolist(), [8, 0])


def test_bars_start_where_the_last_ended_and_close_in_the_logit_and_the_ends_are_named():
    parts = np.array([2.0, 1.0, -0.5, 0.25, 0.0, -1.0, 3.0])
    chart = charts.contribution_waterfall(STAGES, parts, " the")
    data = chart.data
    assert data["stage"].tolist() == [*STAGES["stage"], charts.LOGIT]
    assert data["start"].tolist() == pytest.approx([0, 2, 3, 2.5, 2.75, 2.75, 1.75, 0])
    assert data["end"].tolist() == pytest.approx([2, 3, 2.5, 2.75, 2.75, 1.75, 4.75, 4.75])
    assert data["words"].tolist() == ["+2.00", "+1.00", "−0.50", "+0.25", "0.00", "−1.00", "+3.00", "+4.75"]
    assert data["next"].tolist() == [*STAGES["stage"][1:], charts.LOGIT, charts.LOGIT]
    assert (data["reach"] == data[["start", "end"]].max(axis=1)).all()
    assert "logit of “·the” is 4.75, the sum of 7 parts" in chart.alt
    assert "layer 2 experts adds most, +3.00" in chart.alt and "layer 2 attention least, −1.00" in chart.alt


def test_a_removed_part_leaves_an_outline():
    whole, now = np.full(7, 1.0), np.array([0.9, 0.9, 0, 0.8, 0.8, 0.8, 0.8])
    chart = charts.contribution_waterfall(STAGES, now, "·the", whole=whole, removed="layer 0 experts")
    ghosts, bars = (chart.data[chart.data["what"] == what] for what in ("with every part", "as it runs"))
    assert ghosts["adds"].tolist() == [*whole, 7] and bars["adds"].tolist() == pytest.approx([*now, 5.0])
    assert bars["words"].tolist()[2] == "removed" and "removed" not in bars["words"].drop(bars.index[2]).tolist()
    assert (bars["reach"].to_numpy() == ghosts["end"].to_numpy()).all()  # numbers are behind the longer of the two
    assert "Without layer 0 experts, the logit of “·the” goes from 7.00 (dashed) to 5.00." in chart.alt


def test_rows_that_can_be_removed_can_be_clicked():
    for chart in (waterfall(0), effects(0)):
        (param,) = chart.spec["params"]
        assert param["name"] == "picked" and param["select"]["fields"] == ["part"]
        assert set(chart.data["part"]) - {""} == {f"layer {stage}" for stage in STAGES["stage"][1:]}
    assert pieces(0).spec["params"][0]["select"]["fields"] == ["number"]
    assert journey(0).spec["params"][0]["select"]["fields"] == ["stage"]


def test_numbers_at_the_bars_give_way_where_there_are_many():
    def texts(chart):
        return [node for node in nodes(chart.spec) if node.get("type") == "text"]

    for chart in (waterfall, journey, effects):
        assert texts(chart(0)) and not texts(chart(0, DEEP))


def test_the_journey_shows_cosines_and_lights_the_chosen_stage():
    chart = charts.journey_bars(STAGES, np.array([0, 3, 5, 5, 5, 5, 5.0]), np.array([3, 4, 1, 2, 1, 1, 1.0]),
                         np.array([np.nan, 0, -0.25, 1, 0, 0, 0]), chosen=3)
    assert chart.data["cosine"].tolist()[:4] == ["", "cos 0.00", "cos −0.25", "cos +1.00"]
    assert chart.data.loc[chart.data["chosen"], "stage"].tolist() == ["1 attention"]
    assert "embedding has length 3" in chart.alt and "layer 0 attention adds most: 133%" in chart.alt


def test_the_lens_marks_the_answer_and_ends_where_the_probability_does():
    chart = lens(0)
    data = chart.data
    assert data.groupby("stage", sort=False)["place"].apply(list).tolist() == [[1, 2, 3]] * len(STAGES)
    assert (data["what"] == "the answer").sum() == 1 and data["what"].iloc[-charts.LENS_TOKENS] == "the answer"
    bars = data["end"] - data["place"]
    assert (bars / data["probability"]).to_numpy() == pytest.approx(bars.max() / data["probability"].max(), rel=1e-2)
    assert data["words"].iloc[-charts.LENS_TOKENS].startswith("1 · ")
    assert "from 2 experts on it stays on top, stage 6 of 6" in chart.alt and not chart.note


def test_a_lens_whose_shares_are_all_too_small_has_bars_without_length():
    ranks, none = np.ones(len(STAGES), dtype=int), np.zeros((len(STAGES), charts.LENS_TOKENS))
    tops, answers = [["a"] * charts.LENS_TOKENS] * len(STAGES), none.astype(bool)
    rows = charts.lens_table(STAGES, tops, none, answers, none[:, 0], ranks, "a").data
    assert (rows["end"] == rows["place"]).all()


def test_the_lens_of_a_deep_model_leaves_stages_out_and_says_so():
    chart = lens(0, DEEP)
    shown = chart.data["stage"].unique()
    assert len(shown) == charts.LENS_ROWS and shown[0] == "embedding" and shown[-1] == "39 experts"
    assert chart.note == f"{charts.LENS_ROWS} of 81 stages"


def test_the_lens_gives_the_rank_of_an_answer_that_is_never_on_top():
    short = STAGES[:1]
    chart = charts.lens_table(short, [["a", "b"]], np.array([[0.5, 0.3]]), np.zeros((1, 2), bool), np.array([0.1]),
                       np.array([5]), "c")
    assert "rank 5, at the end rank 5" in chart.alt


def test_pieces_show_who_worked_who_is_chosen_and_who_is_gone():
    chart = charts.piece_bars("expert", np.array([0.5, 9.0, -0.25, 1.0]), np.array([True, False, True, True]), 0, removed=3)
    assert chart.data["adds"].tolist() == [0.5, 0, -0.25, 1.0]
    assert chart.data["state"].tolist() == ["chosen", "others", "others", "removed"]
    assert "3 of 4 experts worked on this token and together add +1.25. Expert 3 adds most, +1.00; expert 2 least, −0.25" \
        in chart.alt
    assert_well_made(pieces(0, "expert"), pieces(3, "expert"))
    assert axis_titles(chart.spec)["x"] == "expert (number)"


def test_effects_name_the_worst_and_what_the_bars_foresaw():
    chart = charts.removal_effects(STAGES, 0.5, np.array([0.4, 0.1, 0.6, 0.3, 0.2, 0.5]),
                            np.array([0.4, 0.3, 0.3, 0.3, 0.05, 0.5]), "·the")
    assert chart.data["stage"].tolist() == STAGES["stage"].tolist()[1:]
    assert "“·the” has 50.00% with every part in place. Without layer 0 experts it keeps least, 10.00%" in chart.alt
    assert "without layer 2 attention: 5.00%" in chart.alt


@pytest.mark.parametrize("wrong", [
    lambda: charts.contribution_waterfall(STAGES, np.zeros(3), "a"),
    lambda: charts.contribution_waterfall(STAGES, np.zeros(7), "a", whole=np.zeros(3)),
    lambda: charts.journey_bars(STAGES, np.zeros(7), np.zeros(7), np.zeros(6), 0),
    lambda: charts.lens_table(STAGES, [["a"]], np.zeros((1, 1)), np.zeros((1, 1), bool), np.zeros(1), np.ones(1), "a"),
    lambda: charts.piece_bars("layer", np.zeros(3), np.ones(3, bool), 0),
    lambda: charts.piece_bars("head", np.zeros(3), np.ones(4, bool), 0),
    lambda: charts.removal_effects(STAGES, 0.5, np.zeros(7), np.zeros(7), "a")])
def test_what_does_not_belong_together_is_refused(wrong):
    with pytest.raises(ValueError):
        wrong()


SHAPES = {name: f"1 × {n}" for n, name in enumerate([
    "embedding", *(f"block.2.{name}" for name in (
        "attn.norm", "attn.q", "attn.k", "attn.v", "attn.q_rope", "attn.k_rope", "attn.weights", "attn.sink_mass",
        "attn.mixed", "attn.out", "after_attn", "mlp.norm", "mlp.router_logits", "mlp.experts", "mlp.expert_weights",
        "mlp.expert_outputs", "mlp.out", "after_mlp")), "norm", "logits"])}


def test_the_flow_shows_every_tensor_of_a_whole_layer_once_with_its_shape_and_frames_one():
    html = in_light(charts.block_flow(SHAPES, 2, "block.2.attn.v"))
    chips = re.findall(r'<span(?: class=here)? style="[^"]*" title="([^"]*)">([^<]*)<small>([^<]*)</small>', html)
    assert {name: shape for name, _, shape in chips} == SHAPES and len(chips) == len(SHAPES)
    assert re.findall(r'class=here style="[^"]*" title="([^"]*)"', html) == ["block.2.attn.v"]
    assert 'aria-label="The tensors of a pass, those of block 2 step by step; block.2.attn.v has the shape 1 × 4"' in html
    colours = set(re.findall(r"border-color:(#\w{6})", html))
    assert colours <= palette.ALL and {palette.QUERY, palette.KEY, palette.VALUE, palette.SINK} <= colours
    with pytest.raises(ValueError, match="lacks attn.norm, attn.q, .* of block 1"):
        charts.block_flow(SHAPES, 1, "embedding")


def arrows(svg):
    """Colour, start and end of each arrow."""
    ends = {}
    for path in ElementTree.fromstring(in_light(svg)).iter("{http://www.w3.org/2000/svg}path"):
        points = re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.get("d"))
        if len(points) == 5:
            ends[path.get("stroke")] = [tuple(map(float, point)) for point in points[:2]]
    return ends


@pytest.mark.parametrize(("before", "added", "cosine"), [(3, 4, 0), (5, 2, 0.5), (5, 5, -0.9), (1, 100, 0.1), (100, 1, 1)])
def test_the_triangle_is_true_to_length_and_angle(before, added, cosine):
    svg = charts.addition_triangle(before, added, cosine, "0 attention", "attention")
    drawn = {colour: np.subtract(stop, start) for colour, (start, stop) in arrows(svg).items()}
    stream, addition, total = (drawn.get(colour) for colour in (palette.MUTED, palette.PARTS["attention"], "currentColor"))
    after = math.sqrt(before**2 + added**2 + 2 * before * added * cosine)
    longest = max(before, added, after)
    scale = np.linalg.norm({before: stream, added: addition}.get(longest, total)) / longest
    for arrow, length in ((stream, before), (addition, added), (total, after)):
        if arrow is not None:
            assert np.linalg.norm(arrow) == pytest.approx(length * scale, abs=0.3)
    assert np.allclose(stream + addition, total, atol=0.3)
    if min(before, added) * scale > 20:
        assert stream @ addition / np.linalg.norm(stream) / np.linalg.norm(addition) == pytest.approx(cosine, abs=0.02)
    assert f"length {before:.2f}" in svg and f"length {after:.2f}" in svg
    points = np.array([point for ends in arrows(svg).values() for point in ends])
    assert points.min() >= 0 and (points <= [420, 260]).all()


def test_the_embedding_is_one_arrow_from_nothing():
    svg = charts.addition_triangle(0.0, 3.0, math.nan, "embedding", "embedding")
    assert set(arrows(svg)) == {palette.PARTS["embedding"]}
    assert "nan" not in svg


def way(layers):
    steps = [charts.Step("embedding", "embedding", [], math.nan, "t1", 0.2)]
    for layer in range(layers):
        steps += [charts.Step(f"{layer} attention", "attention", [("“<b>”", 0.5), ("the sinks", 0.25)], 0.4, "t2", 0.3),
                  charts.Step(f"{layer} experts", "experts", [("expert 3", 0.61)], 0.1, "<i>", 0.4)]
    return steps


def test_one_tokens_way_names_what_each_part_does_and_marks_the_answer():
    table, note = charts.one_tokens_way(way(2), "<u>", "<i>")
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    assert len(rows) == 1 + 5 and not note
    assert "looks up the numbers of “&lt;u&gt;”" in rows[1] and "NaN" not in table and "nan" not in table
    assert "looks at “&lt;b&gt;”" in rows[2] and "50%" in rows[2] and "40%" in rows[2] and "<b>“" not in rows[2]
    assert "asks expert 3" in rows[3] and "<b>“&lt;i&gt;” 40%</b>" in rows[3]


@pytest.mark.parametrize(("layers", "shown"), [(8, 8), (9, 8), (48, 8)])
def test_the_way_through_a_deep_model_is_cut_and_says_so(layers, shown):
    table, note = charts.one_tokens_way(way(layers), "a", "b")
    assert table.count('scope="row"') == 1 + 2 * shown
    assert ">0 attention<" in table and f">{layers - 1} experts<" in table
    assert note == ("" if layers == shown else f"{shown} of {layers} layers")
