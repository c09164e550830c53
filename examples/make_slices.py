"""Draws scan-like volumes in which only the course over the slices tells the class.

    python examples/make_slices.py slices/ [--patients 60] [--seed 0] [--size 128]

Every volume is a folder of grey slices: a body with organs and speckle, and one bright lesion whose
radius changes from slice to slice. How it changes is the class:

    bulge        thin, thick, thin
    waist        thick, thin, thick
    two_bulges   thin, thick, thin, thick, thin
    two_waists   thick, thin, thick, thin, thick

Slices by themselves cannot tell. For each volume a set of radii is drawn before its class matters,
and the class only puts them in order. Both halves of the volume get that same set, so not even the
slices of one half, as a bag, say anything: an answer that is averaged over the second half of the
slices, as ``edgecap evaluate`` does, is left with chance, 25 %, without memory. Whatever else is in
a slice (the body's outline, organs, texture, contrast, noise) wanders along the volume in ways that
have no beginning and no end, so that a slice does not tell where it lies either.

Each patient has one volume of every class, with the same body and contrast. Patients are the
groups: ``manifest.csv`` has ``path,label,group,fold``.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

CLASSES = ("bulge", "waist", "two_bulges", "two_waists")
# Divisible by four: half a volume holds the set of radii, arranged once or as two equal sides.
_SLICES = (24, 28, 32, 36, 40)
_FOLDS = 5
_SUBPIXEL_BITS = 4

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Wander:
    """A value that changes smoothly along the volume and is as likely at any slice as at another.

    Attributes:
      mean: its middle. reach: how far it goes from there.
      period: slices of the slower of its two waves. phases: of both.
    """

    mean: float
    reach: float
    period: float
    phases: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, low: float, high: float, reach: float) -> Wander:
        """A mean between ``low`` and ``high``."""
        first, second = rng.uniform(0, 2 * math.pi, 2).tolist()
        return cls(rng.uniform(low, high), reach, rng.uniform(25, 60), (first, second))

    def at(self, slice_number: int) -> float:
        angle = 2 * math.pi * slice_number / self.period
        slow = math.sin(angle + self.phases[0])
        fast = math.sin(2.3 * angle + self.phases[1])
        return self.mean + self.reach * (0.7 * slow + 0.3 * fast)


@dataclass(frozen=True)
class Ellipse:
    """Centre and half axes in shares of the picture's side, an angle in degrees, a grey value."""

    x: Wander
    y: Wander
    a: Wander
    b: Wander
    degrees: float
    grey: float

    def draw(self, plane: Plane, slice_number: int) -> None:
        """Fills it into a plane."""
        place = (self.x, self.y, self.a, self.b)
        x, y, a, b = (value.at(slice_number) for value in place)
        _fill(plane, x, y, a, b, self.degrees, self.grey)


@dataclass(frozen=True)
class Body:
    """A patient: what all of the patient's volumes share."""

    outline: Ellipse
    rim: float
    organs: tuple[Ellipse, ...]
    air: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Body:
        tissue = rng.uniform(70, 110)

        def near(value: float, reach: float) -> Wander:
            return Wander.draw(rng, value, value, reach)

        outline = Ellipse(
            near(0.5, 0.01),
            near(0.5, 0.01),
            near(rng.uniform(0.40, 0.45), 0.012),
            near(rng.uniform(0.32, 0.40), 0.012),
            rng.uniform(-8, 8),
            tissue,
        )
        organs = []
        for _ in range(rng.integers(4, 7)):
            angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.05, 0.24)
            half = rng.uniform(0.04, 0.11)
            organs.append(
                Ellipse(
                    near(0.5 + 1.2 * away * math.cos(angle), 0.015),
                    near(0.5 + away * math.sin(angle), 0.015),
                    near(half, 0.25 * half),
                    near(half * rng.uniform(0.6, 1.0), 0.2 * half),
                    rng.uniform(0, 180),
                    tissue + rng.choice([-1, 1]) * rng.uniform(12, 35),
                )
            )
        return cls(outline, tissue + rng.uniform(20, 40), tuple(organs), rng.uniform(5, 20))

    def slice(self, size: int, slice_number: int) -> tuple[Plane, Plane]:
        """Grey values without texture, and the mask of the body, ``(size, size)`` float32."""
        plane = np.full((size, size), self.air, np.float32)
        mask = np.zeros((size, size), np.float32)
        outline, thickness = self.outline, 0.015
        x, y = outline.x.at(slice_number), outline.y.at(slice_number)
        a, b = outline.a.at(slice_number), outline.b.at(slice_number)
        _fill(plane, x, y, a, b, outline.degrees, self.rim)
        _fill(plane, x, y, a - thickness, b - thickness, outline.degrees, outline.grey)
        _fill(mask, x, y, a, b, outline.degrees, 1.0)
        for organ in self.organs:
            organ.draw(plane, slice_number)
        return plane, mask


