"""Training: real models learn in front of the audience, or are replayed as they learned."""

import math

import streamlit as st

from gptoss import units
from gptoss.app import controls, pictures, state
from gptoss.app.glossary import word
from gptoss.app.header import Opening, header
from gptoss.app.jobs import JOBS
from gptoss.app.lesson import Lesson, Prediction, Try, answered, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.cost.schedule import LEARNING_RATE
from gptoss.lessons.training import measure
from gptoss.lessons.training.controls import plan, results, run, watching
from gptoss.notation import with_numbers
from gptoss.training import domains
from gptoss.training.contestants import BASELINE, STUDY
from gptoss.training.routing import RouterWatch
from gptoss.training.shipped import CLASSROOM
from gptoss.training.trainer import Trainer

OPENING = Opening(
    problem="A model starts with random numbers and takes every token for equally likely. Nobody could set millions of "
            "numbers by hand.",
    idea=f"It guesses each next token of a text. The {word('loss')} says, in {word('nat', 'nats')}, how surprised it was: "
         "0 if sure and right. Each step moves all weights a little to lower it.",
    chosen=f"OpenAI has published neither data nor schedule. Here small models of its kind learn in a minute, with a "
           f"{word('load balance')} asked of their routers, beside a GPT-2.")

LOSS = r"""
**The loss** of a text of $n$ tokens is the mean cross-entropy of each token $v_i$ given those before it, in nats:

$$\mathcal L = -\frac1n \sum_i \ln p(v_i \mid v_{<i})$$

A token that was given probability 1 costs 0 nats, one that was given a half $\ln 2$. An even guess over a vocabulary of $V$
costs $\ln V$.
"""

FLOOR = r"""
**The floor.** Where the process that wrote the text is known, so is the true chance $p^\ast$ of every next token. No model
can on average do better than the entropy of that chance (Shannon 1948):

$$\mathcal L \;\ge\; \mathcal H = \frac1n \sum_i \Big(-\sum_v p^\ast(v \mid v_{<i}) \ln p^\ast(v \mid v_{<i})\Big)$$
"""

ADAMW = r"""
**AdamW** (Loshchilov and Hutter, arXiv 1711.05101) keeps for each weight two running means, of its gradient $\mathbf g$ and
of the gradient's square. With learning rate $\eta$ a step takes off

$$
\eta\left(\frac{\overline{\mathbf g}}{\sqrt{\overline{\mathbf g^2}} + \varepsilon}
+ \text{decay} \cdot \text{weight}\right)
$$

with decay for matrices only. Before that, gradients whose norm together is above a bound are cut to it.
"""

SCHEDULE = r"""
**The schedule.** A linear warmup to the peak of $\eta$, then a cosine down to a share of it, the floor of the rate:

""" + LEARNING_RATE

BALANCE = r"""
**The balancing loss** (Fedus et al., arXiv 2101.03961) multiplies for each expert $e$ of $E$ the share of the choices that
it got with its mean probability $\overline{p_e}$:

$$E \sum_e \text{share}_e \cdot \overline{p_e}$$

It is 1 for an even load, and larger for any other that follows its probabilities. A small multiple is added to $\mathcal L$.
"""


def maths(study: Study) -> str:
    """The formulas, with the numbers of the model under study, of the plan and of the shipped run."""
    config, peak, warmup = study.live_config, plan.value("peak"), plan.value("warmup")
    floors = measure.shipped_floors(CLASSROOM)
    rise = f"η rises by {units.number(peak / warmup)} with each of {warmup} steps to {units.number(peak)}" if warmup else (
        f"η begins at {units.number(peak)}")
    return with_numbers(
        (LOSS, f"ln {config.vocab_size:,} = {math.log(config.vocab_size):.2f} nats for an even guess of {study.name}."),
        (FLOOR, f"a number of arithmetic can be any of dozens, but a sum is known: {floors[domains.ARITHMETIC]:.2f} nats a "
                f"token in all, against {floors[domains.REPETITION]:.2f} of repetition."),
        (ADAMW, f"gradients are cut to a norm of {units.number(plan.value('clip'))}."),
        (SCHEDULE, f"{rise}, and falls to {units.number(plan.value('floor') * peak)} at step {plan.value('steps'):,}."),
        (BALANCE, f"E = {config.num_experts}, and {units.number(plan.value('balance'))} of it is added."))


def picture(study: Study, pace: float | None) -> None:
    """The run to be planned or steered, how far it is, and its losses. Looks again by itself while something moves."""
    view = run.current()
    theirs = watching.watched(view)
    if watching.pace(view, theirs) != pace:
        st.rerun()  # the whole page: whether and how often it looks again is decided there
    with controls.row():
        run.steer(study, view)
        domain = run.choose_domain((theirs or view).domains if theirs or view else [*measure.shipped_floors(CLASSROOM)])
    run.say_troubles(view)
    live = watching.losses(theirs, domain) if theirs else None
    hidden = "" if answered("training", question()) else domains.REPETITION
    with pictures.main():
        pictures.show_chart(live or run.losses(study, view, domain, hidden), key="training_losses",
                            words=watching.about(theirs) if live else run.about(study, view))
    if view and not view.unfinished and not theirs:
        run.say_how_far(view)
        run.say_score(view)
    watching.say(view, theirs)


