"""Every claim: there, decided by code that can be read, and its figures against another computation."""

import inspect
import math
import re

import pytest

from gptoss.app import verdicts
from gptoss.app.book import PAGES
from gptoss.app.cache import Budget, Cache
from gptoss.app.state import Moment
from gptoss.app.study import Study
from gptoss.app.verdicts import FALSE, KINDS, PARTLY, TOPICS, TRUE, VERDICTS, badge, decide, known
from gptoss.claims import register
from gptoss.claims.register import BY_NAME, CLAIMS
from gptoss.config import PRESETS
from gptoss.lessons.experts.claims import busiest_share, number_of_experts
from gptoss.lessons.gqa.claims import windows_forgotten
from gptoss.lessons.memory.claims import fits_within, parameters_as_published, tokens_beside_weights
from gptoss.lessons.mxfp4.claims import everything_is_mxfp4, quarter_of_bf16
from gptoss.lessons.window import claims as window
from gptoss.model.mask import visible

LARGE, SMALL = PRESETS["gpt-oss-120b"], PRESETS["gpt-oss-20b"]
CLASSROOM = Study.of_preset("classroom")
QUICK = [claim.name for claim in CLAIMS if not claim.takes]
LARGEST = {"layers": 48, "hidden": 5760, "heads": 128, "kv": 128, "experts": 256, "active": 128, "window": 0}
SMALLEST = {"layers": 1, "hidden": 64, "heads": 1, "kv": 1, "experts": 1, "active": 1, "window": 1, "context": 128,
            "factor": 1}


@pytest.fixture(autouse=True)
def nothing_decided(monkeypatch):
    monkeypatch.setattr(verdicts, "_decided", Cache(2048, Budget(2**20)))


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
    slots = [min(context, config.sliding_window) if layer % 2 == 0 else context for layer in range(config.num_hidden_layers)]
    return 4 * config.head_dim * config.num_key_value_heads * sum(slots)


def checkpoint(config):
    """Bytes by hand: 4.25 bits for each number of the experts' two weights, 16 for each of the rest."""
    packed = config.num_hidden_layers * config.num_experts * 3 * config.hidden_size * config.intermediate_size
    return packed * 17 // 32 + 2 * (parameters(config, config.num_experts) - packed)


def active(config):
    return parameters(config, config.experts_per_token) - config.vocab_size * config.hidden_size


def test_every_claim_of_the_notebook_and_every_calculator_is_there_once():
    assert len(BY_NAME) == len(CLAIMS) == len({claim.sentence for claim in CLAIMS})
    numbers = {int(match[1]) for match in (re.match(r"(\d+)[a-z]?$", name) for name in BY_NAME) if match}
    assert numbers == {*range(1, 22)}
    assert {"C1", "C2", "C3"} <= {*BY_NAME}
    assert {claim.topic for claim in CLAIMS} == {*TOPICS} and {claim.kind for claim in CLAIMS} == {*KINDS}


@pytest.mark.parametrize("claim", CLAIMS, ids=BY_NAME)
def test_the_code_that_decides_can_be_read(claim):
    assert claim.sentence and claim.source and claim.about and claim.page.path == claim.pages[0]
    assert inspect.getsource(claim.decided_by[0]).startswith("def ")
    assert all(inspect.getsource(code) for code in claim.decided_by)
    assert claim.decide.__name__ == claim.decided_by[0].__name__ != "<lambda>"


@pytest.mark.parametrize("page", [page for page in PAGES if page.path not in ("start", "build", "claims", "exercises")],
                         ids=lambda page: page.path)
def test_a_page_asks_the_register_for_its_claims(page, request):
    claims = register.of_page(page.path)
    assert claims and all(page.path in claim.pages for claim in claims)
    source = (request.config.rootpath / "pages" / page.file).read_text(encoding="utf-8")
    assert f'register.of_page("{page.path}")' in source


def test_a_page_that_there_is_not_has_no_claims():
    with pytest.raises(ValueError, match="“sink” has no claims; allowed: attention, block"):
        register.of_page("sink")


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if not claim.follows], ids=lambda claim: claim.name)
def test_a_claim_about_gpt_oss_has_one_verdict_whatever_is_under_study(claim):
    """Either its study is the same, or it asks for none."""
    studies = [Study.of_preset(name) for name in ("classroom", "notebook", "gpt-oss-120b")]
    studies.append(CLASSROOM.moved(**SMALLEST)[0])
    if preset := claim.about if claim.about in PRESETS else claim.preset:
        assert len({claim.study(study) for study in studies}) == 1
        assert claim.study(CLASSROOM).preset == preset
    else:
        assert "study" not in inspect.signature(claim.decide).parameters
    if not claim.takes:
        assert len({known(claim, study) for study in studies}) == 1


