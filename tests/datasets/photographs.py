"""Photographs for tests: real ones where they are at hand, else a drawn one."""

from pathlib import Path

from PIL import Image, ImageDraw

REAL = Path(__file__).parents[3] / "shared" / "data" / "imagenet"


def drawn(size=(80, 60), mode="RGB"):
    """A picture with a dark left half, a light right half and a red disc in the upper left corner."""
    picture = Image.new("RGB", size, (40, 60, 80))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((size[0] // 2, 0, *size), fill=(200, 190, 180))
    draw.ellipse((4, 4, 24, 24), fill=(250, 20, 20))
    return picture.convert(mode)


def validation_folder(folder: Path, names, wordnet_ids=None, pictures=None):
    """A mock validation folder: the named files, flat or in class folders, with drawn or given pictures in them."""
    for number, name in enumerate(names):
        target = folder / (wordnet_ids[number % len(wordnet_ids)] if wordnet_ids else "") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if pictures:
            target.write_bytes(pictures[number % len(pictures)].read_bytes())
        else:
            drawn().save(target, "JPEG")
    return folder
