"""Pictures of models and their inner life: arrays and tables in, Vega-Lite specifications, images and SVG out.

Nothing here knows of streamlit or torch. Every chart function returns a `Chart` whose specification is built once
and constant from data to data, so that a browser which already shows it only swaps the data.
"""

from gptoss.charts.accounting import flops_area, kv_cache_lines, parameters_by_part
from gptoss.charts.chart import Chart
from gptoss.charts.chips import token_chips
from gptoss.charts.experts import expert_load, routing_map
from gptoss.charts.head_map import head_map
from gptoss.charts.images import Picture, head_grid, tensor_picture
from gptoss.charts.labels import visible_token
from gptoss.charts.prediction import next_token

__all__ = [
    "Chart", "Picture", "expert_load", "flops_area", "head_grid", "head_map",
    "kv_cache_lines", "next_token", "parameters_by_part", "routing_map", "tensor_picture", "token_chips",
    "visible_token",
]
