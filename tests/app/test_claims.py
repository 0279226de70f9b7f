"""Every claim: there, decided by code that can be read, and its figures against another computation."""

import inspect
import math
import re

import pytest

from gptoss.app.state import Moment
from gptoss.app.study import Study
from gptoss.claims import published
from gptoss.claims.register import BY_NAME, KINDS, ROWS, TOPICS, UNDER_STUDY
from gptoss.config import PRESETS
from gptoss.lessons.claims.charts import NOT_SO, OPEN, PARTLY, SO
from gptoss.lessons.claims.controls import claims_board
from gptoss.lessons.claims.controls.claims_board import decide, known, matches, verdicts

LARGE, SMALL = PRESETS["gpt-oss-120b"], PRESETS["gpt-oss-20b"]
CLASSROOM = Study.of_preset("classroom")
QUICK = [row.name for row in ROWS if not row.takes]
LARGEST = {"layers": 48, "hidden": 5760, "heads": 128, "kv": 128, "experts": 256, "active": 128, "window": 0}
SMALLEST = {"layers": 1, "hidden": 64, "heads": 1, "kv": 1, "experts": 1, "active": 1, "window": 1, "context": 128,
            "factor": 1}


@pytest.fixture(autouse=True)
def nothing_decided(monkeypatch):
    monkeypatch.setattr(claims_board, "_decided", type(claims_board._decided)())


def parameters(config, experts):
    """Parameters by hand, with so many experts in every layer and one embedding for each of input and output."""
    width, heads = config.hidden_size, config.head_dim * config.num_attention_heads
    groups = config.head_dim * config.num_key_value_heads
    attention = width + (width + 1) * (heads + 2 * groups) + config.num_attention_heads + (heads + 1) * width
    one = 2 * config.intermediate_size * (width + 1) + width * (config.intermediate_size + 1)
    router = width + config.num_experts * (width + 1)
    return config.num_hidden_layers * (attention + router + experts * one) + width + 2 * config.vocab_size * width


def cache(config, context):
    """Bytes of a KV cache by hand: two for each number of keys and of values."""
    kept = [min(context, config.sliding_window) if layer % 2 == 0 else context for layer in range(config.num_hidden_layers)]
    return 4 * config.head_dim * config.num_key_value_heads * sum(kept)


def checkpoint(config):
    """Bytes by hand: 4.25 bits for each number of the experts' two weights, 16 for each of the rest."""
    packed = config.num_hidden_layers * config.num_experts * 3 * config.hidden_size * config.intermediate_size
    return packed * 17 // 32 + 2 * (parameters(config, config.num_experts) - packed)


def active(config):
    return parameters(config, config.experts_per_token) - config.vocab_size * config.hidden_size


def test_every_claim_of_the_table_and_every_calculator_is_there_once():
    assert len(BY_NAME) == len(ROWS)
    assert {int(found[1]) for found in (re.match(r"(\d+)[a-z]?$", name) for name in BY_NAME) if found} == {*range(1, 22)}
    assert {"C1", "C2", "C3"} <= {*BY_NAME}
    assert {row.topic for row in ROWS} == {*TOPICS} and {row.kind for row in ROWS} == {*KINDS}


@pytest.mark.parametrize("row", ROWS, ids=BY_NAME)
def test_the_code_that_decides_can_be_read(row):
    assert row.says and row.source and row.about and row.page.path == row.path
    assert inspect.getsource(row.decided_by[0]).startswith("def ")
    assert all(inspect.getsource(each) for each in row.decided_by)
    deciding = row.measure if inspect.isfunction(row.measure) and row.measure.__name__ != "<lambda>" else None
    assert deciding is None or deciding is row.decided_by[0]
    assert deciding or row.decided_by[0].__name__ in inspect.getsource(row.measure)


