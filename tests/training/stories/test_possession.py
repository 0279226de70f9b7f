"""The grammar: what it says is so, its answers are right, and its entropies are those of brute force."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from gptoss.training.stories.possession import NAMES, PEOPLE, PLACES, THINGS, WEIGHTS, Grammar, Move, World
from gptoss.training.storyteller import storyteller_vocabulary


@pytest.fixture(scope="module")
def grammar():
    return Grammar(storyteller_vocabulary())


def a_world(*moves):
    world = World()
    for tells in moves:
        world.facts |= tells
    return world


WORLDS = [World(),
          a_world({("place", "Tom"): "park", ("holder", "ball"): "Tom"}),
          a_world({("place", "Tom"): "park", ("holder", "ball"): "Tom"},
                  {("place", "Lily"): "park", ("holder", "key"): "Lily"}, {("holder", "key"): "", ("lost", "Lily"): "key"}),
          a_world({("place", name): "barn" for name in NAMES[:PEOPLE]} | {("holder", "cup"): NAMES[0]})]


@pytest.mark.parametrize("world", WORLDS)
def test_the_sentences_that_can_be_said_are_different_and_their_chances_add_up_to_one(world):
    moves = world.moves()
    assert math.isclose(sum(chance for chance, _ in moves), 1)
    assert max(Counter(move.text for _, move in moves).values()) == 1
    assert {move.kind for _, move in moves} == {*world.chances()}
    for kind in WEIGHTS:
        assert bool(world.of_kind(kind)) == (kind in world.chances()), kind


@pytest.mark.parametrize("world", WORLDS)
def test_an_entropy_is_that_of_the_next_token_over_all_sentences_that_begin_alike(world, grammar):
    moves = world.moves()
    for _, move in moves[:: max(1, len(moves) // 7)]:
        own = grammar.spelt(" " + move.text)
        nats = grammar._entropies(moves, " ", own)
        assert len(nats) == len(own)
        for place, value in enumerate(nats):
            chances = Counter()
            for chance, other in moves:
                spelt = grammar.spelt(" " + other.text)
                if spelt[:place] == own[:place]:
                    chances[spelt[place]] += chance
            total = sum(chances.values())
            assert math.isclose(value, -sum(c / total * math.log(c / total) for c in chances.values()), abs_tol=1e-9)


def test_the_mean_of_what_the_sentences_cost_is_the_sum_of_the_entropies(grammar):
    """Chain rule: the entropy of a whole sentence is the mean over sentences of the sum of its tokens' entropies."""
    moves = WORLDS[2].moves()
    whole = -sum(chance * math.log(chance) for chance, _ in moves)
    sample = np.random.default_rng(0).choice(len(moves), 150, p=[chance for chance, _ in moves])
    summed = [sum(grammar._entropies(moves, " ", grammar.spelt(" " + moves[place][1].text))) for place in sample]
    assert np.mean(summed) == pytest.approx(whole, abs=4 * np.std(summed) / 150**0.5)


def test_a_story_is_told_in_whole_words_and_every_answer_is_right(grammar):
    told = grammar.draw(np.random.default_rng(3), 257, entropies=False)
    text = grammar.vocabulary.decode(told.tokens)
    assert grammar.vocabulary.encode(text) == told.tokens.tolist()
    place, holder, lost = {}, {}, {}
    for sentence in re.findall(r"[A-Z][^.?]*\?? ?(?:(?<=\? )[A-Z][^.]*)?\.", text):
        come = re.match(r"(\w+) came to the (\w+) with the (\w+)\.", sentence)
        went = re.match(r"(\w+) went to the (\w+)\.", sentence)
        if come:
            place[come[1]], holder[come[3]] = come[2], come[1]
        elif went:
            place[went[1]] = went[2]
        elif gave := re.match(r"(\w+) gave the (\w+) to (\w+)\.", sentence):
            assert holder[gave[2]] == gave[1] and place[gave[1]] == place[gave[3]]
            holder[gave[2]] = gave[3]
        elif took := re.match(r"(\w+) took the (\w+) from (\w+)\.", sentence):
            assert holder[took[2]] == took[3] and place[took[1]] == place[took[3]]
            holder[took[2]] = took[1]
        elif gone := re.match(r"(\w+) lost the (\w+)\.", sentence):
            assert holder[gone[2]] == gone[1]
            holder[gone[2]], lost[gone[1]] = "", gone[2]
        elif found := re.match(r"(\w+) found the (\w+)\.", sentence):
            assert holder[found[2]] == ""
            holder[found[2]] = found[1]
        elif asked := re.match(r"(?:Who has the (\w+)\?|Now the (\w+) is with) (\w+)\.", sentence):
            assert holder[asked[1] or asked[2]] == asked[3]
        elif asked := re.match(r"Where is (the )?(\w+)\? In the (\w+)\.", sentence):
            assert place[holder[asked[2]] if asked[1] else asked[2]] == asked[3]
        else:
            asked = re.match(r"What did (\w+) lose\? The (\w+)\.", sentence)
            assert lost[asked[1]] == asked[2]
    assert len(holder) >= 3 and len(place) >= 3


def test_answers_are_marked_with_where_they_were_told(grammar):
    documents, age = grammar.documents(np.random.default_rng(5), 6, 257, entropies=False)
    rows, places = np.nonzero(documents.distance)
    assert len(rows) > 30
    assert (documents.tokens[rows, places] == documents.tokens[rows, places - documents.distance[rows, places]]).all()
    assert (age[rows, places] > 0).all() and (age > 0).sum() >= len(rows)


def test_with_and_without_entropies_a_seed_gives_the_same_text(grammar):
    with_them, without = (grammar.draw(np.random.default_rng(8), 80, entropies) for entropies in (True, False))
    assert (with_them.tokens == without.tokens).all()
    assert np.isfinite(with_them.entropy).all() and np.isnan(without.entropy).all()


def test_every_word_is_one_token(grammar):
    for word in (*NAMES, *THINGS, *PLACES):
        assert len(grammar.vocabulary.encode(f" {word}")) == 1, word
    assert Move("go", "", {("place", "Tom"): "park"}).retold() == {("place", "Tom"): "park"}
