"""`cdam-bench app`: the page is served until Ctrl-C. Gradio is imported here, when everything else is known to be right."""

import importlib.util
import os
import tempfile
import threading
from contextlib import suppress

from omegaconf import DictConfig

from cdam_bench.app.desk import Desk
from cdam_bench.app.settings import Settings
from cdam_bench.errors import require

LOOPBACK = ("127.0.0.1", "localhost", "::1")
QUIET = {  # nothing is reported to anyone
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def run_app(config: DictConfig) -> None:
    """Serve the page.

    Args:
        config: composed from conf/scripts/app.yaml.
    Raises:
        UserError: without Gradio, and for settings, models or addresses that cannot be.
    """
    settings = Settings.of(config)
    here = importlib.util.find_spec("gradio") is not None
    require(here, "the page needs Gradio, which is not here: pip install 'cdam-bench[app]'")
    with tempfile.TemporaryDirectory(prefix="cdam_bench_app_") as folder:
        os.environ |= {**QUIET, "GRADIO_TEMP_DIR": folder}
        desk = Desk(config, settings, folder)
        desk.models.get(desk.models.first)  # what is wrong with it is said now
        from cdam_bench.app.serving import serving  # Gradio takes seconds

        with suppress(KeyboardInterrupt), serving(desk) as address:
            print(f"{address} (Ctrl-C ends it)", flush=True)
            if settings.host not in LOOPBACK:
                print(f"host={settings.host}: whoever reaches this machine can open the page", flush=True)
            threading.Event().wait()
