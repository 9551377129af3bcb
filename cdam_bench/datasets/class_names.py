"""What the outputs of a model are called: each by every name that people write, the first one for showing."""

from collections import Counter
from collections.abc import Sequence

from cdam_bench.datasets.imagenet_classes import NUM_CLASSES, synonyms, wordnet_ids

Names = Sequence[Sequence[str]]


def all_names(names: Sequence[str]) -> Names:
    """Every name of each class, from the one that a model gives it.

    ImageNet's 1000 have their synonyms and WordNet ids, too; else the parts between commas, where one class alone has them.

    Args:
        names: of the classes in order, as "tench, Tinca tinca" or "tench".
    """
    if is_imagenet(names):
        listed = zip(synonyms(), wordnet_ids(), names, strict=True)
        return [tuple(dict.fromkeys((*known, wordnet_id, own))) for known, wordnet_id, own in listed]
    parts = [[part.strip() for part in name.split(",") if part.strip()] for name in names]
    classes_with = Counter(part for listed in parts for part in set(listed))
    return [
        tuple(dict.fromkeys((name, *(part for part in listed if classes_with[part] == 1))))
        for name, listed in zip(names, parts, strict=True)
    ]


def is_imagenet(names: Sequence[str]) -> bool:
    """Whether these are the 1000 classes of ILSVRC-2012 in their order, by whichever of their names."""
    if len(names) != NUM_CLASSES:
        return False
    ends = ((names[0], "tench", wordnet_ids()[0]), (names[-1], "toilet tissue", wordnet_ids()[-1]))
    return all(name.split(",")[0].strip().lower() in known for name, *known in ends)


def plain_form(name: str) -> str:
    """A name without what folders change about it: capitals, underscores for spaces."""
    return " ".join(name.replace("_", " ").split()).casefold()
