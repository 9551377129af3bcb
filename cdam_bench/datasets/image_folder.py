"""The user's own images: one class per folder, a CSV with one or two targets, or no targets at all."""

import csv
from collections.abc import Sequence
from pathlib import Path

from cdam_bench.backbones import Backbone
from cdam_bench.datasets.class_names import Names, all_names, plain_form
from cdam_bench.datasets.imagenet_classes import NUM_CLASSES, synonyms, wordnet_ids
from cdam_bench.datasets.multi_object import shuffled
from cdam_bench.datasets.pictures import PictureFile, check_pictures, is_picture, read_picture, some
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import Sample
from cdam_bench.errors import UserError, nearest_names, require

IMAGENET, FOLDERS = "imagenet", "folders"  # names that need no list
Listed = dict[str, tuple[int, ...]]  # path below the folder → targets


class ImageFolder:
    """Images in a folder.

    Without a CSV, images in sub-folders have the sub-folder's class as target; images beside each other have none, and the
    predicted class is explained. A class is given as index, name or, for ImageNet, WordNet id.

    Args:
        folder: of the images.
        preprocessing: of the backbone.
        targets_csv: file with the columns `file` (below `folder`), `target` and, for all images or none, `other`.
        class_names: of the head's outputs; "imagenet"; "folders": the sub-folders' names, sorted; or None: those that the backbone
            brings, ImageNet's where it has 1000 outputs or the sub-folders are called so, else the sub-folders'.
        num_images: how many of them; None: all.
        seed: chooses them if not all are wanted.
        backbone: whose outputs are named; None: unknown yet.
    Raises:
        UserError: for missing or broken images, for unknown classes, and where the names of the sub-folders are not those of the
            backbone's classes; before the run.
    """

    def __init__(
        self,
        folder: str | Path,
        preprocessing: Preprocessing,
        targets_csv: str | Path | None = None,
        class_names: Sequence[str] | str | None = None,
        num_images: int | None = None,
        seed: int = 0,
        backbone: Backbone | None = None,
    ) -> None:
        folder = Path(folder)
        require(folder.is_dir(), f"folder={folder} not found: give a folder of images")
        by_folder = targets_csv is None and not any(is_picture(path) for path in folder.iterdir())
        classes = classes_of(folder, class_names, backbone, by_folder)
        listed = (
            _listed_in_folder(folder, classes) if targets_csv is None else _listed_in_csv(Path(targets_csv), classes)
        )
        require(bool(listed), f"no images in {folder if targets_csv is None else targets_csv}")
        num_images = len(listed) if num_images is None else num_images
        require(0 < num_images <= len(listed), f"num_images={num_images}: there are {len(listed)} images")
        self.names = sorted(shuffled(list(listed), seed)[:num_images])
        self.targets = [listed[name] for name in self.names]
        self.files = [PictureFile(folder / name) for name in self.names]
        check_pictures(self.files)
        self.preprocessing = preprocessing
        self.class_names = classes.shown
        self.mean, self.std = preprocessing.mean, preprocessing.std

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.names[index], self.preprocessing(read_picture(self.files[index])), self.targets[index])


class Classes:
    """What the outputs of a head are called.

    Args:
        names: of every output all its names, the first one for showing.
        whose: what they are, for errors.
    """

    def __init__(self, names: Names, whose: str) -> None:
        self.shown = tuple(listed[0] for listed in names)
        self.whose = whose
        self.index: dict[str, int] = {}
        for known in (lambda name: name, plain_form):  # as it is written, before what a folder's name may have changed
            for index, listed in enumerate(names):
                for name in listed:
                    self.index.setdefault(known(name), index)

    def find(self, text: str, where: str) -> int:
        """Index of the class that `text` names; an error that says `where` it stands otherwise."""
        text = text.strip()
        for written in (text, plain_form(text)):
            if written in self.index:
                return self.index[written]
        if text.isdecimal() and int(text) < len(self.shown):
            return int(text)
        near = nearest_names(text, self.index)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UserError(
            f"{where}: class {text!r} is unknown: {hint}{self.whose} are {some(self.shown, 3)}; give one of them, an index in "
            f"0…{len(self.shown) - 1}, or set class_names"
        )


