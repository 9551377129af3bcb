"""Open pages: what each has sent is in memory alone, and is forgotten when the page is closed."""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from cdam_bench.app.answers import Answer
from cdam_bench.app.blurring import Blurring
from cdam_bench.app.uploads import Upload


@dataclass
class Visit:
    """One open page.

    Args:
        token: by which its files are asked for; no one else can guess it.
        upload: the picture that is explained; None: none yet.
        examples: of concepts: name → pictures.
        answered: what is shown.
        blurring: of what is shown; None: not measured yet.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    upload: Upload | None = None
    examples: dict[str, list[Upload]] = field(default_factory=dict)
    answered: Answer | None = None
    blurring: Blurring | None = None


class Visits:
    """The open pages.

    Args:
        most: that are kept; beyond them the longest unused one is forgotten.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: OrderedDict[str, Visit] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, page: str) -> Visit:
        """That of a page, a new one the first time."""
        with self._lock:
            visit = self._open.setdefault(page, Visit())
            self._open.move_to_end(page)
            while len(self._open) > self.most:
                self._open.popitem(last=False)
            return visit

    def of_token(self, token: str) -> Visit | None:
        """The page whose token that is."""
        with self._lock:
            return next((one for one in self._open.values() if secrets.compare_digest(one.token, token)), None)

    def forget(self, page: str) -> None:
        """Drop what a closed page has sent."""
        with self._lock:
            self._open.pop(page, None)

    def __len__(self) -> int:
        return len(self._open)
