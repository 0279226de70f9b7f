"""Start: what GPT-OSS is, why it matters, three doors, and the architecture as a drawing whose parts lead to their pages."""

from gptoss.app import stage, state
from gptoss.app.controls import row
from gptoss.app.header import header
from gptoss.app.pictures import main, show_drawing
from gptoss.lessons.start import controls

header("start")
if not stage.on():
    controls.doors()
with row():
    drawn = controls.model_drawn(state.study())
with main():
    show_drawing(controls.drawing(*drawn))
if not stage.on():
    controls.pages()
