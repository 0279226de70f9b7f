"""Build it yourself: small exercises from which a whole GPT-OSS comes together, checked against the one in `gptoss.model`.

`catalogue` lists them, `python -m gptoss.exercises` hands them out and checks them. A learner's code runs on the learner's
machine only, in `check`, `learner` and `together`; what the app imports reaches none of these.
"""