DECIDED_AT_ONCE = {
    "1": (NOT_SO, [f"{parameters(LARGE, 128):,}", "116,829,156,672"]),
    "2": (NOT_SO, ["20.91 B parameters, 24 layers and 32 experts", "116.83 B parameters, 36 layers and 128 experts"]),
    "3": (NOT_SO, ["YaRN slows 1 to 32 times; this blend slows 32 to 1 times"]),
    "4": (NOT_SO, [f"{0.1 * math.log(2) + 1:.4f}", "1.0693", f"{0.1 * math.log(32) + 1:.4f}", "1.3466"]),
    "6": (NOT_SO, ["layer 0 slides over 128, layer 1 sees everything"]),
    "7": (NOT_SO, [f"{201_088 * 2880 / 1e6:.2f} M parameters beside an embedding of 579.13 M"]),
    "8": (NOT_SO, ["eps 1e-5 and computes in float32", f"{1e-3 / math.sqrt(1e-6 + 1e-6):.2f} instead of "
                   f"{1e-3 / math.sqrt(1e-6 + 1e-5):.2f}"]),
    "9": (PARTLY, ["8.0 times the parameters", "2.0 times the compute", "25% of the compute"]),
    "10a": (NOT_SO, [f"{active(LARGE) / parameters(LARGE, 128):.1%}", "4.4%", f"{active(SMALL) / parameters(SMALL, 32):.1%}",
                     "17.3%", "3.1% is the share of the experts alone"]),
    "10b": (PARTLY, ["120b 32 times less", "In gpt-oss-20b it is 8"]),
    "11a": (PARTLY, ["save 87.5% of the cache and 33.5% of weights and cache together"]),
    "11b": (NOT_SO, ["16 times smaller", "4.50 GiB instead of 72.00 GiB",
                     f"{checkpoint(LARGE) / (checkpoint(LARGE) + cache(LARGE, 131_072)):.0%} of both"]),
    "12": (PARTLY, [f"{4096 * 32:,} tokens", "128 times GPT-2's 1,024"]),
    "14a": (NOT_SO, ["GPT-2, of that size too, needs 1.00 to"]),
    "14b": (NOT_SO, ["first 32,000 tokens need"]),
    "17": (NOT_SO, ["a learned vector for each of 1,024 positions"]),
    "18a": (NOT_SO, ["spells them in 6, 7, 6 ordinary tokens"]),
    "18b": (NOT_SO, ["3 malformed spots"]),
    "19": (NOT_SO, [f"{375_000_000 // 2**19} steps of {10**10 // 2**19:,}"]),
    "C1": (NOT_SO, [f"It is {cache(LARGE, 131_072) / 1e9:.2f} GB", "3.40 GB comes out",
                    f"{cache(LARGE, 131_072) * 45 / 64 / 1e9:.2f} GB comes out"]),
    "C2": (NOT_SO, [f"{36 * 2 * 2880 * 131_072 / 2**30:.2f} GiB comes out", "It is 4.50 GiB"]),
    "C3": (NOT_SO, [f"It is {(checkpoint(SMALL) + cache(SMALL, 32_768)) / 1e9:.1f} GB", "14.6 GB"]),
    "O1": (SO, [f"{parameters(LARGE, 128):,} parameters", f"{active(LARGE):,} work"]),
    "O2": (SO, [f"{parameters(SMALL, 32):,} parameters", f"{active(SMALL):,} work"]),
    "O3": (SO, [f"{(checkpoint(LARGE) + cache(LARGE, 131_072)) / 1e9:.2f} GB"]),
    "O4": (PARTLY, [f"{checkpoint(SMALL) / 1e9:.2f} GB", f"{(checkpoint(SMALL) + cache(SMALL, 131_072)) / 1e9:.2f} GB"]),
    "S2": (NOT_SO, ["256 random pairs of vectors"]),
    "S3": (PARTLY, [f"{4.25 / 16:.1%} of bf16's 16", f"{checkpoint(SMALL) / 2 / parameters(SMALL, 32):.1%}"]),
    "S4": (NOT_SO, [f"{24 * 32 * 3 * 2880**2 / parameters(SMALL, 32):.1%}"]),
}


@pytest.mark.parametrize("name", DECIDED_AT_ONCE)
def test_claims_that_are_decided_at_once(name):
    verdict, figures = DECIDED_AT_ONCE[name]
    found = known(BY_NAME[name], Study.of_preset("gpt-oss-120b"))
    assert found.verdict == verdict, found
    assert all(figure in found.sentence for figure in figures), (figures, found.sentence)
    assert known(BY_NAME[name], Study.of_preset("gpt-oss-120b")) is found


def test_none_of_them_is_forgotten():
    assert set(DECIDED_AT_ONCE) == set(QUICK)


@pytest.mark.parametrize(("name", "figures"), [
    ("5", "64 sink logits|32 sink logits"), ("13", "tokens never showed"), ("15", r"apart from it by at most 0\.0e\+00"),
    ("16", "12 bytes of them for each parameter beside 4 of weight"), ("20", "LayerNorm takes"),
    ("21", "Routed alone, 71 of 71 tokens"), ("S1", "the sink takes the rest"), ("S5", "nats a token")])
def test_claims_that_are_measured_when_asked_for(name, figures):
    row = BY_NAME[name]
    assert row.takes and known(row, CLASSROOM) is None
    found = decide(row, CLASSROOM)
    assert re.search(figures, found.sentence), found.sentence
    assert known(row, CLASSROOM) is found and found.seconds >= 0
    assert found.verdict in ((SO, NOT_SO) if name == "20" else (NOT_SO,))  # a clock may say either


