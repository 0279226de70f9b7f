"""Each sentence that people say of GPT-OSS, decided by the code that decides it in the app.

The claims are spoken of a *study*, which is the app's word for a model with its dials. So these cells load the app's package
and Streamlit's with it; no app runs, and none is needed.
"""

from __future__ import annotations

import inspect

import pandas as pd

from gptoss.app.study import Study
from gptoss.app.verdicts import OPEN, decide, known
from gptoss.claims.register import BY_NAME, CLAIMS
from gptoss.lessons.claims import charts
from gptoss.take_home import show
from gptoss.take_home.here import Here


def values(here: Here) -> dict[str, object]:
    """The dials as the address spells them, and the claim that is looked at."""
    return {"dials": dict(here.query), "chosen": here.control("row", CLAIMS[0].name, tuple(BY_NAME))}


def story(dials: dict[str, str], chosen: str) -> None:
    """## All claims at once

    Those that take no measuring are decided here and now; the others stay open."""
    study, problems = Study.from_query(dials)
    found = {claim.name: known(claim, study) for claim in CLAIMS}
    verdicts = {name: verdict.verdict if verdict else OPEN for name, verdict in found.items()}
    show(charts.verdict_strip([charts.Tile(claim.name, claim.sentence, verdicts[claim.name]) for claim in CLAIMS], chosen))
    show(pd.DataFrame({"claim": claim.name, "says": claim.sentence, "verdict": verdicts[claim.name],
                       "because": found[claim.name].sentence if found[claim.name] else claim.takes} for claim in CLAIMS))

    """## One of them, and the function that decides it

    `decide(claim, study)` also measures what is still open."""
    claim = BY_NAME[chosen]
    verdict = found[chosen] or decide(claim, study)
    print(f"“{claim.sentence}” ({claim.origin}): {verdict.verdict}. {verdict.sentence}\n")
    print(inspect.getsource(claim.decided_by[0]))
