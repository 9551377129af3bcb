"""A desk with the digits network, and its page served on this machine."""

import io
import os

import pytest
from PIL import Image

from cdam_bench import configs
from cdam_bench.app.desk import Desk
from cdam_bench.app.settings import Settings
from cdam_bench.app.uploads import Upload

METHODS = "methods=[cdam,attention_map]"


def make_desk(folder, *overrides, class_names=None):
    """A desk whose web server would put uploads into `folder`."""
    config = configs.compose(["names.backbone=digits_vit", METHODS, "curve_steps=4", *overrides], "scripts/app")
    config.class_names = class_names
    return Desk(config, Settings.of(config), folder)


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    return make_desk(tmp_path_factory.mktemp("received"))


@pytest.fixture
def models(desk):
    return desk.models


def png(size=(40, 30), colour=(200, 30, 90), **options):
    """A picture of one colour as the bytes of a file."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, options.pop("format", "PNG"), **options)
    return buffer.getvalue()


def sent(folder, name, content):
    """A file as the web server leaves it: in a folder of its own."""
    path = folder / "0123abcd" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def upload():
    return Upload("red", png())


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """(desk, address) of a served page."""
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "GRADIO_TEMP_DIR", str(folder))
        patch.setitem(os.environ, "GRADIO_ANALYTICS_ENABLED", "False")
        from cdam_bench.app.serving import serving

        served = make_desk(folder, "max_mb=1", "max_megapixels=1")
        served.models.get("digits_vit")
        with serving(served) as address:
            yield served, address.rstrip("/")