def test_claims_that_follow_the_model_under_study_say_so():
    assert {claim.name for claim in CLAIMS if claim.follows} == {"3", "4", "5", "21", "S1", "S2", "S7", "S8"}
    assert all(claim.about == verdicts.UNDER_STUDY and not claim.preset for claim in CLAIMS if claim.follows)
    assert BY_NAME["3"].basis(CLASSROOM) == "the model under study, classroom"
    assert BY_NAME["1"].basis(CLASSROOM) == "gpt-oss-120b"


DECIDED_AT_ONCE = {
    "1": (FALSE, [f"{parameters(LARGE, 128):,}", "116,829,156,672", "39 times as many"]),
    "2": (FALSE, ["20.91 B parameters, 24 layers and 32 experts", "116.83 B parameters, 36 layers and 128 experts"]),
    "3": (FALSE, ["YaRN slows 1 to 32 times; this blend slows 32 to 1 times"]),
    "4": (FALSE, [f"{0.1 * math.log(2) + 1:.4f}", "1.0693", f"{0.1 * math.log(32) + 1:.4f}", "1.3466"]),
    "6": (FALSE, ["In gpt-oss-20b layer 0 slides over 128, layer 1 sees everything", "12 of 24 layers slide"]),
    "7": (FALSE, [f"{201_088 * 2880 / 1e6:.2f} M parameters beside an embedding of 579.13 M"]),
    "8": (FALSE, ["eps 1e-5 and computes in float32", f"{1e-3 / math.sqrt(1e-6 + 1e-6):.2f} instead of "
                   f"{1e-3 / math.sqrt(1e-6 + 1e-5):.2f}"]),
    "9": (PARTLY, ["8.0 times the parameters", "2.0 times the compute", "25% of the compute"]),
    "10a": (FALSE, [f"{active(LARGE) / parameters(LARGE, 128):.1%}", "4.4%", f"{active(SMALL) / parameters(SMALL, 32):.1%}",
                     "17.3%", "3.1% is the share of the experts alone"]),
    "10b": (PARTLY, ["120b 32 times less", "In gpt-oss-20b it is 8"]),
    "11a": (PARTLY, ["save 87.5% of the cache and 33.5% of weights and cache together"]),
    "11b": (FALSE, ["16 times smaller", "4.50 GiB instead of 72.00 GiB",
                     f"{checkpoint(LARGE) / (checkpoint(LARGE) + cache(LARGE, 131_072)):.0%} of both"]),
    "12": (PARTLY, [f"4,096 is where YaRN starts: stretched by 32 it is {4096 * 32:,} tokens", "128 times GPT-2's 1,024"]),
    "14a": (FALSE, ["needs 1.00 (English) to 5.62 times (Bengali)", "1.04 to 1.52 times", "15 languages and code"]),
    "14b": (FALSE, ["first 32,000 tokens need 1.08 to 1.62 times"]),
    "17": (FALSE, ["a learned vector for each of 1,024 positions", "differs from the next stream by 0,"]),
    "18a": (FALSE, ["spells them in 6, 7, 6 ordinary tokens"]),
    "18b": (FALSE, ["3 malformed spots"]),
    "19": (FALSE, [f"{375_000_000 // 2**19} steps of {10**10 // 2**19:,}, from 6e-4 down to 6e-5"]),
    "C1": (FALSE, [f"It is {cache(LARGE, 131_072) / 1e9:.2f} GB", "3.40 GB comes out", "2880 / 64 = 45",
                    f"{cache(LARGE, 131_072) * 45 / 64 / 1e9:.2f} GB comes out"]),
    "C2": (FALSE, [f"{36 * 2 * 2880 * 131_072 / 2**30:.2f} GiB comes out", "It is 4.50 GiB"]),
    "C3": (FALSE, [f"It is {(checkpoint(SMALL) + cache(SMALL, 32_768)) / 1e9:.1f} GB", "14.6 GB"]),
    "C4": (FALSE, ["gpt-oss-120b has 64 rows for each head; 2,880 / 64 is 45",
                   f"{cache(LARGE, 131_072) * 45 / 64 / 2**30:.2f} GiB in place of 4.50 GiB"]),
    "C5": (FALSE, [f"{24 * 131_072 / (12 * 131_072 + 12 * 128):.2f} times as much", "3.00 GiB, and 6.00 GiB without windows",
                    "48.00 GiB, 16.0 times as much"]),
    "O1": (TRUE, [f"{parameters(LARGE, 128):,} parameters", f"{active(LARGE):,} work"]),
    "O2": (TRUE, [f"{parameters(SMALL, 32):,} parameters", f"{active(SMALL):,} work"]),
    "O3": (TRUE, [f"{(checkpoint(LARGE) + cache(LARGE, 131_072)) / 1e9:.2f} GB"]),
    "O4": (PARTLY, [f"{checkpoint(SMALL) / 1e9:.2f} GB", f"{(checkpoint(SMALL) + cache(SMALL, 131_072)) / 1e9:.2f} GB"]),
    "P1": (FALSE, ["32 in each of 24 layers, 768 in all", "128 a layer are those of gpt-oss-120b"]),
    "P2": (PARTLY, ["never more than 0.020 away"]),
    "P3": (FALSE, ["sees 128 tokens: itself and the 127 before it", "who writes 128 gets 129 tokens"]),
    "P5": (PARTLY, [f"gpt-oss-20b {math.sqrt(active(SMALL) * parameters(SMALL, 32)) / 1e9:.2f} B",
                    f"gpt-oss-120b {math.sqrt(active(LARGE) * parameters(LARGE, 128)) / 1e9:.2f} B", "1.09 M of 2.80 M"]),
    "P6": (FALSE, ["guarantees 690 MB and allows at most 2.7 GB", f"{checkpoint(SMALL) / 1e9:.1f} GB"]),
    "S2": (FALSE, ["256 random pairs of vectors"]),
    "S3": (PARTLY, ["12.82 GiB instead of 38.96 GiB", f"{4.25 / 16:.1%} of bf16's 16",
                    f"{checkpoint(SMALL) / 2 / parameters(SMALL, 32):.1%}"]),
    "S4": (FALSE, [f"{24 * 32 * 3 * 2880**2 / parameters(SMALL, 32):.1%} of gpt-oss-20b's 20.91 B"]),
    "S6": (FALSE, ["all of them in its block"]),
}


