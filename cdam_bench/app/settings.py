"""What the one who starts the app decides: where it listens, what visitors may do, and what is too much."""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from cdam_bench.configs import plain
from cdam_bench.errors import require, require_count, require_number, require_text

MOST_CURVE_STEPS = 100  # a step is kept in a byte per pixel, and is a percent at least
LARGEST_PORT = 65535


@dataclass(frozen=True)
class Settings:
    """Limits and permissions of the app.

    Args:
        host: address that is listened on.
        port: None: the first free one from 7860.
        allow_paths: whether visitors may name folders and files of this machine.
        timeout_s: seconds that one explanation, or its curves, may take.
        max_mb: of an uploaded file, in 10⁶ bytes.
        max_megapixels: of a picture, in 10⁶ pixels; larger ones are not decoded.
        curve_steps: in which the patches are blurred.
        max_models: that are kept in memory.
        max_visits: pages whose pictures are kept in memory; beyond them the longest unused one is forgotten.
        open_browser: whether the page is opened at once.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    allow_paths: bool = False
    timeout_s: float = 60.0
    max_mb: float = 10.0
    max_megapixels: float = 25.0
    curve_steps: int = 20
    max_models: int = 3
    max_visits: int = 30
    open_browser: bool = False

    @classmethod
    def of(cls, config: DictConfig) -> "Settings":
        """From conf/scripts/app.yaml.

        Raises:
            UserError: for values that cannot be.
        """
        given: dict[str, Any] = {name: plain(config[name]) for name in cls.__dataclass_fields__}
        require_text("host", given["host"])
        if given["port"] is not None:
            require_count("port", given["port"])
            require(given["port"] <= LARGEST_PORT, f"port={given['port']}: use at most {LARGEST_PORT}")
        require_number("timeout_s", given["timeout_s"], 0.1, 86400)
        require_number("max_mb", given["max_mb"], 0.001, 1000)
        require_number("max_megapixels", given["max_megapixels"], 0.001, 1000)
        for name in ("curve_steps", "max_models", "max_visits"):
            require_count(name, given[name])
        steps = given["curve_steps"]
        require(steps <= MOST_CURVE_STEPS, f"curve_steps={steps}: use at most {MOST_CURVE_STEPS}")
        return cls(**given)

    @property
    def upload_limits(self) -> str:
        """In words, for the page."""
        return f"at most {self.max_mb:g} MB and {self.max_megapixels:g} megapixels"
