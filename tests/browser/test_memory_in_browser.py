"""Memory and compute in a real browser: an operator by click and by key, the sidebar that steers, a measurement stopped."""

from chromium_reader import PATIENCE, PHONE, assert_fits, at_rest, expect_address, press, settle, slider
from playwright.sync_api import expect

from gptoss.charts import palette

# The middle of what is painted in one colour in the lower half of a chart: no legend stands there.
MIDDLE_OF = """(chart, [red, green, blue]) => {
    const canvas = chart.querySelector('canvas'), box = canvas.getBoundingClientRect()
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
    let count = 0, across = 0, down = 0
    for (let y = canvas.height >> 1; y < canvas.height; y++) for (let x = 0; x < canvas.width; x++) {
        const at = 4 * (y * canvas.width + x)
        const off = Math.abs(pixels[at] - red) + Math.abs(pixels[at + 1] - green) + Math.abs(pixels[at + 2] - blue)
        if (pixels[at + 3] > 150 && off < 12) { count++; across += x; down += y }
    }
    return [box.x + across / count * box.width / canvas.width, box.y + down / count * box.height / canvas.height]
}"""


def choice(page, group: str, name: str):
    return page.get_by_role("radiogroup", name=group, exact=True).get_by_role("radio", name=name, exact=True)


def test_a_click_on_the_roofline_works_the_operator_out_and_so_do_keys(visits):
    page = visits.open("/memory", memory_view="Roofline")
    chart = page.get_by_test_id("stVegaLiteChart").first
    expect(chart.locator("canvas")).to_be_visible()
    expect(page.get_by_text("rows of mlp1").first).to_be_visible()
    settle(page)
    page.mouse.click(*chart.evaluate(MIDDLE_OF, palette.rgb(palette.PARTS["unembedding"])))
    expect_address(page, memory_operator="unembedding")
    expect(page.get_by_text("201,088 vocabulary").first).to_be_visible()
    choice(page, "Phase", "prefill").click()
    expect_address(page, memory_phase="prefill", memory_operator="unembedding")
    choice(page, "Operator", "qkv").press("Enter")
    expect_address(page, memory_operator="qkv")
    expect(page.get_by_text("1,024 tokens × 2,880 hidden size × 5,120 rows of qkv").first).to_be_visible()


def test_the_batch_is_moved_by_keys_and_stands_in_the_address(visits):
    page = visits.open("/memory")
    expect(slider(page, "Batch (sequences)")).to_be_visible()
    press(page, "Batch (sequences)", "End")
    expect_address(page, memory_batch="512")
    expect(page.get_by_text("the weights and 512 users at once").first).to_be_visible()


def test_an_address_restores_model_view_and_load(visits):
    page = visits.open("/memory", memory_view="KV cache", memory_model="gpt-oss-120b", memory_batch="16",
                       memory_context="4,096")
    expect(page.get_by_text("KV cache of 16 sequences of 4,096 tokens")).to_be_visible()
    expect(page.get_by_text("gpt-oss-120b, 116.83 B parameters").first).to_be_visible()


def test_a_measurement_runs_behind_the_page_and_can_be_stopped(visits):
    page = visits.open("/memory", memory_view="Measured here")
    page.get_by_role("button", name="Measure this machine").click()
    expect(page.get_by_role("progressbar").first).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("button", name="Measure this machine")).to_be_visible(timeout=2 * PATIENCE)


def test_a_phone_shows_every_view_in_one_column(visits):
    page = visits.open("/memory", PHONE)
    for view in ("KV cache", "Roofline", "Speed", "Measured here"):
        choice(page, "View", view).click()
        expect_address(page, memory_view=view)
        at_rest(page)
        settle(page)
        assert_fits(page)
