"""How pictures become images of a Hugging Face model: what its preprocessor_config.json says, old layouts too."""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from cdam_bench.backbones.preprocessing import Placement, Preprocessing, shorter_side
from cdam_bench.errors import UserError, require, require_count, require_number

Plain = dict[str, Any]

STANDARD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  # mean and standard deviation per channel
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
FILTERS = {  # numbers of PIL
    0: InterpolationMode.NEAREST,
    1: InterpolationMode.LANCZOS,
    2: InterpolationMode.BILINEAR,
    3: InterpolationMode.BICUBIC,
    4: InterpolationMode.BOX,
    5: InterpolationMode.HAMMING,
}
TORCHS = (InterpolationMode.NEAREST, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)  # of tensors, too


def _kind(size: int, square: bool, crop: bool, resample: int, numbers: Sequence[Sequence[float]]) -> Plain:
    """What an image processor takes for what its file leaves out."""
    return {
        "size": {"height": size, "width": size} if square else {"shortest_edge": size},
        "crop_size": {"height": 224, "width": 224},
        "do_resize": True,
        "do_center_crop": crop,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "resample": resample,
        "image_mean": numbers[0],
        "image_std": numbers[1],
    }


KINDS = {  # of image processors, without "ImageProcessor" or "FeatureExtractor": what their files may leave out
    "ViT": _kind(224, True, False, 2, STANDARD),
    "DeiT": _kind(256, True, True, 3, STANDARD),
    "Beit": _kind(224, True, False, 3, STANDARD),
    "Siglip": _kind(224, True, False, 3, STANDARD),
    "CLIP": _kind(224, False, True, 3, CLIP),
    "Bit": _kind(224, False, True, 3, CLIP),
}
SQUARE = {"ViT", "DeiT", "Beit"}  # of whom a size given as one number is that of both sides
OF_MODELS = {  # whose image processor a model uses
    "vit": "ViT",
    "deit": "DeiT",
    "beit": "Beit",
    "dinov2": "Bit",
    "dinov2_with_registers": "Bit",
    "clip_vision_model": "CLIP",
    "siglip_vision_model": "Siglip",
}


