"""Where questions of all open pages arrive; knows nothing of the web."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from cdam_bench.app.answers import answer, check_examples
from cdam_bench.app.blurring import blurring
from cdam_bench.app.examples import example
from cdam_bench.app.models import Models
from cdam_bench.app.questions import LONGEST, OWN, Question
from cdam_bench.app.settings import Settings
from cdam_bench.app.turns import Turns
from cdam_bench.app.uploads import taken
from cdam_bench.app.visits import Visit, Visits
from cdam_bench.configs import config_dir, plain
from cdam_bench.drawing.names import in_order
from cdam_bench.errors import UserError, require

SEND_OWN = "the picture of this link is not in it: drop it here, and it is explained with the link's settings"


class Desk:
    """Answers the questions of all open pages, one at a time.

    Args:
        config: of the app, conf/scripts/app.yaml.
        settings: of the app.
        folder: where the web server puts what it receives.
    """

    def __init__(self, config: DictConfig, settings: Settings, folder: str | Path) -> None:
        self.settings, self.folder = settings, Path(folder)
        self.models, self.visits = Models(config, settings), Visits(settings.max_visits)
        self.turns = Turns(settings.timeout_s)
        self.methods = in_order(path.stem for path in (config_dir() / "estimator").glob("*.yaml"))
        chosen = tuple(map(str, plain(config.methods)))
        self.default = Question(backbone=self.models.first, methods=chosen).checked(self.methods)

    def receive(self, page: str, path: str | Path) -> None:
        """Take the picture that a page has sent.

        Raises:
            UserError: for what is no picture, or too large.
        """
        self.visits.get(page).upload = taken(path, self.folder, self.settings)

    def receive_examples(self, page: str, name: str, paths: Sequence[str | Path]) -> None:
        """Take example pictures of a concept; another concept of that name is replaced.

        Raises:
            UserError: for no name, too few or too many pictures, and what is none.
        """
        refused: list[UserError] = []
        uploads = []
        for path in paths:  # all are read, so that all are deleted
            try:
                uploads.append(taken(path, self.folder, self.settings))
            except UserError as error:
                refused.append(error)
        if refused:
            raise refused[0]
        name = name.strip()
        require(len(name) <= LONGEST and name.isprintable(), "the concept's name is too long, or cannot be shown")
        visit = self.visits.get(page)
        examples = {**visit.examples, name: uploads}
        check_examples(examples)
        visit.examples = examples

    def forget_examples(self, page: str) -> None:
        """Drop a page's concepts."""
        self.visits.get(page).examples = {}

    def ask(self, page: str, question: Question) -> Visit:
        """Explain the picture of a page.

        Raises:
            UserError: for questions that cannot be answered, and when the time is up.
        """
        question, visit = question.checked(self.methods), self.visits.get(page)
        if question.picture != OWN:
            visit.upload = example(question.picture)
        upload = visit.upload
        if upload is None or (question.picture == OWN and upload.example):
            raise UserError(SEND_OWN)
        visit.blurring = visit.answered = None
        visit.answered = self.turns.run(lambda: answer(question, upload, visit.examples, self.models))
        return visit

    def blur(self, page: str) -> Visit:
        """Blur what a page shows, map by map; nothing happens where it shows nothing.

        Raises:
            UserError: when the time is up.
        """
        visit = self.visits.get(page)
        answered, upload = visit.answered, visit.upload
        if answered is None or upload is None:
            return visit
        steps = self.settings.curve_steps
        visit.blurring = self.turns.run(lambda: blurring(answered, upload, visit.examples, self.models, steps))
        return visit

    def close(self) -> None:
        """Let nothing begin any more."""
        self.turns.close()
