"""What a visitor asks, but for the picture: it is also what a link holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from cdam_bench.app.examples import EXAMPLES
from cdam_bench.errors import UserError, require, unknown_name

OWN = "own"  # a picture that is the visitor's and in no link
DEFAULT_METHODS = ("cdam", "deep_cdam", "smooth_cdam", "relevance_propagation", "attention_map", "gradcam")
MOST_TARGETS = 2
MOST_METHODS = 12
MOST_CLASSES = 200  # of a text-made head
LONGEST = 300  # letters of anything typed
OVERLAY = 0.7


@dataclass(frozen=True)
class Question:
    """What is to be explained, and how.

    Args:
        picture: name of a packaged example, or "own".
        backbone: a name that is offered, a name of timm, an id of Hugging Face's hub, or a folder.
        weights: file of weights for it; "": its own.
        classes: names that a text-made head compares the picture with; (): the backbone's own head.
        targets: of the head's outputs, by name or index; (): the most probable ones.
        methods: names of estimators.
        overlay: how strongly the maps lie on the picture, from 0 to 1.
    """

    picture: str = EXAMPLES[0]
    backbone: str = "digits_vit"
    weights: str = ""
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    methods: tuple[str, ...] = DEFAULT_METHODS
    overlay: float = OVERLAY

    def checked(self, known_methods: Sequence[str]) -> "Question":
        """The same, its texts stripped.

        Raises:
            UserError: for an unknown picture or method, too much of something, or text that no name can be.
        """
        if self.picture not in (OWN, *EXAMPLES):
            raise unknown_name("picture", self.picture, EXAMPLES)
        require(bool(self.methods), "no method is chosen: choose at least one")
        require(len(self.methods) <= MOST_METHODS, f"{len(self.methods)} methods: choose at most {MOST_METHODS}")
        for method in self.methods:
            if method not in known_methods:
                raise unknown_name("method", method, known_methods)
        require(len(self.targets) <= MOST_TARGETS, f"{len(self.targets)} outputs: choose at most {MOST_TARGETS}")
        require(len(self.classes) <= MOST_CLASSES, f"{len(self.classes)} class names: give at most {MOST_CLASSES}")
        for text in (self.backbone, self.weights, *self.classes, *self.targets):
            require(
                len(text) <= LONGEST and text.isprintable(), "a name is too long, or has letters that cannot be shown"
            )
        require(bool(self.backbone.strip()), "no backbone is chosen: choose one, or type a name")
        require(0 <= self.overlay <= 1, f"overlay={self.overlay:g}: must be between 0 and 1")
        return replace(
            self,
            backbone=self.backbone.strip(),
            weights=self.weights.strip(),
            methods=tuple(dict.fromkeys(self.methods)),
        )

    def query(self, with_overlay: bool = True) -> str:
        """The part of an address after "?"."""
        pairs: list[tuple[str, str]] = [("picture", self.picture), ("backbone", self.backbone)]
        pairs += [("weights", self.weights)] if self.weights else []
        for name in ("classes", "targets", "methods"):
            pairs += [(name, value) for value in getattr(self, name)]
        return urlencode([*pairs, ("overlay", f"{self.overlay:g}")] if with_overlay else pairs)


def of_query(query: Mapping[str, Sequence[str]], default: Question) -> Question:
    """The question of an address; what it does not say is as in `default`.

    Args:
        query: key → its values; unknown keys are left alone, as addresses gather them on their way.
        default: what is asked where nothing is said.
    Raises:
        UserError: for an overlay that is no number.
    """
    given = {key: [value for value in query.get(key, ()) if value] for key in Question.__dataclass_fields__}
    texts = {key: given[key][-1] for key in ("picture", "backbone", "weights") if given[key]}
    lists = {key: tuple(given[key]) for key in ("classes", "targets", "methods") if given[key]}
    question = replace(default, **texts, **lists)
    if not given["overlay"]:
        return question
    try:
        return replace(question, overlay=float(given["overlay"][-1]))
    except ValueError:
        raise UserError("overlay: must be a number between 0 and 1") from None


def listed(text: str) -> tuple[str, ...]:
    """Names that a visitor typed with commas between them, each once."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def as_tuple(chosen: Iterable[str] | None) -> tuple[str, ...]:
    """What a visitor chose of a list, where nothing is None."""
    return tuple(map(str, chosen or ()))