def classes_of(
    folder: Path, class_names: Sequence[str] | str | None, backbone: Backbone | None, by_folder: bool = True
) -> Classes:
    """The classes of ImageFolder's arguments.

    Args:
        folder, class_names, backbone: see ImageFolder.
        by_folder: whether the sub-folders are the classes.
    Raises:
        UserError: for names that are not as many as the backbone's outputs.
    """
    folders = sub_folders(folder)
    count = None if backbone is None or not _has_classes(backbone) else backbone.num_classes
    if class_names is None:
        if backbone is not None and count is not None:
            return _of_model(folders, backbone, count, by_folder)
        return _of_pictures(folders if by_folder else [])
    known = class_names in (IMAGENET, FOLDERS) if isinstance(class_names, str) else isinstance(class_names, Sequence)
    require(known, f"class_names={class_names} is unknown: use {IMAGENET}, {FOLDERS}, a list of names, or null")
    if class_names == IMAGENET:
        classes = Classes(_imagenet(), "ImageNet's classes")
    elif class_names == FOLDERS:
        classes = _of_folders(folders)
    else:
        classes = Classes(all_names([str(name) for name in class_names]), "class_names")
    told = class_names if isinstance(class_names, str) else f"[{some(classes.shown, 3)}]"
    require(
        count is None or count == len(classes.shown),
        f"class_names={told}: {len(classes.shown)} names, but the model has {count} outputs",
    )
    return classes


def sub_folders(folder: Path) -> list[str]:
    """Names of the sub-folders, sorted; hidden ones are none."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _of_model(folders: list[str], backbone: Backbone, count: int, by_folder: bool) -> Classes:
    """A model's classes, by the names that it brings, ImageNet's, the sub-folders', or their numbers."""
    own = getattr(backbone.head, "names", None) or backbone.class_names
    if own is not None and len(own) == count:
        return Classes(all_names(own), "the model's classes")
    if count == NUM_CLASSES:
        return Classes(_imagenet(), "ImageNet's classes")
    numbered = all(name.isdecimal() and int(name) < count for name in folders)
    if len(folders) == count and not numbered:
        return _of_folders(folders)
    require(
        numbered or not by_folder,
        f"{len(folders)} sub-folders ({some(folders, 3)}), but the model has {count} outputs without names: set class_names "
        "to a list in the order of the outputs, or call the sub-folders by their numbers",
    )
    return Classes([(str(index),) for index in range(count)], "the model's classes")


def _of_pictures(folders: list[str]) -> Classes:
    """ImageNet's classes where the sub-folders are called so or there are none, numbers, or else the sub-folders' own names."""
    numbers = [int(name) for name in folders if name.isdecimal()]
    if folders and len(numbers) == len(folders):
        return Classes([(str(index),) for index in range(max(numbers) + 1)], "the classes")
    imagenet = Classes(_imagenet(), "ImageNet's classes")
    if all(name in imagenet.index for name in folders if not name.isdecimal()):
        return imagenet
    return _of_folders(folders)


def _has_classes(backbone: Backbone) -> bool:
    """Whether the outputs are what a picture can be annotated with: neither concepts nor quantities."""
    return getattr(backbone.head, "output_kind", "classes") in ("classes", "labels")


def _imagenet() -> Names:
    return [(*names, wordnet_id) for names, wordnet_id in zip(synonyms(), wordnet_ids(), strict=True)]


def _of_folders(folders: list[str]) -> Classes:
    return Classes([(name,) for name in folders or ["0"]], "the sub-folders")


def _listed_in_folder(folder: Path, classes: Classes) -> Listed:
    listed: Listed = {path.name: () for path in folder.iterdir() if is_picture(path)}
    if listed:
        return listed
    for name in sub_folders(folder):
        found = [image.relative_to(folder).as_posix() for image in (folder / name).rglob("*") if is_picture(image)]
        if found:
            listed |= dict.fromkeys(found, (classes.find(name, f"folder {folder / name}"),))
    return listed


def _listed_in_csv(path: Path, classes: Classes) -> Listed:
    require(path.is_file(), f"targets_csv={path} not found")
    listed: Listed = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        require(
            {"file", "target"} <= set(columns),
            f"{path}: columns {', '.join(columns)}; expected file, target and, if there are two, other",
        )
        for number, row in enumerate(reader, 2):
            where = f"{path}, line {number}"
            texts = [row[column] for column in ("target", "other") if row.get(column)]
            targets = tuple(classes.find(text, where) for text in texts)
            require(len(set(targets)) == len(targets), f"{where}: target and other are the same class")
            first = next(iter(listed.values()), targets)
            require(
                len(targets) == len(first),
                f"{where}: {len(targets)} targets, but {len(first)} above: give all images one, or all two",
            )
            listed[row["file"]] = targets
    return listed
