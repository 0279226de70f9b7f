"""A page to take home: a notebook and a script that rebuild the model, the text and the pictures without the app."""

from gptoss.take_home.show import show

__all__ = ["show"]