def because(_: str) -> str:
    """What the fall goes with."""
    rise, fall = measure.induction_rise(CLASSROOM), measure.steepest(*measure.shipped_curve(CLASSROOM, domains.REPETITION))
    return (f"The loss on repetition falls fastest between steps {fall[0]:,} and {fall[1]:,}, when the words are learned. "
            f"Between steps {rise.before:,} and {rise.after:,} the score of the best induction head goes from "
            f"{rise.low:.2f} to {rise.high:.2f}: to repeat a line, a model has to find where its last word stood, and until "
            "a head does that, more steps bring nothing. Replay shows both.")


def question() -> Prediction:
    """How a loss falls that needs a skill of its own. Its curves are hidden until the reader has said it."""
    words = math.log(domains.WORDS)
    return Prediction(
        "In the domain *repetition* every line of random words is written twice, and the picture hides its curve. Five "
        "other losses fall as you see. How does this one fall?", choices=measure.SHAPES, hides=True, because=because,
        answer=lambda: measure.shape_of(measure.shipped_curve(CLASSROOM, domains.REPETITION)[1],
                                        measure.shipped_floors(CLASSROOM)[domains.REPETITION]),
        mistakes={
            measure.AT_ONCE: "Which words there are is learned at once, and that is the first fall. Which of them comes "
                             "again has to be looked up in the text.",
            measure.EVENLY: "A skill need not come little by little: half a way of looking back is no better than none.",
            measure.HARDLY: f"The first time nobody can know a word: it costs ln {domains.WORDS} = {words:.2f} nats. But "
                            "the second time the line is known.",
            measure.IN_STAGES: "Here there is no plateau."})


def how_we_know() -> None:
    """Floors, and a run interrupted against one that was not, at this moment."""
    difference, steps = results.interrupted(plan.LENGTH)
    gap, name, domain = measure.nearest_to_a_floor()
    st.markdown(
        f"- **The floor is exact**: it is the entropy of the very process that wrote the texts, token by token, not an "
        f"estimate from data. Which 256 documents are drawn moves its mean by at most "
        f"{measure.spread_of_floors(plan.LENGTH):.3f} nats.\n"
        f"- **Nobody is below it**: of all shipped models and domains, {name} comes nearest on {domain}: "
        f"{units.signed(gap, units.fixed, 3)} nats from the floor.\n"
        f"- **A pause changes nothing**: a small model was just trained for {steps} steps, once in one go and once written "
        f"down and read back halfway. The largest difference between their losses is **{units.number(difference)}**.\n\n"
        "The tests compare each entropy with the process's own chances, the balancing loss and the schedule with their "
        "formulas, and losses of several processes with those of one. Shuffled labels are not learned.")


def tries() -> list[Try]:
    """Experiments: routers left alone, a rate too high, and one skill alone. Each sets a run, which Train begins."""
    shares = {f"share_{domain}": 100 * (domain == domains.ARITHMETIC) for domain in plan.DOMAINS}
    return [
        Try("Leave the routers alone", "This chooses the same model with and without the balancing loss. Press Train, and "
                                       "open "
            "*Expert load*: bands that stay wide are loads that stay uneven.", preset=CLASSROOM,
            controls=plan.moved(who=[STUDY, "unbalanced"]), check=lambda seen: plan.is_set(seen, "unbalanced")),
        Try("Learn too fast", "This sets a peak learning rate of 10, more than a thousand times the usual one. Press "
                              "Train, and "
            "see how the run ends, and which weights are kept.", preset=CLASSROOM,
            controls=plan.moved(who=[STUDY], peak=10.0, warmup=50, clip=1000.0),
            check=lambda seen: seen.controls[plan.key("peak")] > 1000 * plan.DEFAULTS["peak"]),
        Try("One skill alone", "This leaves only arithmetic to learn, for GPT-OSS and GPT-2. Draw your curve first, then "
                               "press Train: who "
            "comes nearer to the floor?", preset=CLASSROOM, controls=plan.moved(who=[STUDY, BASELINE], **shares),
            check=lambda seen: plan.is_set(seen, BASELINE) and plan.shares_set(seen) == {domains.ARITHMETIC}),
    ]


def lesson(study: Study) -> Lesson:
    """What is asked, tried and explained. The question's answer comes from the shipped run, whatever is under study."""
    return Lesson(path="training", maths=maths(study), prediction=question(), tries=tries(),
                  code=[Trainer, domains, RouterWatch], claims=register.of_page("training"), checks=how_we_know)


header("training", OPENING)
study = state.study().in_classroom
own = run.current()
theirs = watching.watched(own)
pace = watching.pace(own, theirs)
st.fragment(picture, run_every=pace)(study, pace)
beside(lesson(study), st.container())  # not inside what looks again by itself
if pace is None:
    st.fragment(watching.wait, run_every=watching.IDLE)(JOBS.going_on())
own_pace = run.pace(own)
st.fragment(results.results, run_every=3 * own_pace if own_pace else None)(
    theirs, answered("training", question()))
below(lesson(study))
