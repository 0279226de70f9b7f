"""How the shipped models learned, and a real training of your own: the same loop, data and schedule as on the page."""

from __future__ import annotations

from dataclasses import replace

from gptoss.config import ModelConfig
from gptoss.lessons.training import measure
from gptoss.lessons.training.charts import curves
from gptoss.take_home import show
from gptoss.take_home.here import Here
from gptoss.training.contest import Contest, Plan
from gptoss.training.contestants import BASELINE, contestants
from gptoss.training.corpus import OWN, Mixture
from gptoss.training.recipe import Recipe
from gptoss.training.shipped import shipped


def values(here: Here) -> dict[str, object]:
    """Who is trained on what, and how. A first run is short: set `steps` to the page's own, and wait some minutes."""
    chosen = {name: here.control(name, default) for name, default in measure.DEFAULTS.items()}
    shares = {name.removeprefix("share_"): value for name, value in chosen.items() if name.startswith("share_")}
    whole, possible = chosen["steps"], contestants(here.live)
    own_text = here.control("text", "") if chosen["source"] == measure.TEXT else ""
    return {"who": [name for name in chosen["who"] if name in possible] or [*possible][:1], "sinks": here.sinks,
            "shares": shares if any(shares.values()) else dict.fromkeys(shares, 1), "own_text": own_text,
            "steps": min(whole, measure.SHORT_RUN), "steps_on_the_page": whole,
            **{name: chosen[name] for name in ("batch", "accumulation", "peak", "warmup", "floor", "clip", "balance",
                                               "precision")}, "first_seed": chosen["seed"]}


def story(live: ModelConfig, who: list[str], sinks: bool, shares: dict[str, float], own_text: str, steps: int,
          steps_on_the_page: int, batch: int, accumulation: int, peak: float, warmup: int, floor: float, clip: float,
          balance: float, precision: str, first_seed: int) -> None:
    """## As the shipped models learned

    The recorded runs: loss by domain against its floor, the load of the experts, and answers by distance."""
    recorded = [measure.shipped_standing(name) for name in measure.SHOWN]
    longest = max(standing.at for standing in recorded)
    show(curves.loss_chart(measure.loss_rows(recorded), measure.shipped_floors(measure.SHOWN[0]), steps=longest))
    show(curves.load_chart(measure.load_rows(recorded[:1])))
    show(curves.recall_chart(measure.answer_rows({standing.contestant.title: shipped()[name].measured()
                                                  for name, standing in zip(measure.SHOWN, recorded, strict=True)})))

    """## A training of your own

    Who learns, from which documents, and by which schedule. On the page this run has `steps_on_the_page` steps; set
    `steps` to as many for the whole of it. A file that was read in there, and a pinned model, do not come along."""
    everyone = contestants(live)
    models = [replace(everyone[name], sinks=everyone[name].sinks and (sinks or name == BASELINE)) for name in who]
    recipe = Recipe(steps=steps, batch=batch, length=measure.LENGTH, accumulation=accumulation, peak=peak,
                    warmup=min(warmup, steps), floor=floor, clip=clip, balance=balance, precision=precision, seed=first_seed)
    mixture = Mixture.of({OWN: 1} if own_text else shares)
    plan = Plan(tuple(models), recipe, mixture, own_text)
    contest = Contest(plan, plan.corpus())

    """All models take each step on the same documents. Validation documents are read as the models were before the first
    step, and at the end; with `look` after each step the curve has a point every `plan.paced.evaluate_every` steps."""
    while not contest.done:
        contest.step()
    contest.look()
    standings = [runner.standing for runner in contest.runners]

    """## What was learned"""
    for standing in standings:
        print(f"{standing.contestant.title}: {standing.steps[0].loss:.3f} nats a token at first, "
              f"{standing.steps[-1].loss:.3f} after {standing.at} steps. {standing.trouble}")
    show(curves.loss_chart(measure.loss_rows(standings), contest.floors, steps=steps))
    show(curves.rate_chart(measure.step_rows(standings, "rate")))
    show(curves.gradient_chart(measure.step_rows(standings, "gradient"), recipe.clip))
