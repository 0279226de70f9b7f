"""Moves of dials for hypothesis: to positions that a dial offers, and to values that it does not."""

from hypothesis import strategies as st

from gptoss.app.study import DIALS, RUN, WORDS, Study
from gptoss.config import PRESETS, ModelConfig

NUMBERS = [name for name in DIALS if name not in WORDS]

# Values that no slider sends, as a callback or an address might.
foreign_numbers = st.one_of(
    st.integers(-10**15, 10**15), st.floats(-1e12, 1e12, allow_subnormal=False), st.sampled_from([0, -1, 0.5, 7, 63]))


def positions(name: str) -> st.SearchStrategy:
    """Every position that a dial can ever have, whatever the others say."""
    widest = {"heads": 96, "experts": 256} if name == "kv" else {"heads": 128, "experts": 256}
    return st.sampled_from(list(DIALS[name].options(widest)))


numeric_moves = st.sampled_from(NUMBERS).flatmap(
    lambda name: st.tuples(st.just(name), positions(name) | foreign_numbers))
word_moves = st.sampled_from(WORDS).flatmap(
    lambda name: st.tuples(st.just(name), positions(name) | st.text(max_size=9) | st.from_regex(RUN, fullmatch=True)))
moves = st.lists(numeric_moves | word_moves, max_size=8)
presets = st.sampled_from(list(PRESETS))


@st.composite
def reachable_studies(draw) -> Study:
    """A preset after some moves."""
    study = Study.of_preset(draw(presets))
    for name, value in draw(moves):
        study, _ = study.moved(**{name: value})
    return study


def assert_valid(study: Study) -> None:
    """Every dial stands where it may, and the real model and its scale model exist."""
    for name, dial in DIALS.items():
        assert getattr(study, name) in dial.options(vars(study)), name
    assert isinstance(study.config, ModelConfig)
    assert study.config.num_attention_heads % study.config.num_key_value_heads == 0
    assert study.config.experts_per_token <= study.config.num_experts