class HuggingFacePreprocessing(Preprocessing):
    """What an image processor of `transformers` does to one picture: resize, crop the centre, normalise.

    Args:
        image_size: side of the square given to the backbone, in pixels: the upper left of what is left after the crop.
        resize: (H, W) in pixels, whatever the picture's shape; or the length of its shorter side; None: as it is.
        crop: (H, W) of the centre, in pixels, with black where the picture is smaller; None: all of it.
        interpolation: name of a filter of PIL, such as "bicubic".
        mean, std: per channel, for values in [0, 1].
    Raises:
        UserError: for sizes or filters that cannot be.
    """

    def __init__(
        self,
        image_size: int,
        resize: int | Sequence[int] | None,
        crop: Sequence[int] | None,
        interpolation: str,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__(image_size, None, "bicubic", mean, std)
        self.sides = _shape("resize", [resize] if isinstance(resize, int) else resize, (1, 2))
        self.crop = _shape("crop", crop, (2,))
        known = [one.value for one in FILTERS.values()]
        require(interpolation in known, f"interpolation={interpolation} is unknown: use one of {', '.join(known)}")
        self.interpolation = InterpolationMode(interpolation)

    def __call__(self, picture: Image.Image | Tensor) -> Tensor:
        """Picture (PIL, or (3, H, W) in [0, 1]) → (3, image_size, image_size), normalised.

        A tensor that is of this size already, such as a drawn scene, is neither resized nor cropped.
        """
        either: Any = picture  # torchvision takes both and says Tensor
        side = self.image_size
        if isinstance(picture, Image.Image) or tuple(picture.shape[-2:]) != (side, side):
            if self.interpolation not in TORCHS and not isinstance(picture, Image.Image):
                either = F.to_pil_image(picture)
            if self.sides is not None:
                either = F.resize(either, self.sides, self.interpolation, antialias=True)
            if self.crop is not None:
                either = _centre(either, *self.crop)
            either = F.crop(either, 0, 0, side, side)
        return self.normalised(either)

    def placement(self, height: int, width: int) -> Placement:
        side = self.image_size
        if (height, width) == (side, side):
            return Placement((1.0, 1.0), (0, 0), side)
        sides = self.sides or [height, width]
        new = shorter_side(height, width, sides[0]) if len(sides) == 1 else sides
        top, left = (0, 0) if self.crop is None else [_corner(*pair) for pair in zip(new, self.crop, strict=True)]
        return Placement((new[0] / height, new[1] / width), (top, left), side)

    def __str__(self) -> str:
        """What is done, in one line."""
        sides = "" if self.sides is None else "×".join(map(str, self.sides))
        one_side = self.sides is not None and len(self.sides) == 1
        first = (
            f"{'shorter side to ' if one_side else ''}{sides} pixels ({self.interpolation.value}), " if sides else ""
        )
        crop = "" if self.crop is None else f"centre {'×'.join(map(str, self.crop))}, "
        numbers = (" ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{first}{crop}image {self.image_size}², mean {next(numbers)}, std {next(numbers)}"


def preprocessing_settings(
    config: Mapping[str, Any], model_type: str, patch_size: int, image_size: int | None = None
) -> Plain:
    """Arguments of `HuggingFacePreprocessing` for a preprocessor_config.json.

    Args:
        config: what the file says; what it leaves out is what its image processor takes then.
        model_type: of the model, for files that do not say whose they are.
        patch_size: the image ends with the last whole patch: the model does not see what is beyond either.
        image_size: side of the images in pixels instead of the file's, resized in proportion; None: the file's.
    Raises:
        UserError: for settings that make no square image.
    """
    kind = _kind_of(config, model_type)
    settings = KINDS[kind] | {key: value for key, value in config.items() if value is not None}
    resize = _size(settings["size"], "size", kind in SQUARE) if settings["do_resize"] else None
    crop = _size(settings["crop_size"], "crop_size", True) if settings["do_center_crop"] else None
    final = resize if crop is None else crop
    if final is None or len(final) != 2 or final[0] != final[1]:
        raise UserError(f"preprocessor_config.json makes images of size {final}: they must be square, give crop_size")
    side = final[0] if image_size is None else require_count("image_size", image_size)
    require(side >= patch_size, f"image_size={side}: is smaller than one patch of {patch_size} pixels")
    require(
        settings["resample"] in FILTERS,
        f"resample={settings['resample']} of preprocessor_config.json is unknown: use 0 … {len(FILTERS) - 1}, as PIL",
    )
    unit = (
        255 * settings["rescale_factor"] if settings["do_rescale"] else 255.0
    )  # what white is before the mean is taken off
    mean, std = (settings["image_mean"], settings["image_std"]) if settings["do_normalize"] else (0.0, 1.0)
    return {
        "image_size": side // patch_size * patch_size,
        "resize": _scaled(resize, side / final[0]),
        "crop": _scaled(crop, side / final[0]),
        "interpolation": FILTERS[settings["resample"]].value,
        "mean": [value / unit for value in _channels("image_mean", mean)],
        "std": [value / unit for value in _channels("image_std", std)],
    }


def _kind_of(config: Mapping[str, Any], model_type: str) -> str:
    """Whose image processor it is; of one that is not known, that of the model."""
    named = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    found = [kind for kind in KINDS if named.startswith((f"{kind}Image", f"{kind}Feature"))]
    return found[0] if found else OF_MODELS[model_type]


def _size(value: Any, key: str, square: bool) -> list[int]:
    """[H, W] in pixels, or the length of the shorter side alone."""
    where = f"{key} of preprocessor_config.json"
    if isinstance(value, Mapping):
        if value.get("shortest_edge") is not None and value.get("longest_edge") is None:
            return [require_count(where, value["shortest_edge"])]
        if value.get("height") is None or value.get("width") is None:
            raise UserError(f"{key}={dict(value)} of preprocessor_config.json: give height and width, or shortest_edge")
        return [require_count(where, value["height"]), require_count(where, value["width"])]
    if isinstance(value, list | tuple) and len(value) == 2:
        return [require_count(where, side) for side in value]
    side = require_count(where, value)
    return [side, side] if square else [side]


def _scaled(size: list[int] | None, factor: float) -> list[int] | None:
    """A size for images of another size, in proportion."""
    return None if size is None else [round(side * factor) for side in size]


def _shape(name: str, sides: Sequence[int] | None, lengths: tuple[int, ...]) -> list[int] | None:
    """Sides in pixels, or UserError unless there are as many as `lengths` allows."""
    if sides is None:
        return None
    listed = isinstance(sides, Sequence) and not isinstance(sides, str) and len(sides) in lengths
    require(listed, f"{name}={sides}: give a height and a width in pixels")
    return [require_count(name, side) for side in sides]


def _channels(name: str, values: Any) -> tuple[float, ...]:
    """A number per channel, or UserError; one alone is that of all."""
    listed = [values] * 3 if isinstance(values, int | float) else values
    many = isinstance(listed, Sequence) and not isinstance(listed, str) and len(listed) == 3
    require(many, f"{name}={values}: give three numbers, one per channel")
    return tuple(require_number(name, value, -1000, 1000) for value in listed)


def _corner(length: int, side: int) -> int:
    """Where `_centre` begins; negative: the border before a shorter picture."""
    return (length - side) // 2 if length >= side else -((side - length) // 2)


def _centre(picture: Any, height: int, width: int) -> Any:
    """The centre of a picture, padded with black where it is smaller; half pixels go to the upper left, as `transformers` cuts."""
    rows, columns = F.get_dimensions(picture)[-2:]
    low, high = max(0, height - rows), max(0, width - columns)
    if low or high:
        picture = F.pad(picture, [high // 2, low // 2, (high + 1) // 2, (low + 1) // 2])
        rows, columns = rows + low, columns + high
    return F.crop(picture, (rows - height) // 2, (columns - width) // 2, height, width)