@dataclass(frozen=True)
class Scan:
    """What one volume has of its own; ``first`` is where in the patient it begins."""

    first: int
    radii: tuple[float, ...]
    x: Wander
    y: Wander
    aspect: float
    degrees: float
    contrast: float
    gain: float
    speckle: float
    tilt: float
    texture: tuple[tuple[float, ...], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, label: str) -> Scan:
        count = int(rng.choice(_SLICES))
        low, high = rng.uniform(0.020, 0.028), rng.uniform(0.085, 0.11)
        # Somewhere within equal steps, so that no two volumes have the same set.
        shares = (np.arange(count // 2) + rng.uniform(0.1, 0.9, count // 2)) / (count // 2)
        angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.04, 0.16)
        x, y = 0.5 + 1.2 * away * math.cos(angle), 0.5 + away * math.sin(angle)
        waves = [
            (*rng.normal(0, 12, 2), rng.uniform(-0.15, 0.15), rng.uniform(0, 2 * math.pi))
            for _ in range(6)
        ]
        return cls(
            first=int(rng.integers(1000)),
            radii=tuple(course(low + (high - low) * shares, label).tolist()),
            x=Wander.draw(rng, x, x, 0.02),
            y=Wander.draw(rng, y, y, 0.02),
            aspect=rng.uniform(0.75, 1.0),
            degrees=rng.uniform(0, 180),
            contrast=rng.uniform(60, 100),
            gain=rng.uniform(0.85, 1.15),
            speckle=rng.uniform(0.08, 0.16),
            tilt=rng.uniform(-10, 10),
            texture=tuple(waves),
        )


def course(radii: npt.NDArray[np.float64], label: str) -> npt.NDArray[np.float64]:
    """Puts a set of radii in the order of a class, once for each half of the volume.

    Args:
      radii: ``(N,)``, N even. label: one of ``CLASSES``.

    Returns:
      ``(2 · N,)``: either half holds every radius once.
    """
    rising = np.sort(radii)
    if label == "bulge":
        return np.concatenate([rising, rising[::-1]])
    if label == "waist":
        return np.concatenate([rising[::-1], rising])
    # Every other radius on the way there, the rest on the way back.
    bulge = np.concatenate([rising[::2], rising[1::2][::-1]])
    waist = np.concatenate([rising[::-1][::2], rising[::-1][1::2][::-1]])
    half = {"two_bulges": bulge, "two_waists": waist}[label]
    return np.concatenate([half, half])


def draw_slice(
    body: Body, scan: Scan, slice_number: int, size: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """One slice, ``(size, size)`` uint8; ``rng`` gives the speckle."""
    plane, mask = body.slice(size, scan.first + slice_number)
    lesion = np.zeros_like(plane)
    radius = scan.radii[slice_number]
    x, y = scan.x.at(slice_number), scan.y.at(slice_number)
    _fill(lesion, x, y, radius, radius * scan.aspect, scan.degrees, 1.0)
    plane = plane + scan.contrast * lesion
    # Smooth waves that run through the volume stand for tissue.
    across = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    for kx, ky, kz, phase in scan.texture:
        wave = np.sin(kx * across[None] + ky * across[:, None] + kz * slice_number + phase)
        plane += 3.0 * mask * wave.astype(np.float32)
    plane = cv2.GaussianBlur(plane, (0, 0), size / 128)
    speckle = rng.standard_normal((size, size), np.float32)
    speckle = 1.6 * cv2.GaussianBlur(speckle, (0, 0), 0.7)
    plane = scan.gain * plane * (1 + scan.speckle * speckle)
    plane += rng.normal(0, 2, plane.shape)
    middle = ((size - 1) / 2, (size - 1) / 2)
    turn = cv2.getRotationMatrix2D(middle, scan.tilt, 1.0)
    plane = cv2.warpAffine(plane, turn, (size, size), borderMode=cv2.BORDER_REPLICATE)
    grey: npt.NDArray[np.uint8] = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
    return grey


def _fill(
    plane: Plane, x: float, y: float, a: float, b: float, degrees: float, value: float
) -> None:
    """An ellipse with smooth edges; lengths in shares of the side."""
    size = plane.shape[0]
    mask = np.zeros(plane.shape, np.uint8)
    fine = size * (1 << _SUBPIXEL_BITS)
    cv2.ellipse(
        mask,
        (round(x * fine), round(y * fine)),
        (round(a * fine), round(b * fine)),
        degrees,
        0,
        360,
        255,
        -1,
        cv2.LINE_AA,
        _SUBPIXEL_BITS,
    )
    share = mask.astype(np.float32) / 255
    plane += share * (value - plane)


def make(folder: Path, *, patients: int, seed: int, size: int) -> Path:
    """Writes the volumes and the manifest; the same arguments give the same pictures.

    Returns:
      The manifest's path.
    """
    rows = []
    for patient in range(patients):
        # Seeds of one length: a list and the same one with a 0 behind it give the same numbers.
        body = Body.draw(np.random.default_rng([seed, patient, 0]))
        for number, label in enumerate(CLASSES, 1):
            rng = np.random.default_rng([seed, patient, number])
            scan = Scan.draw(rng, label)
            volume = folder / label / f"patient{patient:03d}"
            volume.mkdir(parents=True)
            for slice_number in range(len(scan.radii)):
                image = draw_slice(body, scan, slice_number, size, rng)
                cv2.imwrite(str(volume / f"{slice_number:03d}.png"), image)
            name = volume.relative_to(folder).as_posix()
            rows.append([name, label, f"patient{patient:03d}", patient % _FOLDS])
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "group", "fold"])
        writer.writerows(rows)
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="new or empty")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    arguments = parser.parse_args()
    if arguments.folder.exists() and any(arguments.folder.iterdir()):
        sys.exit(f"{arguments.folder} is not empty; choose another folder")
    manifest = make(
        arguments.folder, patients=arguments.patients, seed=arguments.seed, size=arguments.size
    )
    volumes = arguments.patients * len(CLASSES)
    print(f"{volumes} volumes of {arguments.patients} patients: {manifest}")


if __name__ == "__main__":
    main()
