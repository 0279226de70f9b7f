"""Training: real models learn in front of the audience, or are replayed as they learned."""

import streamlit as st

from gptoss import units
from gptoss.app import controls, pictures, state
from gptoss.app.header import header
from gptoss.app.jobs import JOBS
from gptoss.app.lesson import Lesson, Prediction, Try, below, beside
from gptoss.app.study import Study
from gptoss.claims import register
from gptoss.lessons.training import measure
from gptoss.lessons.training.controls import plan, results, run, watching
from gptoss.training import domains
from gptoss.training.contestants import BASELINE, STUDY
from gptoss.training.routing import RouterWatch
from gptoss.training.shipped import CLASSROOM
from gptoss.training.trainer import Trainer

MATHS = r"""
**The loss** of a text $x_1 \dots x_n$ is the mean cross-entropy of each token given those before it, in nats:

$$L = -\frac1n \sum_t \ln p_\theta(x_t \mid x_{<t})$$

An even guess over a vocabulary of $V$ costs $\ln V$.

**The floor.** Where the process that wrote the text is known, so is the chance $q$ of every next token. No model can on
average do better than the entropy of that chance (Shannon 1948):

$$
L \;\ge\; H = \frac1n \sum_t \Big(-\sum_x q(x \mid x_{<t}) \ln q(x \mid x_{<t})\Big), \qquad
L - H = \frac1n\sum_t \mathrm{KL}\big(q \,\|\, p_\theta\big)
$$

**AdamW** (Loshchilov and Hutter, arXiv 1711.05101), for each parameter with gradient $g$ and learning rate $\eta$:

$$
m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) g^2, \quad
\theta \leftarrow \theta - \eta\Big(\frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda\theta\Big)
$$

with $\hat m = m/(1-\beta_1^i)$ and $\hat v = v/(1-\beta_2^i)$ in step $i$; $\lambda$ for matrices only. Before that,
gradients whose norm together is above $c$ are multiplied by $c / \lVert g \rVert$.

**The schedule.** A linear warmup of $u$ steps to the peak $\eta$, then a cosine to the share $f$ of it:

$$
\eta_i = \eta\,\frac{i+1}{u} \;\; (i < u), \qquad
\eta_i = \eta\Big(f + (1-f)\,\tfrac12\big(1 + \cos \pi\,\tfrac{i+1-u}{n-u}\big)\Big) \;\; (i \ge u)
$$

**The balancing loss** (Fedus et al., arXiv 2101.03961), with $f_e$ the share of the choices that expert $e$ of $E$ got and
$P_e$ its mean probability: $\;E\sum_e f_e P_e$ is 1 for an even load, and larger for any other that follows its
probabilities. A small multiple of it is added to $L$.
"""


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
    with pictures.main():
        pictures.show_chart(live or run.losses(study, view, domain), key="training_losses",
                            words=watching.about(theirs) if live else run.about(study, view))
    if view and not view.unfinished and not theirs:
        run.say_how_far(view)
    watching.say(view, theirs)


def because(_: float) -> str:
    """What the rise of the best induction head goes with."""
    rise, fall = measure.induction_rise(CLASSROOM), measure.steepest(*measure.shipped_curve(CLASSROOM, domains.REPETITION))
    return (f"Between steps {rise.before:,} and {rise.after:,} the best score goes from {rise.low:.2f} to {rise.high:.2f}. "
            f"The loss on repetition falls fastest between steps {fall[0]:,} and {fall[1]:,}: to repeat a string, a model "
            "has to find where it stood. Replay shows both.")


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
    """Experiments: routers left alone, a rate too high, and one skill alone."""
    shares = {f"share_{domain}": 100 * (domain == domains.ARITHMETIC) for domain in plan.DOMAINS}
    return [
        Try("Leave the routers alone", "The same model with and without the balancing loss. Press Train, and open "
            "*Expert load*: which bands stay narrow?", preset=CLASSROOM, controls=plan.moved(who=[STUDY, "unbalanced"])),
        Try("Learn too fast", "A learning rate of 10, thousands of times the usual one. Press Train, and see how the run "
            "ends, and which weights are kept.", preset=CLASSROOM,
            controls=plan.moved(who=[STUDY], peak=10.0, warmup=50, clip=1000.0)),
        Try("One skill alone", "Only arithmetic, for GPT-OSS and GPT-2. Draw your curve first: who comes nearer to the "
            "floor?", preset=CLASSROOM, controls=plan.moved(who=[STUDY, BASELINE], **shares)),
    ]


def lesson() -> Lesson:
    """The lesson. Its figures come from the shipped runs, which do not change with the model under study."""
    asked = Prediction(
        f"The shipped classroom model trained for {measure.shipped_standing(CLASSROOM).at:,} steps. An induction head looks "
        "at the token after the last place where the present one stood. At about which step did its best head's score rise "
        "fastest?", answer=lambda: measure.induction_rise(CLASSROOM).after, because=because, unit="steps", tolerance=0.25,
        show="{:,.0f}".format)
    return Lesson(path="training", maths=MATHS, prediction=asked, tries=tries(), code=[Trainer, domains, RouterWatch],
                  claims=register.of_page("training"), checks=how_we_know)


header("training")
study = state.study().trainable
own = run.current()
theirs = watching.watched(own)
pace = watching.pace(own, theirs)
st.fragment(picture, run_every=pace)(study, pace)
beside(lesson(), st.container())  # not inside what looks again by itself
if pace is None:
    st.fragment(watching.wait, run_every=watching.IDLE)(JOBS.going_on())
own_pace = run.pace(own)
st.fragment(results.results, run_every=3 * own_pace if own_pace else None)(theirs)
below(lesson())
