"""The names that computations and charts of RoPE share. No torch here, so that charts can read them."""

# Ways to read more tokens than a model was trained on.
SCHEMES = PLAIN, INTERPOLATION, YARN, NOTEBOOK = (
    "plain RoPE", "position interpolation", "YaRN", "the notebook's blend")

FORMULA = -1  # in a column of the key's positions: scores computed from the distance alone
