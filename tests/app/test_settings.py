"""Settings of the app: safe unless told otherwise, and refused by their names."""

import pytest

from cdam_bench import configs
from cdam_bench.app.settings import Settings
from cdam_bench.errors import UserError


def settings(*overrides):
    return Settings.of(configs.compose(["names.backbone=digits_vit", *overrides], "scripts/app"))


def test_unless_told_otherwise_it_listens_here_alone_and_reads_no_paths():
    assert settings() == Settings()
    assert settings().host == "127.0.0.1"
    assert not settings().allow_paths


@pytest.mark.parametrize(
    "slip",
    [
        "port=70000",
        "port=web",
        "timeout_s=0",
        "timeout_s=nan",
        "max_mb=-1",
        "max_megapixels=much",
        "curve_steps=101",
        "host=''",
    ],
)
def test_a_slip_is_told_by_the_name_of_the_setting(slip):
    with pytest.raises(UserError, match=f"^{slip.partition('=')[0]}="):
        settings(slip)