def test_sinks_change_no_share_of_the_first_token():
    shares = re.search(r"position 0 has ([\d.]+)% .* without them ([\d.]+)%", decide(BY_NAME["5"], CLASSROOM).sentence)
    assert shares[1] == shares[2]


@pytest.mark.parametrize(("name", "dials"), [("4", {"factor": 1}), ("S1", {"sinks": "off"})])
def test_a_claim_comes_true_where_the_model_under_study_makes_it_so(name, dials):
    assert BY_NAME[name].about == UNDER_STUDY
    assert decide(BY_NAME[name], CLASSROOM).verdict == NOT_SO
    assert decide(BY_NAME[name], CLASSROOM.moved(**dials)[0]).verdict == SO


@pytest.mark.parametrize(("dials", "verdict"), [({}, PARTLY), ({"kv": 64}, False), ({"kv": 16}, False)])
def test_what_sharing_saves_is_measured_on_the_model(dials, verdict):
    assert BY_NAME["11a"].measure(Study.of_preset("gpt-oss-120b").moved(**dials)[0])[0] == verdict


@pytest.mark.parametrize(("name", "gigabytes", "verdict"), [
    ("gpt-oss-20b", 17, True), ("gpt-oss-20b", 16, PARTLY), ("gpt-oss-20b", 13, False), ("gpt-oss-120b", 80, True),
    ("gpt-oss-120b", 70, PARTLY)])
def test_what_fits(name, gigabytes, verdict):
    assert published.fits_within(name, gigabytes)[0] == verdict


@pytest.mark.parametrize("memory", [14 * 10**9, 16 * 10**9, 10**12, 0])
def test_the_longest_context_beside_the_weights(memory):
    tokens = published.tokens_beside_weights(SMALL, memory)
    assert not tokens or checkpoint(SMALL) + cache(SMALL, tokens) <= memory
    assert tokens == 131_072 or checkpoint(SMALL) + cache(SMALL, tokens + 1) > memory


@pytest.mark.parametrize(("total", "active_ones", "holds"), [(117, 5.1, True), (116, 5.1, False), (117, 5.2, False)])
def test_published_counts_hold_to_their_digits(total, active_ones, holds):
    assert published.parameters_as_published("gpt-oss-120b", total, active_ones)[0] == holds


@pytest.mark.parametrize("dials", [LARGEST, SMALLEST], ids=["largest", "smallest"])
@pytest.mark.parametrize("preset", ["gpt-oss-120b", "notebook"])
def test_every_claim_that_follows_the_model_can_be_decided_at_its_extremes(preset, dials):
    study = Study.of_preset(preset).moved(**dials)[0]
    following = [row for row in ROWS if row.preset is None and UNDER_STUDY in row.about and row.name not in ("13", "S5")]
    assert len(following) >= 8
    for row in following:
        assert decide(row, study).verdict in (NOT_SO, PARTLY, SO)


def test_what_is_not_measured_is_open_and_belongs_to_its_study():
    found = verdicts(CLASSROOM)
    assert {name for name, verdict in found.items() if verdict == OPEN} == {*BY_NAME} - {*QUICK}
    decide(BY_NAME["S1"], CLASSROOM)
    assert verdicts(CLASSROOM)["S1"] == NOT_SO
    assert verdicts(CLASSROOM.moved(sinks="off")[0])["S1"] == OPEN


def test_the_server_forgets_the_oldest_verdicts(monkeypatch):
    monkeypatch.setattr(claims_board, "KEPT", 3)
    for name in ("1", "2", "9", "12"):
        decide(BY_NAME[name], CLASSROOM)
    assert [key[0] for key in claims_board._decided] == ["2", "9", "12"]


@pytest.mark.parametrize(("words", "found"), [
    ("", True), ("kv CACHE", True), ("cache calculator", True), ("c1", True), ("memory grouped", True), ("cache tokenizer",
                                                                                                       False), ("[", False),
    (".*", False), ("<b>", False)])
def test_all_words_must_be_there_as_they_are(words, found):
    assert matches(BY_NAME["C1"], words) == found


def test_a_link_sets_the_sliders_and_keeps_text_and_pinned_model():
    now = Moment(CLASSROOM.moved(window=8)[0], "my own text", Study.of_preset("gpt-oss-20b"))
    assert BY_NAME["C3"].query(now) == {
        "preset": "gpt-oss-20b", "context": "32768", "pinned": "gpt-oss-20b", "text": "my own text",
        "gqa_view": "The whole context"}
    assert BY_NAME["6"].query(now) == {
        "preset": "classroom", "window": "8", "pinned": "gpt-oss-20b", "text": "my own text", "window_view": "Reach"}
