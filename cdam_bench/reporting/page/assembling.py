"""One file: the template with its styles, scripts, charting library and data inside, so that nothing is fetched."""

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

import vl_convert
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

PAGE = files("cdam_bench.reporting.page")
WEB, LICENCE = PAGE.joinpath("web"), PAGE.joinpath("vega_licence.txt")
GLOBALS = "window.vega = vega; window.vegaLite = vegaLite; window.vegaEmbed = vegaEmbed;"
TEMPLATE = "index.html.j2"
# a script's element ends at the first </script, and <!-- changes how it is read; JSON may write any character as its number
ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def page_html(report: dict[str, Any]) -> str:
    """The whole page.

    Args:
        report: from `page_values`; whatever users wrote is text in it, and stays text.
    """
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_text(TEMPLATE))
    return template.render(
        title=report["title"],
        version=report["version"],
        data=Markup(json_text(report)),
        styles=Markup(_joined(".css")),
        scripts=Markup(_joined(".js")),
        charts=Markup(charting_library()),
    )


def json_text(values: Any) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(ESCAPES)


@lru_cache
def charting_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one module that sets window.vegaEmbed, under the licence that it comes with."""
    return f"/*!\n{LICENCE.read_text(encoding='utf-8')}*/\n{vl_convert.javascript_bundle(GLOBALS)}"


def _joined(extension: str) -> str:
    """All files of a kind, in the order of their names."""
    names = sorted(file.name for file in WEB.iterdir() if file.name.endswith(extension))
    return "\n".join(map(_text, names))


def _text(name: str) -> str:
    return WEB.joinpath(name).read_text(encoding="utf-8")
