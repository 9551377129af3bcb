"""Texts of a figure that are cut or lie on each other."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def troubles(figure):
    """A line for every text that leaves the figure or overlaps another; texts inside panels are left out."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [text for text in figure.texts if text.get_text()]
    texts += [tick for axes in figure.axes for tick in axes.get_xticklabels() if tick.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    found = []
    for i, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        if box.x0 < 0 or box.y0 < 0 or box.x1 > figure.bbox.width or box.y1 > figure.bbox.height:
            found.append(f"{text.get_text()!r} is cut")
        found += [f"{text.get_text()!r} overlaps {texts[j].get_text()!r}" for j in range(i) if box.overlaps(boxes[j])]
    return found


def all_texts(figure):
    """Every text of a figure, in one line each."""
    return [text.get_text().replace("\n", " ") for text in figure.findobj(Text) if text.get_text()]
