"""Settings of the whole test set."""

import torch
from hypothesis import settings

torch.set_num_threads(1)  # the models are tiny: a second thread costs more than it gives

# The first example pays for imports and warm-up, so no example has a deadline.
settings.register_profile("gptoss", deadline=None, max_examples=25)
settings.load_profile("gptoss")
