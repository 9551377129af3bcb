"""The paper's two subsets of the ILSVRC-2012 validation images."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from cdam_bench.datasets.imagenet_classes import NUM_VALIDATION_IMAGES, class_names, validation_names
from cdam_bench.datasets.multi_object import Entry, read_manifest, shuffled
from cdam_bench.datasets.pictures import PictureFile, check_pictures, read_picture, some
from cdam_bench.datasets.preprocessing import Preprocessing
from cdam_bench.datasets.samples import Sample
from cdam_bench.errors import UserError, require

MANIFEST = Path(__file__).parent / "selections" / "imagenet_multi.csv"
FOLDERS = ("val", "imagenet/val", "ILSVRC/Data/CLS-LOC/val", ".")
ARCHIVES = ("ILSVRC2012_img_val.tar", "imagenet/ILSVRC2012_img_val.tar")


def find_validation_images(data_dir: str | Path, names: Sequence[str]) -> list[PictureFile]:
    """Files of the named validation images.

    Args:
        data_dir: holds `val/<wnid>/*.JPEG`, `val/*.JPEG` or `ILSVRC2012_img_val.tar`, possibly inside `imagenet/`, or is
            itself the folder of images.
        names: as ILSVRC2012_val_00000001.JPEG.
    Raises:
        UserError: listing those that are missing.
    """
    data_dir = Path(data_dir)
    for archive in ARCHIVES:
        if (data_dir / archive).is_file():
            return _checked(_files_in_archive(data_dir / archive), names, data_dir / archive)
    for folder in FOLDERS:
        if found := _files_in_folder(data_dir / folder):
            return _checked(found, names, data_dir / folder)
    raise UserError(
        f"no ImageNet validation images in {data_dir} (looked for {', '.join((*FOLDERS[:-1], *ARCHIVES))}): "
        "set paths.data_dir to the folder that holds val/"
    )


def _files_in_folder(folder: Path) -> dict[str, PictureFile]:
    """Validation images in a folder and in its class folders, by name."""
    if not folder.is_dir():
        return {}
    parents = [folder, *(path for path in folder.iterdir() if path.name.startswith("n") and path.is_dir())]
    files = (path for parent in parents for path in parent.iterdir() if path.name.startswith("ILSVRC2012_val_"))
    return {path.name: PictureFile(path) for path in files}


def _files_in_archive(path: Path) -> dict[str, PictureFile]:
    try:
        with tarfile.open(path, "r:") as archive:
            return {
                Path(member.name).name: PictureFile(path, member.name, member.offset_data, member.size)
                for member in archive
                if member.isfile()
            }
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"archive {path} cannot be read ({error}): download it again, or unpack it") from error


def _checked(found: dict[str, PictureFile], names: Sequence[str], place: Path) -> list[PictureFile]:
    missing = [name for name in names if name not in found]
    require(
        not missing,
        f"{len(missing)} of the {len(names)} chosen validation images are missing in {place}: {some(missing)}; "
        "copy them there or set paths.data_dir",
    )
    return [found[name] for name in names]


class _ValidationImages:
    """Some of the validation images, checked before a run begins.

    Args:
        data_dir: see `find_validation_images`.
        preprocessing: of the backbone.
        names: file names of the images, in order.
    """

    def __init__(self, data_dir: str | Path, preprocessing: Preprocessing, names: Sequence[str]) -> None:
        self.names = list(names)
        self.files = find_validation_images(data_dir, self.names)
        check_pictures(self.files)
        self.preprocessing = preprocessing
        self.class_names = class_names()
        self.mean, self.std = preprocessing.mean, preprocessing.std

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        picture = self.preprocessing(read_picture(self.files[index]))
        return Sample(Path(self.names[index]).stem, picture, self.targets(index))

    def targets(self, index: int) -> tuple[int, ...]:
        """Annotated classes of an image; none: the predicted class is explained."""
        return ()


class ImageNetRandom(_ValidationImages):
    """Random validation images; the predicted class is explained.

    Args:
        data_dir: see `find_validation_images`.
        preprocessing: of the backbone.
        num_images: how many.
        seed: chooses them, by their names alone: the same on every machine.
    Raises:
        UserError: before the run, if one of them is missing or cannot be read.
    Source: Brocki et al. 2024, §3.4; which images is not told there.
    """

    def __init__(
        self, data_dir: str | Path, preprocessing: Preprocessing, num_images: int = 1000, seed: int = 0
    ) -> None:
        require(
            0 < num_images <= NUM_VALIDATION_IMAGES,
            f"num_images={num_images}: must be in 1…{NUM_VALIDATION_IMAGES}",
        )
        super().__init__(data_dir, preprocessing, shuffled(validation_names(), seed)[:num_images])


class ImageNetMulti(_ValidationImages):
    """Validation images with two different objects, by the manifest that comes with the package.

    Args:
        data_dir: see `find_validation_images`.
        preprocessing: of the backbone.
        num_images: how many of the manifest's; None: all.
        seed: chooses them if not all are wanted; 0: the first ones of the manifest.
        manifest: of your own, from `cdam-bench prepare imagenet-multi`; None: the package's.
    Raises:
        UserError: before the run, if one of them is missing or cannot be read.
    Source: Brocki et al. 2024, §3.4, on the ReaL labels of Beyer et al. 2020; see docs/imagenet_multi.md.
    """

    def __init__(
        self,
        data_dir: str | Path,
        preprocessing: Preprocessing,
        num_images: int | None = 1000,
        seed: int = 0,
        manifest: str | Path | None = None,
    ) -> None:
        entries = {entry.file: entry for entry in read_manifest(MANIFEST if manifest is None else manifest)}
        num_images = len(entries) if num_images is None else num_images
        require(
            0 < num_images <= len(entries),
            f"num_images={num_images}: the manifest has {len(entries)} images, use 1…{len(entries)}",
        )
        self.entries: list[Entry] = [entries[name] for name in shuffled(list(entries), seed)[:num_images]]
        super().__init__(data_dir, preprocessing, [entry.file for entry in self.entries])

    def targets(self, index: int) -> tuple[int, ...]:
        return self.entries[index].classes
