"""The user's own images: one class per folder, a CSV with one or two targets, or no targets at all."""

import csv
from collections.abc import Sequence
from pathlib import Path

from cdam_bench.datasets.imagenet_classes import class_names as imagenet_names
from cdam_bench.datasets.imagenet_classes import synonyms, wordnet_ids
from cdam_bench.datasets.multi_object import shuffled
from cdam_bench.datasets.pictures import PictureFile, check_pictures, is_picture, read_picture
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import Sample
from cdam_bench.errors import UserError, nearest_names, require

Listed = dict[str, tuple[int, ...]]  # path below the folder → targets


class ImageFolder:
    """Images in a folder.

    Without a CSV, images in sub-folders have the sub-folder's class as target; images beside each other have none, and the
    predicted class is explained. A class is given as index, name or, for ImageNet, WordNet id.

    Args:
        folder: of the images.
        preprocessing: of the backbone.
        targets_csv: file with the columns `file` (below `folder`), `target` and, for all images or none, `other`.
        class_names: of the head's outputs; "imagenet"; or None: the sub-folders' names, sorted.
        num_images: how many of them; None: all.
        seed: chooses them if not all are wanted.
    Raises:
        UserError: for missing or broken images and unknown classes, before the run.
    """

    def __init__(
        self,
        folder: str | Path,
        preprocessing: Preprocessing,
        targets_csv: str | Path | None = None,
        class_names: Sequence[str] | str | None = "imagenet",
        num_images: int | None = None,
        seed: int = 0,
    ) -> None:
        folder = Path(folder)
        require(folder.is_dir(), f"folder={folder} not found: give a folder of images")
        classes = Classes(folder, class_names)
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
        self.class_names = classes.names
        self.mean, self.std = preprocessing.mean, preprocessing.std

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.names[index], self.preprocessing(read_picture(self.files[index])), self.targets[index])


class Classes:
    """What the outputs of a head are called.

    Args:
        folder: of the images.
        class_names: see ImageFolder.
    """

    def __init__(self, folder: Path, class_names: Sequence[str] | str | None) -> None:
        if class_names == "imagenet":
            self.names = tuple(imagenet_names())
            self.index = {name: index for index, names in enumerate(synonyms()) for name in names}
            self.index |= {wordnet_id: index for index, wordnet_id in enumerate(wordnet_ids())}
            return
        require(
            not isinstance(class_names, str),
            f"class_names={class_names} is unknown: use imagenet, a list of names, or null for the folders'",
        )
        if class_names is None:
            class_names = sorted(path.name for path in folder.iterdir() if path.is_dir())
        self.names = tuple(class_names) or ("0",)
        self.index = {name: index for index, name in enumerate(self.names)}

    def find(self, text: str, where: str) -> int:
        """Index of the class that `text` names; an error that says `where` it stands otherwise."""
        text = text.strip()
        if text in self.index:
            return self.index[text]
        if text.isdecimal() and int(text) < len(self.names):
            return int(text)
        near = nearest_names(text, self.index)
        hint = f"did you mean {' or '.join(near)}?" if near else f"give an index in 0…{len(self.names) - 1} or a name"
        raise UserError(f"{where}: class {text!r} is unknown: {hint}")


def _listed_in_folder(folder: Path, classes: Classes) -> Listed:
    listed: Listed = {path.name: () for path in folder.iterdir() if is_picture(path)}
    if listed:
        return listed
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            found = [image.relative_to(folder).as_posix() for image in path.rglob("*") if is_picture(image)]
            if found:
                listed |= dict.fromkeys(found, (classes.find(path.name, f"folder {path}"),))
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
