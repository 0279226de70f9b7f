"""What the teacher is asked, by seed: stories with an opening, everyday explanations, conversations of a few turns."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

STORY, EXPLANATION, CONVERSATION = KINDS = "story", "explanation", "conversation"

GIRLS = "Mia Lily Anna Sara Nora Emma Zoe Ella Ruby Ava Rosa Maya Ivy Lena Amy Lucy".split()
BOYS = "Tom Ben Max Leo Sam Jack Tim Finn Omar Kai Hugo Noah Paul Theo Luca Peter".split()
NAMES = (*GIRLS, *BOYS)
ANIMALS = ("dog cat rabbit fox bear mouse bird frog duck horse cow sheep owl turtle squirrel lion elephant monkey pig "
           "bee fish snail goat hen wolf butterfly").split()
THINGS = ("hat ball boat lamp box key cake book kite drum cup stone shell apple bell blanket bike bucket leaf map ring "
          "basket flower pencil ladder coat clock toy candle mirror pot shoe string wagon umbrella button feather whistle "
          "spoon chair table bed window door bag bottle brush rope tent sock seed nest bridge wheel train car tree").split()
MATTERS = ("rain snow wind the_sun the_moon water milk bread sleep music friendship sharing winter summer spring autumn "
           "morning night a_birthday a_holiday a_shadow a_rainbow a_cloud fire ice sand grass honey wool paper glass soap "
           "salt sugar breakfast school a_library a_hospital a_shop a_garden a_farm kindness patience courage").split()
PLACES = ("park garden forest beach river farm kitchen school hill market village barn lake attic meadow playground house "
          "street cave library pond").split()
FEELINGS = ("happy sad scared brave tired curious shy proud angry kind lonely surprised sleepy hungry careful").split()
VERBS = ("find share fix build climb hide paint carry catch plant open count clean draw wash").split()
DEEDS = "sing run jump swim dance read cook help learn play".split()
GENTLE = "You talk with a small child. Answer in one or two short, simple sentences."


@dataclass(frozen=True)
class Ask:
    """One thing to ask of the teacher.

    Attributes:
        kind: one of `KINDS`.
        turns: what was said so far, (role, text) each; the last is the user's.
        opening: how the answer begins; the teacher goes on from there.
        answers: how many answers the conversation is to have in the end; 1 for the other kinds.
        seed: of what is asked next.
    """

    kind: str
    turns: tuple[tuple[str, str], ...]
    opening: str
    answers: int = 1
    seed: int = 0

    def answered(self, answer: str) -> Ask:
        """The same, with the answer and, where one more is wanted, the next question."""
        turns = (*self.turns, ("assistant", answer))
        if sum(role == "assistant" for role, _ in turns) == self.answers:
            return replace(self, turns=turns, opening="")
        question, opening = follow_up(random.Random(f"{self.seed} {len(turns)}"))
        return replace(self, turns=(*turns, ("user", question)), opening=opening)

    @property
    def finished(self) -> bool:
        return self.turns[-1][0] == "assistant"


def ask(kind: str, seed: int) -> Ask:
    """What is asked under a seed. Raises `KeyError` for an unknown kind."""
    draw = random.Random(f"{kind} {seed}")
    return {STORY: _story, EXPLANATION: _explanation, CONVERSATION: _conversation}[kind](draw, seed)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def _story(draw: random.Random, seed: int) -> Ask:
    name, animal, thing, place, feeling, verb, deed = _words(draw)
    child = "girl" if name in GIRLS else "boy"
    other = draw.choice([another for another in NAMES if another != name])
    who = draw.choice([f"{_with_article(feeling)} little {animal} named {name}", f"a small {animal} named {name}",
                       f"{_with_article(feeling)} little {child} named {name}", f"a {child} named {name}"])
    opening = draw.choice([f"Once upon a time, there was {who}.", f"There was once {who} who lived near the {place}.",
                           f"One day, {who} went to the {place}.", f"{name} and the {animal} were best friends.",
                           f"{name} was at the {place} with {other}.", f"Once there was {who}."])
    opening += draw.choice(["", "", f" {name} had {_with_article(thing)}.", f" {name} loved to {deed}.",
                            f" {name} wanted to {verb} the {thing}.", f' "I am {feeling}," said {name}.',
                            f" One day, {name} saw {_with_article(thing)} at the {place}.",
                            f" {name} gave the {thing} to {other}. Now {other} had the {thing}."])
    return Ask(STORY, (("user", "Tell me a short story for small children."),), opening, 1, seed)


def _explanation(draw: random.Random, seed: int) -> Ask:
    name, animal, thing, place, feeling, verb, deed = _words(draw)
    matter = draw.choice(MATTERS).replace("_", " ")
    subject, opening = draw.choice([
        (f"what {matter} is", f"{matter.capitalize()} is"), (f"why we need {matter}", f"We need {matter} because"),
        (f"what {_with_article(thing)} is for", f"{_with_article(thing).capitalize()} is"),
        (f"how to {verb} {_with_article(thing)}", f"To {verb} {_with_article(thing)},"),
        (f"how {_with_article(animal)} lives", f"{_with_article(animal).capitalize()} lives"),
        (f"what {_with_article(animal)} eats", f"{_with_article(animal).capitalize()} eats"),
        (f"what people do at the {place}", f"At the {place}, people"),
        (f"why it is good to {deed}", f"It is good to {deed} because"),
        (f"what to do when you are {feeling}", f"When you are {feeling}, you can")])
    return Ask(EXPLANATION, (("user", f"Explain to a small child in a few short sentences {subject}."),), opening, 1, seed)


def _conversation(draw: random.Random, seed: int) -> Ask:
    name, animal, thing, place, feeling, verb, deed = _words(draw)
    matter = draw.choice(MATTERS).replace("_", " ")
    question, opening = draw.choice([
        (f"What is {_with_article(thing)}?", f"{_with_article(thing).capitalize()} is"),
        (f"What is {matter}?", f"{matter.capitalize()} is"),
        (f"Where does {_with_article(animal)} live?", f"{_with_article(animal).capitalize()} lives"),
        (f"What does {_with_article(animal)} eat?", f"{_with_article(animal).capitalize()} eats"),
        (f"Why do we need {matter}?", f"We need {matter} because"),
        (f"I am {feeling}. What can I do?", f"When you are {feeling}, you can"),
        (f"What can I do at the {place}?", f"At the {place}, you can"),
        (f"I have {_with_article(thing)}. What can I do with it?", "You can"),
        (f"Hello! My name is {name}.", f"Hello, {name}!"),
        (f"How can I {verb} {_with_article(thing)}?", "First, you"),
        (f"Tell me a story about {_with_article(f'{feeling} {animal}')}.",
         f"Once upon a time, there was {_with_article(f'{feeling} {animal}')}"),
        (f"Do you like to {deed}?", f"Yes, I like to {deed}"),
        (f"Can you tell me something about {animal.removesuffix('y')}{'ies' if animal.endswith('y') else 's'}?"
         if animal not in ("mouse", "wolf", "sheep", "fish") else f"Can you tell me something about the {animal}?",
         f"The {animal} is")])
    return Ask(CONVERSATION, (("system", GENTLE), ("user", question)), opening, draw.choice([2, 2, 3]), seed)


def follow_up(draw: random.Random) -> tuple[str, str]:
    """A question that can be asked after any answer, and how its answer begins."""
    name, animal, thing, place, feeling, verb, deed = _words(draw)
    return draw.choice([
        ("Thank you! What else can I do?", "You can also"), ("Why?", "Because"), ("Can you tell me more?", "Yes!"),
        ("That is nice. What happened next?", "Next,"), (f"Can I {verb} {_with_article(thing)} too?", "Yes, you can"),
        (f"Where can I find {_with_article(thing)}?", f"You can find {_with_article(thing)}"),
        (f"My friend {name} is {feeling}. What should I say?", "You can say"),
        (f"And what does {_with_article(animal)} do?", f"{_with_article(animal).capitalize()}"),
        (f"I want to {deed}. Will you help me?", "Yes, I will"), ("Is it hard?", "No, it is"),
        (f"Let us go to the {place}!", f"Yes, let us go to the {place}"), ("Thank you! Goodbye!", "Goodbye!")])


def _words(draw: random.Random) -> tuple[str, ...]:
    return tuple(draw.choice(pool) for pool in (NAMES, ANIMALS, THINGS, PLACES, FEELINGS, VERBS, DEEDS))
