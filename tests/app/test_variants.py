"""What is words of trained variants: words from figures, the shape under study, and the measurement beyond training."""

import re

import pandas as pd
import pytest

from gptoss.app import retrained as variants
from gptoss.app.retrained import CHOICES, how_they_were_made, in_words, under_study
from gptoss.app.study import Study
from gptoss.training.retrained import answer_rows, loss_rows
from gptoss.training.shipped import CLASSROOM, shipped


@pytest.mark.parametrize("page", CHOICES)
def test_every_variant_ships_and_differs_from_classroom_in_one_choice(page):
    choice = CHOICES[page]
    assert CLASSROOM in choice.variants and set(choice.variants) <= set(shipped())
    base = shipped()[CLASSROOM]
    allowed = {"gqa": {"num_key_value_heads"}, "window": {"window_every", "sliding_window"}, "sinks": set(),
               "experts": {"experts_per_token", "num_experts", "intermediate_size"}}[page]
    for name in choice.variants:
        model = shipped()[name]
        differing = {field for field, value in vars(base.config).items() if getattr(model.config, field) != value}
        assert differing <= allowed and (differing or name in (CLASSROOM, "no-sinks"))
        recipes = [{**variant.history(0)["recipe"], "evaluate_every": None} for variant in (model, base)]
        assert recipes[0] == recipes[1]


@pytest.mark.parametrize("page", CHOICES)
def test_each_difference_is_called_larger_or_within_the_spread_as_a_count_by_hand_says(page):
    choice = CHOICES[page]
    seeds = loss_rows(choice.variants).pivot(index=["variant", "domain"], columns="seed", values="loss")
    lines, larger = in_words(page).splitlines(), 0
    for line, variant in zip(lines, [name for name in choice.variants.values() if name != choice.base], strict=False):
        assert line.lower().startswith(f"- **{variant.lower()}**, compared with “{choice.base}”: ")
        for domain in seeds.index.unique("domain"):
            mine, base = seeds.loc[(variant, domain)], seeds.loc[(choice.base, domain)]
            difference = mine.mean() - base.mean()
            apart = abs(difference) > max(abs(mine[0] - mine[1]), abs(base[0] - base[1]))
            larger += apart
            match = re.search(rf"{domain} \(([+−][\d.]+)\)", line)
            assert bool(match) == apart
            assert not apart or float(match[1].replace("−", "-")) == pytest.approx(difference, abs=6e-4)
            assert not apart or ("more" if difference > 0 else "less") in line.split(domain)[0]
    comparisons = 6 * (len(choice.variants) - 1)
    assert f"Of {comparisons} differences {larger} " in lines[-1]


@pytest.mark.parametrize("page", CHOICES)
def test_answers_that_differ_much_are_listed_with_every_seed(page):
    choice, words = CHOICES[page], in_words(page)
    right = answer_rows(choice.variants).pivot(index=["variant", "domain"], columns="seed", values="accuracy")
    for variant, domain in right.index:
        mine, base = right.loc[(variant, domain)], right.loc[(choice.base, domain)]
        far = any(min(abs(one - other) for other in base) > 0.05 for one in mine)
        said = (f"Right answers in {domain}: with “{variant}” {mine[0]:.0%} and {mine[1]:.0%}, one seed each, and with "
                f"“{choice.base}” {base[0]:.0%}")
        assert (said in words) == far


def test_verdicts_of_small_and_of_no_differences():
    of = pd.DataFrame({"domain": ["prose", "code"], "difference": [0.5, -0.25], "beyond": [True, True]})
    assert variants._verdict(of) == "more loss in prose (+0.500); less loss in code (−0.250)"
    assert variants._verdict(of.assign(beyond=False)) == (
        "in no domain is the difference larger than the spread between seeds")


@pytest.mark.parametrize("page, dials, expected", [
    ("gqa", {}, "2 groups"), ("gqa", {"kv": 1}, "1 group"), ("gqa", {"kv": 8}, "8 groups"), ("gqa", {"window": 8}, ""),
    ("window", {"every": 1}, "all layers"), ("window", {"window": 0}, "no layer"), ("window", {"kv": 1}, ""),
    ("sinks", {"sinks": "off"}, "without sinks"), ("experts", {"active": 1}, "1 of 8 active"),
    ("experts", {"seed": 3}, "2 of 8 active")])
def test_the_variant_under_study_is_found_by_its_whole_architecture(page, dials, expected):
    assert under_study(page, Study.of_preset(CLASSROOM).moved(**dials)[0]) == expected
    assert under_study(page, Study.of_preset("gpt-oss-20b")) == ""


@pytest.mark.parametrize("page", CHOICES)
def test_it_says_how_small_the_models_are(page):
    words = how_they_were_made(page)
    steps, batch, length = (shipped()[CLASSROOM].history()["recipe"][name] for name in ("steps", "batch", "length"))
    assert f"{steps:,} steps of {batch} texts of {length} tokens" in words and "2.80 M" in words or page == "gqa"
    sizes = [sum(parameter.numel() for parameter in shipped()[name].load().parameters()) for name in CHOICES[page].variants]
    assert f"{min(sizes) / 1e6:.2f} M" in words and f"{max(sizes) / 1e6:.2f} M" in words
