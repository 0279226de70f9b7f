"""The corpus of `storyteller`: simple English sampled from a small teacher, and a story grammar with exact entropy.

`python -m gptoss.training.stories` writes it on a machine with a GPU; `StoryCorpus` reads what it wrote.
"""
