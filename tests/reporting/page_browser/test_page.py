"""The report page in a real browser: what a reader does with it, and what it must never do."""

import re

import pytest

from tests.reporting.page_browser.report_data import HOSTILE, IMAGES, METHODS, values


def test_page_is_silent_and_asks_for_nothing_but_itself(opened):
    report = opened()
    assert report.said == []
    assert {address.split("#")[0] for address in report.requests} <= {report.page.url.split("#")[0]}
    assert report.page.url.startswith("file://")


def test_requests_are_forbidden_by_the_page_itself(opened):
    report = opened()
    page = report.page
    page.add_script_tag(
        content="addEventListener('securitypolicyviolation', event => { window.refused = event.blockedURI; }, {once: true})"
    )
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'file:///nowhere.png', id: 'stranger'}))")
    page.wait_for_function("window.refused")
    page.evaluate("document.getElementById('stranger').remove()")
    report.said.clear()
    report.requests.clear()


def test_ranking_shows_mean_interval_and_who_is_tied(opened):
    page = opened().page
    rows = page.locator("[data-score=A_box] tbody tr")
    mean = sum(values("cdam", "A_box")) / IMAGES
    assert rows.first.locator("th").text_content() == "CDAM, not told apart from the best"
    assert rows.first.locator("td").last.text_content() == f"{mean:.1f} [{mean - 1:.1f}, {mean + 1:.1f}]"
    filled = [row.locator(".dot.filled").count() for row in rows.all()]
    assert filled == [1, 1, 0]


def test_intervals_are_drawn_to_scale(opened):
    """The three means are 12, 5 and 4: the distances of the dots go as 7 to 1; a bar of ±1 is as long as twice the shorter."""
    page = opened().page
    row = page.locator("[data-score=A_box] tbody tr")
    centres = [(box := row.nth(at).locator(".dot").bounding_box())["x"] + box["width"] / 2 for at in range(3)]
    assert (centres[0] - centres[1]) / (centres[1] - centres[2]) == pytest.approx(7, rel=0.05)
    bar = row.first.locator(".bar-of-interval").bounding_box()["width"]
    assert bar / (centres[1] - centres[2]) == pytest.approx(2, rel=0.05)


def test_tables_set_the_papers_number_and_the_difference_beside_ours(opened):
    cells = opened().page.locator("[data-table=correctness] tbody tr").first.locator("td").all_inner_texts()
    assert cells[:3] == ["12.0 [11.0, 13.0]", "−1.5", "+2.5"]


def test_heading_of_a_table_sorts_it_and_turns_the_order_round(opened):
    page = opened().page
    button = page.locator("[data-table=correctness] button.sort").first
    rows = page.locator("[data-table=correctness] tbody tr")
    button.click()
    assert rows.evaluate_all("rows => rows.map(row => row.dataset.method)") == ["cdam", "gradcam", "random"]
    button.click()
    assert rows.evaluate_all("rows => rows.map(row => row.dataset.method)") == ["random", "gradcam", "cdam"]


def lines(page) -> int:
    """Lines in the first panel of the curves."""
    return page.locator("[data-curve=fidelity] .panel").first.locator(".mark-line path").count()


def test_a_method_and_a_family_are_switched_off_and_on(opened):
    page = opened().page
    assert lines(page) == len(METHODS)
    aside = page.locator("#curves aside")
    aside.get_by_label("GradCAM").uncheck()
    page.wait_for_function(
        "document.querySelectorAll('[data-curve=fidelity] .panel:first-child .mark-line path').length === 2"
    )
    assert page.locator("table.gallery thead th").all_inner_texts() == ["Image", "CDAM", "Random"]
    assert "off=gradcam" in page.url
    assert not aside.get_by_label("Gradients").is_checked()
    aside.get_by_label("Gradients").check()
    page.wait_for_function(
        "document.querySelectorAll('[data-curve=fidelity] .panel:first-child .mark-line path').length === 3"
    )


def test_the_address_restores_what_was_chosen(opened):
    page = opened(chosen="comparison=mosaics%2Fvit&off=cdam&map=1&sort=best&of=gradcam").page
    assert page.locator("#headline .body p").first.inner_text().startswith("3 methods, 5 images of mosaics.")
    assert lines(page) == 2
    assert page.locator("[data-key=map] [aria-pressed=true]").inner_text() == "The other class’s map"
    assert page.locator("#gallery tr.case").first.get_attribute("data-image") == "00000"


def test_another_comparison_takes_the_place_of_the_first(opened):
    page = opened().page
    page.get_by_label("Comparison").select_option("mosaics/vit")
    assert page.locator("#headline .body p").first.inner_text().startswith("3 methods, 5 images of mosaics.")
    assert page.locator("#ranking .panel").count() == 3


def test_sections_with_nothing_to_say_are_hidden(opened):
    page = opened(chosen="comparison=mosaics%2Fvit").page
    assert not page.locator("#agreement").is_visible()
    assert "Agreement" not in page.locator("#contents").inner_text()
    assert opened().page.locator("#agreement").is_visible()


def test_numbers_that_are_not_the_papers_are_named(opened):
    page = opened(chosen="comparison=mosaics%2Fvit").page
    cells = page.get_by_role("region", name="The paper’s numbers beside ours").locator("tbody tr td").all_inner_texts()
    assert cells == ["Abox", "−1.5", "12.0 [11.0, 13.0]", "+13.5", "0.250", "< 0.001", "no", "the blur (σ)"]


def images(page) -> list[str]:
    """Names of the gallery's rows, in order."""
    return page.locator("#gallery tr.case").evaluate_all("rows => rows.map(row => row.dataset.image)")


