"""How colours look to others: simulated colour blindness and grey print, and how far apart two colours are then."""

import numpy as np

# full severity, for linear RGB; Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision
# deficiency", the authors' table of precomputed matrices
MACHADO = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
VISIONS = ("all cones", *MACHADO, "grey")


def linear(rgb):
    """sRGB in [0, 1] → linear (IEC 61966-2-1)."""
    rgb = np.asarray(rgb, dtype=float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(rgb, vision):
    """sRGB colours (…, 3) as CIE Lab of what is seen."""
    light = linear(rgb)
    if vision in MACHADO:
        light = np.clip(light @ np.array(MACHADO[vision]).T, 0, 1)
    if vision == "grey":
        light = np.repeat((light @ LUMINANCE)[..., None], 3, -1)
    xyz = light @ TO_XYZ.T / TO_XYZ.sum(1)
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def distance(first, second, vision):
    """CIE76 ΔE of two colours; 2.3 is just noticeable side by side."""
    return np.linalg.norm(seen(first, vision) - seen(second, vision), axis=-1)