@pytest.mark.parametrize("name", DECIDED_AT_ONCE)
def test_claims_that_are_decided_at_once(name):
    expected, figures = DECIDED_AT_ONCE[name]
    verdict = known(BY_NAME[name], Study.of_preset("gpt-oss-120b"))
    assert verdict.verdict == expected, verdict
    assert all(figure in verdict.sentence for figure in figures), (figures, verdict.sentence)
    assert known(BY_NAME[name], Study.of_preset("gpt-oss-120b")) is verdict


def test_none_of_them_is_forgotten():
    assert set(DECIDED_AT_ONCE) == set(QUICK)


MEASURED_WHEN_ASKED_FOR = {
    "5": ["classroom has 32 sink logits", "one for each of 8 heads in 4 layers"],
    "13": ["In gpt-oss-20b, 14 of 32 pairs reach angles within 131,072 tokens that 4,096 tokens never showed",
           "with YaRN at factor 32 it is 0"],
    "15": ["Its training loss goes from 6.9", "apart from it by at most 0: noise"],
    "16": ["20.0 B parameters in two bytes", "12 bytes of them for each parameter beside 4 of weight",
           "weights 41.8 GB, master weights 83.7 GB, gradients 41.8 GB, optimizer states 167 GB"],
    "20": ["width 2,880", "LayerNorm takes"],
    "21": ["Routed alone, 71 of 71 tokens", "`gate.weight` and `gate.bias` and nothing else",
           f"{busiest_share('classroom'):.1%} of a layer's choices", f"without {busiest_share('unbalanced'):.1%}"],
    "P4": ["with random weights answers", "as it was trained"],
    "S1": ["the sink takes the rest"],
    "S5": ["In classroom, trained without rounding", "nats a token"],
    "S7": ["At token 70 the largest bar is layer "],
    "S8": ["On this machine, with weights trained on tasks and code",
           "24 tokens written twice at temperature 0 are the same", "to the last bit",
           "would choose 24 of the 24 tokens too"],
    "S9": ["where blind choice gets 25%", "Of an untrained twin it is"],
}