def test_gallery_is_sorted_by_a_score_of_a_method(opened):
    page = opened().page
    assert images(page) == ["00000", "00001", "00002", "00003", "00004"]
    order, method, score = (page.locator(f"#gallery [data-key={key}] select") for key in ("sort", "of", "by"))
    order.select_option("best")
    method.select_option("cdam")
    assert images(page) == ["00004", "00003", "00002", "00001", "00000"]
    order.select_option("worst")
    assert images(page) == ["00000", "00001", "00002", "00003", "00004"]
    score.select_option("A_MIF")  # lower is better, and the values are the negatives
    assert images(page) == ["00000", "00001", "00002", "00003", "00004"]
    method.select_option("gradcam")
    assert images(page) == ["00004", "00003", "00002", "00001", "00000"]


def test_gallery_begins_with_the_largest_disagreement_of_two_methods(opened):
    page = opened(chosen="sort=disagreement&of=cdam&against=gradcam").page
    apart = [abs(one - other) for one, other in zip(values("cdam", "A_box"), values("gradcam", "A_box"), strict=True)]
    expected = sorted(range(IMAGES), key=lambda image: -apart[image])
    assert images(page) == [f"{image:05d}" for image in expected]


def test_maps_are_reached_enlarged_and_left_by_keyboard(opened):
    page = opened().page
    page.locator("#gallery [data-at='0,0']").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.at") == "1,2"
    page.keyboard.press("Enter")
    dialog = page.locator("#enlarged")
    assert dialog.locator("h2").inner_text() == "GradCAM: cat"
    assert "Image 00001" in dialog.inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert dialog.locator("h2").inner_text() == "Random: cat"
    assert "Image 00002" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.dataset.at") == "2,3"


def test_one_map_of_the_gallery_takes_part_in_the_tab_order(opened):
    assert opened().page.locator("#gallery .map[tabindex='0']").count() == 1


def test_every_control_shows_where_the_focus_is(opened):
    page = opened().page
    outlines = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        outlines.add(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
    assert outlines == {"solid"}


def test_pointer_on_a_curve_reads_its_value(opened):
    page = opened().page
    chart = page.locator("[data-curve=fidelity] svg").first
    chart.scroll_into_view_if_needed()
    box = page.locator("[data-curve=fidelity] .mark-symbol path").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    assert tip.locator("strong").inner_text() == "CDAM"
    assert tip.locator("dd").all_inner_texts() == ["0.000", "8.00 [7.50, 8.50]"]


def test_pointer_on_the_scatter_shows_the_picture(opened):
    page = opened(chosen="xm=gradcam&ym=cdam").page
    page.locator("#scatter svg").scroll_into_view_if_needed()
    box = page.locator("#scatter .mark-symbol path").nth(1).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator("#tip img").wait_for(state="visible")
    assert page.locator("#tip dd").all_inner_texts() == [
        f"{values(method, 'A_box')[1]:.2f}" for method in ("gradcam", "cdam")
    ]
    assert "rank correlation −1.00" in page.locator("#scatter .body").inner_text()


def test_other_class_and_values_as_a_table(opened):
    page = opened().page
    page.get_by_role("button", name="The other class’s map").click()
    assert "the other class’s map" in page.locator("[data-curve=fidelity] h3").inner_text()
    page.locator("[data-curve=fidelity] .values summary").click()
    assert "8.00" in page.locator("[data-curve=fidelity] .values table").inner_text()


@pytest.mark.parametrize("name", ["plain", "hostile"])
def test_nothing_is_wider_than_a_telephone(opened, name):
    page = opened(name, width=390).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2) of `rgb(r, g, b)`."""
    linear = [
        (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
        for c in (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


STYLE_OF = "([selector, key]) => getComputedStyle(document.querySelector(selector))[key]"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_page(opened, scheme):
    """WCAG AA: a contrast of 4.5."""
    page = opened(scheme=scheme).page
    paper = luminance(page.evaluate(STYLE_OF, ["body", "backgroundColor"]))
    assert (paper < 0.05) is (scheme == "dark")
    for selector in ("body", ".small.muted", "#contents a", ".interval", "#curves summary"):
        own = luminance(page.evaluate(STYLE_OF, [selector, "color"]))
        assert (max(own, paper) + 0.05) / (min(own, paper) + 0.05) >= 4.5, selector


def test_button_turns_the_page_dark_and_the_charts_follow(opened):
    page = opened().page
    axis = ["#cost .role-axis text", "fill"]
    before = page.evaluate(STYLE_OF, ["body", "backgroundColor"]), page.evaluate(STYLE_OF, axis)
    page.get_by_role("button", name="Switch to dark colours").click()
    after = page.evaluate(STYLE_OF, ["body", "backgroundColor"]), page.evaluate(STYLE_OF, axis)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_print_is_light_and_without_controls(opened):
    page = opened(scheme="dark").page
    page.emulate_media(media="print")
    assert luminance(page.evaluate(STYLE_OF, ["body", "backgroundColor"])) > 0.9
    controls = "document.querySelectorAll('.bar, select, input, button:not(.map):not(.sort), aside')"
    assert page.evaluate(f"[...{controls}].filter(control => control.checkVisibility()).length") == 0
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every(box => box.clientHeight >= box.scrollHeight - 1)"
    )


def test_script_in_names_stays_text(opened):
    report = opened("hostile")
    page = report.page
    page.locator("#gallery .map").nth(1).click()
    assert page.evaluate("window.stolen") is None
    assert page.locator("main script, main img[src=x], dialog script, dialog img[src=x]").count() == 0
    for place in ("#title", "#headline .body", "table.gallery", "#enlarged", "#notes", "#ranking"):
        assert HOSTILE in page.locator(place).text_content(), place
    assert report.said == []
    assert all(address.startswith("file://") for address in report.requests)
