"""AdamW (Loshchilov and Hutter, arXiv 1711.05101) by torch's fused kernel, without torch's own optimizer around it.

That one imports torch's compiler and sympy at its first call: 800 modules, 70 MB of a server's memory, and 2 s in which the
first run of a server would not have begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

EPSILON = 1e-8


class AdamW:
    """What `torch.optim.AdamW(groups, fused=True)` is, as far as a run needs it, and equal to it bit for bit.

    Attributes:
        param_groups: their parameters (`params`), `weight_decay` and the learning rate `lr`, which may be set at any time.
        state: by parameter, once it had a gradient: running means of it and of its square, and the steps that it took.
    """

    def __init__(self, groups: Sequence[dict], lr: float, betas: tuple[float, float]):
        self.param_groups = [{**group, "lr": lr} for group in groups]
        self.betas = betas
        self.state: dict[nn.Parameter, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            learning = [parameter for parameter in group["params"] if parameter.grad is not None]
            states = [self._state_of(parameter) for parameter in learning]
            means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
            adamw(learning, [parameter.grad for parameter in learning], means, squares, [], steps, fused=True, amsgrad=False,
                  beta1=self.betas[0], beta2=self.betas[1], lr=group["lr"], weight_decay=group["weight_decay"],
                  eps=EPSILON, maximize=False)

    def zero_grad(self) -> None:
        """Let go of all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, dict[int, dict[str, Tensor]]]:
        """The state by the number of its parameter, all groups in order."""
        numbered = enumerate(self._parameters)
        return {"state": {number: self.state[parameter] for number, parameter in numbered if parameter in self.state}}

    def load_state_dict(self, saved: Mapping[str, Mapping[int, Mapping[str, Tensor]]]) -> None:
        """Go on from what `state_dict` gave."""
        parameters = self._parameters
        self.state = {parameters[number]: {name: value.to(parameters[number].device) for name, value in state.items()}
                      for number, state in saved["state"].items()}

    @property
    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _state_of(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """Of a parameter that has none, a new one."""
        if parameter not in self.state:
            self.state[parameter] = {"step": torch.zeros((), dtype=torch.float32, device=parameter.device)} | {
                name: torch.zeros_like(parameter, memory_format=torch.preserve_format) for name in ("exp_avg", "exp_avg_sq")}
        return self.state[parameter]