@pytest.mark.parametrize("name", MEASURED_WHEN_ASKED_FOR)
def test_claims_that_are_measured_when_asked_for(name):
    claim = BY_NAME[name]
    assert claim.takes and known(claim, CLASSROOM) is None
    verdict = decide(claim, CLASSROOM)
    assert all(figure in verdict.sentence for figure in MEASURED_WHEN_ASKED_FOR[name]), verdict.sentence
    assert known(claim, CLASSROOM) is verdict and verdict.seconds > 0
    by_chance = name in ("20", "S7")  # a clock and a bar may say either
    assert verdict.verdict in ((TRUE, FALSE) if by_chance else (PARTLY,) if name == "S8" else (FALSE,))


def test_each_of_them_is_measured():
    assert set(MEASURED_WHEN_ASKED_FOR) == {*BY_NAME} - {*QUICK}


def test_a_window_that_is_one_too_long_is_what_the_claim_says(monkeypatch):
    """The claim comes true of a mask that shows one token more."""
    monkeypatch.setattr(window, "visible", lambda queries, keys, window: visible(queries, keys, window + 1))
    verdict = window.keys_and_the_query(Study.of_preset("gpt-oss-20b"))
    assert verdict.verdict == TRUE and "129 tokens: itself and the 128 before it" in verdict.sentence


@pytest.mark.parametrize(("dials", "times", "verdict"), [({}, 2.0, TRUE), ({"context": 128}, 1.0, TRUE), ({}, 14.3, FALSE)])
def test_forgetting_windows_costs_what_the_context_makes_of_it(dials, times, verdict):
    assert windows_forgotten(Study.of_preset("gpt-oss-20b").moved(**dials)[0], times).verdict == verdict


@pytest.mark.parametrize(("name", "experts", "verdict"), [("gpt-oss-120b", 128, TRUE), ("gpt-oss-20b", 32, TRUE),
                                                          ("gpt-oss-20b", 128, FALSE)])
def test_experts_are_counted_in_the_model_that_is_named(name, experts, verdict):
    assert number_of_experts(Study.of_preset(name), experts).verdict == verdict


def test_weights_that_nobody_trained_retrieve_nothing_and_trained_ones_nearly_all():
    untrained, trained = map(float, re.search(r"answers ([\d.]+)% rightly, and as it was trained ([\d.]+)%",
                                              decide(BY_NAME["P4"], CLASSROOM).sentence).groups())
    assert untrained < 5 < 95 < trained


def test_sinks_change_no_share_of_the_first_token():
    sentence = decide(BY_NAME["5"], Study.of_preset("gpt-oss-120b")).sentence
    shares = re.search(r"position 0 has ([\d.]+)% .* without them ([\d.]+)%", sentence)
    assert shares[1] == shares[2] and "2,304 sink logits" in sentence


def test_trained_weights_read_beyond_training_under_yarn_and_not_under_plain_rope():
    far, near, stretched = map(int, re.search(
        r"answers after the trained length rightly (\d+)% under plain RoPE \((\d+)% within its 64 tokens\) "
        r"and (\d+)% under YaRN", decide(BY_NAME["13"], CLASSROOM).sentence).groups())
    assert far < 70 < 90 < near and stretched > 90


def test_an_outlier_changes_its_block_its_row_or_all():
    sentence = known(BY_NAME["S6"], CLASSROOM).sentence
    mine, row, matrix = re.search(
        r"MXFP4 (\d+) other .* scale a row (\d+), in int8 with one scale for the matrix ([\d,]+)", sentence).groups()
    assert int(mine) <= 31 < int(row) <= 127 < int(matrix.replace(",", ""))


@pytest.mark.parametrize(("name", "dials", "figure"), [
    ("4", {"factor": 1}, "at factor 1 lengths change by at most"),
    ("S1", {"sinks": "off"}, "between 1.000 and 1.000: the sinks are off")])
def test_a_claim_comes_true_where_the_model_under_study_makes_it_so(name, dials, figure):
    assert decide(BY_NAME[name], CLASSROOM).verdict == FALSE
    verdict = decide(BY_NAME[name], CLASSROOM.moved(**dials)[0])
    assert verdict.verdict == TRUE and figure in verdict.sentence


def test_with_sinks_the_keys_share_less_than_one():
    low, high = re.search(r"add up to between (\S+) and (\S+):", decide(BY_NAME["S1"], CLASSROOM).sentence).groups()
    assert 0 <= float(low) < float(high) <= 1


@pytest.mark.parametrize(("dials", "verdict"), [({}, PARTLY), ({"kv": 64}, FALSE), ({"kv": 16}, FALSE)])
def test_what_sharing_saves_is_measured_on_the_model(dials, verdict):
    assert BY_NAME["11a"].decide(Study.of_preset("gpt-oss-120b").moved(**dials)[0]).verdict == verdict


def test_both_published_models_are_judged_alike():
    for name in ("gpt-oss-20b", "gpt-oss-120b"):
        assert quarter_of_bf16(Study.of_preset(name)).verdict == PARTLY
        assert everything_is_mxfp4(Study.of_preset(name)).verdict == FALSE


@pytest.mark.parametrize(("name", "gigabytes", "verdict"), [
    ("gpt-oss-20b", 17, TRUE), ("gpt-oss-20b", 16, PARTLY), ("gpt-oss-20b", 13, FALSE), ("gpt-oss-120b", 80, TRUE),
    ("gpt-oss-120b", 70, PARTLY)])
def test_what_fits_is_judged_by_the_bytes_of_weights_and_cache(name, gigabytes, verdict):
    assert fits_within(Study.of_preset(name), gigabytes).verdict == verdict


@pytest.mark.parametrize("memory", [14 * 10**9, 16 * 10**9, 10**12, 0])
def test_the_longest_context_beside_the_weights(memory):
    tokens = tokens_beside_weights(SMALL, memory)
    assert not tokens or checkpoint(SMALL) + cache(SMALL, tokens) <= memory
    assert tokens == 131_072 or checkpoint(SMALL) + cache(SMALL, tokens + 1) > memory


@pytest.mark.parametrize(("total", "active_ones", "verdict"), [(117, 5.1, TRUE), (116, 5.1, FALSE), (117, 5.2, FALSE)])
def test_published_counts_hold_to_their_digits(total, active_ones, verdict):
    assert parameters_as_published(Study.of_preset("gpt-oss-120b"), total, active_ones).verdict == verdict


@pytest.mark.parametrize("dials", [LARGEST, SMALLEST], ids=["largest", "smallest"])
@pytest.mark.parametrize("preset", ["gpt-oss-120b", "notebook"])
def test_every_claim_that_follows_the_model_can_be_decided_at_its_extremes(preset, dials):
    study = Study.of_preset(preset).moved(**dials)[0]
    for claim in CLAIMS:
        if claim.follows:
            assert decide(claim, study).verdict in (FALSE, PARTLY, TRUE)


def test_a_verdict_belongs_to_its_study_where_the_claim_follows_it():
    decide(BY_NAME["S1"], CLASSROOM)
    assert known(BY_NAME["S1"], CLASSROOM).verdict == FALSE
    assert known(BY_NAME["S1"], CLASSROOM.moved(sinks="off")[0]) is None


def test_the_server_forgets_the_oldest_verdicts(monkeypatch):
    monkeypatch.setattr(verdicts, "_decided", Cache(3))
    for name in ("1", "2", "9", "12"):
        decide(BY_NAME[name], CLASSROOM)
    assert [name for name in ("1", "2", "9", "12") if verdicts._decided.get((name,))] == ["2", "9", "12"]


def test_verdicts_are_called_what_they_are():
    assert VERDICTS == ("false", "partly true", "true", "not measured yet")
    assert [badge(verdict) for verdict in VERDICTS] == [
        ":red-badge[:material/close: false]", ":orange-badge[:material/contrast: partly true]",
        ":green-badge[:material/check: true]", ":gray-badge[:material/hourglass_empty: not measured yet]"]
    assert badge(TRUE, 0) == ":green-badge[:material/check: 0 true]"


def test_a_link_sets_the_sliders_and_keeps_text_and_pinned_model():
    now = Moment(CLASSROOM.moved(window=8)[0], "my own text", Study.of_preset("gpt-oss-20b"))
    assert BY_NAME["C3"].query(now) == {
        "preset": "gpt-oss-20b", "context": "32768", "pinned": "gpt-oss-20b", "text": "my own text",
        "gqa_view": "The whole context"}
    assert BY_NAME["3"].query(now) == {
        "preset": "classroom", "window": "8", "pinned": "gpt-oss-20b", "text": "my own text", "rope_view": "YaRN"}


@pytest.mark.parametrize(("name", "origin"), [
    ("11a", "the notebook, claim 11a"), ("C1", "a public calculator"), ("O1", "OpenAI's README")])
def test_the_origin_names_the_number_in_the_notebook(name, origin):
    assert BY_NAME[name].origin == origin
