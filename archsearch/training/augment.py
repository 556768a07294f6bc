"""What is done to a batch of training pictures, for the whole batch at once and on its device.

``Augment`` says what; ``Augmenter`` does it and normalises. All randomness comes from the
generator that is given, and no value is read back from the device. Pictures come as ``uint8`` of
shape (n, C, H, W); every picture of a batch is changed in its own way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..errors import UserError

ERASED_AREA = (0.02, 1 / 3)
ERASED_RATIO = (0.3, 1 / 0.3)
"""What random erasing covers: the part of the picture, and height to width (Zhong et al. 2020)."""

CROPPED_RATIO = (3 / 4, 4 / 3)
"""Width to height of a resized crop, both in parts of the picture (Szegedy et al. 2015)."""

STRONGEST = 30
"""The magnitude at which the operations of RandAugment are at their strongest."""


@dataclass(frozen=True)
class Augment:
    """What is done to training pictures; all off leaves them as they are.

    ``flip`` mirrors left and right with probability 1/2. ``crop`` shifts by up to so many pixels
    either way. ``rotate`` (degrees) and ``scale`` (relative) are drawn evenly from minus to plus.
    ``smallest_area`` below 1 takes a crop of at least that part of the picture and brings it to
    full size (Szegedy et al. 2015). ``reflect`` says what lies outside a picture: its mirror image,
    or black. ``erase`` is the probability of random erasing (Zhong et al. 2020). ``operations`` of
    RandAugment (Cubuk et al. 2020) are drawn for each picture, ``magnitude`` from 0 to 30.

    Raises ``UserError`` for a value out of its range.
    """

    flip: bool = False
    crop: int = 0
    rotate: float = 0.0
    scale: float = 0.0
    smallest_area: float = 1.0
    reflect: bool = False
    erase: float = 0.0
    operations: int = 0
    magnitude: float = 9

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("crop", 0, math.inf),
            ("rotate", 0, 180),
            ("scale", 0, 0.9),
            ("smallest_area", 0.01, 1),
            ("erase", 0, 1),
            ("operations", 0, math.inf),
            ("magnitude", 0, STRONGEST),
        ):
            value = getattr(self, name)
            if not lowest <= value <= highest:
                allowed = f"at least {lowest}" if highest == math.inf else f"{lowest} to {highest}"
                raise UserError(f"augmentation: {name} is {value}, must be {allowed}")

    @property
    def resamples(self) -> bool:
        """Whether pictures are interpolated: more than a shift by whole pixels and a mirroring."""
        return bool(self.rotate or self.scale or self.smallest_area < 1 or self.operations)

    @staticmethod
    def standard(shape: tuple[int, int, int], mirrored: bool, resized: bool = False) -> Augment:
        """A good default for pictures of ``shape`` (channels, height, width).

        Where a mirror image shows the same class (``mirrored``) these are photographs: small ones
        are shifted by an eighth and mirrored as is usual for CIFAR (He et al. 2016), large ones and
        those that had sizes of their own (``resized``) cropped. Otherwise they are signs on an
        empty ground, which people write shifted, turned and in their own size.
        """
        side = min(shape[1:])
        if mirrored and (resized or side > 64):
            return Augment(flip=True, smallest_area=0.25, reflect=True)
        if mirrored:
            return Augment(flip=True, crop=side // 8, reflect=True)
        if side < 16:
            return Augment(crop=1)
        return Augment(crop=round(side / 14), rotate=10.0, scale=0.1)

    @staticmethod
    def strong(shape: tuple[int, int, int], mirrored: bool, resized: bool = False) -> Augment:
        """``standard`` with two operations of RandAugment and random erasing: for long trainings
        of networks that learn their pictures by heart."""
        return replace(Augment.standard(shape, mirrored, resized), operations=2, erase=0.25)


class Augmenter:
    """Makes what a network takes from ``uint8`` pictures: augmented, and of mean 0 and deviation 1.

    ``mean`` and ``deviation`` are those of each channel, in parts of 255.
    """

    def __init__(
        self,
        augment: Augment,
        mean: tuple[float, ...],
        deviation: tuple[float, ...],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.augment = augment
        self.dtype = dtype
        self.memory_format = memory_format
        # A channel that never changes has deviation 0: it becomes 0, not infinite.
        scale = [1 / d if d > 0 else 1.0 for d in deviation]
        per_channel = torch.tensor(
            [[s / 255 for s in scale], [-m * s for m, s in zip(mean, scale, strict=True)]],
            device=device,
        )
        self._gain, self._offset = per_channel.view(2, 1, -1, 1, 1)

    def __call__(self, batch: Tensor, generator: Generator | None = None) -> Tensor:
        """Pictures (n, C, H, W) as the network takes them, in ``dtype`` and ``memory_format``.

        ``generator`` lies on the device of ``batch``. Without one, as for evaluation, pictures are
        only normalised.
        """
        augment = self.augment
        if generator is None:
            return self._normalised(batch.float())
        draw = _Draw(len(batch), generator)
        if augment.resamples:
            pictures = self._resampled(batch.float(), draw)
        elif augment.flip or augment.crop:
            dy, dx, mirror = _shift(augment, draw)
            pictures = shifted(batch, dy, dx, mirror, augment.reflect).float()
        else:
            pictures = batch.float()
        pictures = self._normalised(pictures)
        if augment.erase:
            # What is erased becomes 0: after normalisation, the mean of all pictures.
            pictures.mul_(1 - rectangles(augment.erase, batch.shape[2:], draw))
        return pictures

    def _normalised(self, pictures: Tensor) -> Tensor:
        """Overwrites ``pictures``."""
        pictures = pictures.mul_(self._gain).add_(self._offset)
        return pictures.to(self.dtype).contiguous(memory_format=self.memory_format)

    def _resampled(self, pictures: Tensor, draw: _Draw) -> Tensor:
        """All changes of place in one interpolation, then those of colour in the order drawn."""
        augment, size = self.augment, pictures.shape[2:]
        rounds = [(draw.whole(len(Operation)), draw.sign()) for _ in range(augment.operations)]
        strength = augment.magnitude / STRONGEST
        matrices = _base(augment, size, draw)
        for choice, sign in rounds:
            matrices = matrices @ displacement(choice, sign, strength, size)
        pictures = warped(pictures, matrices, augment.reflect)
        for choice, sign in rounds:
            pictures = recoloured(pictures, choice, sign, strength)
        return pictures


class _Draw:
    """One random value for each of ``n`` pictures, on the device of the generator."""

    def __init__(self, n: int, generator: Generator) -> None:
        self.n = n
        self._generator = generator

    def uniform(self, low: float, high: float) -> Tensor:
        unit = torch.rand(self.n, generator=self._generator, device=self._generator.device)
        return unit * (high - low) + low

    def log_uniform(self, low: float, high: float) -> Tensor:
        return self.uniform(math.log(low), math.log(high)).exp()

    def whole(self, count: int) -> Tensor:
        """Whole numbers below ``count``."""
        return torch.randint(
            count, (self.n,), generator=self._generator, device=self._generator.device
        )

    def sign(self) -> Tensor:
        return self.whole(2) * 2.0 - 1

    def chance(self, probability: float) -> Tensor:
        return self.uniform(0, 1) < probability


# -- where pixels are ----------------------------------------------------------------------------
def _shift(augment: Augment, draw: _Draw) -> tuple[Tensor, Tensor, Tensor]:
    """By how many pixels down and right each picture is read, and whether mirrored."""
    span = 2 * augment.crop + 1
    dy, dx = draw.whole(span) - augment.crop, draw.whole(span) - augment.crop
    return dy, dx, draw.chance(0.5 if augment.flip else 0.0)


def shifted(batch: Tensor, dy: Tensor, dx: Tensor, mirror: Tensor, reflect: bool) -> Tensor:
    """Pixel (i, j) of each picture is pixel (i + dy, j + dx) of the one given, of a mirrored one
    (i + dy, W - 1 - j + dx); ``dy``, ``dx`` and ``mirror`` are (n,). Outside lies black, or, where
    ``reflect``, the mirror image about the outermost pixels."""
    n, channels, height, width = batch.shape
    i = torch.arange(height, device=batch.device) + dy[:, None]
    j = torch.arange(width, device=batch.device)
    j = torch.where(mirror[:, None], width - 1 - j, j) + dx[:, None]
    pictures = batch.flatten(2)
    if reflect:
        index = _reflected(i, height)[:, :, None] * width + _reflected(j, width)[:, None, :]
    else:
        # One black pixel behind the last: what every place outside is read from.
        pictures = functional.pad(pictures, (0, 1))
        i = torch.where((i < 0) | (i >= height), height, i)
        j = torch.where((j < 0) | (j >= width), height * width, j)
        index = (i[:, :, None] * width + j[:, None, :]).clamp_(max=height * width)
    return pictures.gather(2, index.view(n, 1, -1).expand(n, channels, -1)).view_as(batch)


def _reflected(index: Tensor, size: int) -> Tensor:
    period = max(2 * (size - 1), 1)
    index = index % period
    return torch.minimum(index, period - index)


def _base(augment: Augment, size: tuple[int, ...], draw: _Draw) -> Tensor:
    """The maps (n, 3, 3) of ``warped`` for all but RandAugment."""
    height, width = size
    dy, dx, mirror = _shift(augment, draw)
    across = torch.where(mirror, -1.0, 1.0)
    matrices = _map(across=across, right=dx, down=dy)
    if augment.smallest_area < 1:
        area, ratio = draw.uniform(augment.smallest_area, 1), draw.log_uniform(*CROPPED_RATIO)
        wide, high = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        right = draw.uniform(-0.5, 0.5) * (1 - wide) * (width - 1)
        down = draw.uniform(-0.5, 0.5) * (1 - high) * (height - 1)
        matrices = matrices @ _map(across=wide, along=high, right=right, down=down)
    if augment.rotate:
        matrices = matrices @ _rotation(draw.uniform(-augment.rotate, augment.rotate))
    if augment.scale:
        smaller = 1 / draw.uniform(1 - augment.scale, 1 + augment.scale)
        matrices = matrices @ _map(across=smaller, along=smaller)
    return matrices


def _rotation(degrees: Tensor) -> Tensor:
    angle = degrees * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    return _map(across=cos, along=cos, shear_x=-sin, shear_y=sin)


def _map(
    *,
    across: Tensor | float = 1.0,
    along: Tensor | float = 1.0,
    shear_x: Tensor | float = 0.0,
    shear_y: Tensor | float = 0.0,
    right: Tensor | float = 0.0,
    down: Tensor | float = 0.0,
) -> Tensor:
    """Matrices (n, 3, 3) that take (x, y, 1) to
    (across x + shear_x y + right, shear_y x + along y + down, 1); at least one value is (n,)."""
    rows = (across, shear_x, right), (shear_y, along, down), (0.0, 0.0, 1.0)
    given = next(value for row in rows for value in row if isinstance(value, Tensor))
    matrices = torch.empty(len(given), 3, 3, device=given.device)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            matrices[:, i, j] = value
    return matrices


def warped(pictures: Tensor, matrices: Tensor, reflect: bool) -> Tensor:
    """Each pixel at (x, y, 1), counted in pixels from the centre right and down, is read where its
    picture's matrix (3, 3) takes it, bilinearly. What lies outside is as in ``shifted``."""
    height, width = pictures.shape[2:]
    x = torch.arange(width, device=pictures.device)[:, None] - (width - 1) / 2
    y = torch.arange(height, device=pictures.device)[:, None, None] - (height - 1) / 2
    halves = [max(size - 1, 1) / 2 for size in (width, height)]
    rows = torch.stack([matrices[:, i] / half for i, half in enumerate(halves)], 1)[:, None, None]
    # Each row of pixels is one contiguous sum of two vectors (W, 2).
    per_row = rows[..., 1].expand(-1, -1, width, -1).contiguous()
    grid = y * per_row + (rows[..., 0] * x + rows[..., 2])
    # With corners aligned, a reflection is about the outermost pixels as in ``shifted``.
    mode = "reflection" if reflect else "zeros"
    return functional.grid_sample(pictures, grid, padding_mode=mode, align_corners=True)


def rectangles(probability: float, size: tuple[int, ...], draw: _Draw) -> Tensor:
    """Maps (n, 1, H, W): with ``probability`` 1 in a rectangle, else 0 (Zhong et al. 2020)."""
    height, width = size
    area = draw.uniform(*ERASED_AREA) * height * width
    ratio = draw.log_uniform(*ERASED_RATIO)
    high = (area * ratio).sqrt().round().clamp(1, height) * draw.chance(probability)
    wide = (area / ratio).sqrt().round().clamp(1, width)
    masks = []
    for side, length in ((height, high), (width, wide)):
        start = (draw.uniform(0, 1) * (side - length + 1)).floor()[:, None]
        at = torch.arange(side, device=area.device)
        masks.append((at >= start) & (at < start + length[:, None]))
    return (masks[0][:, :, None] & masks[1][:, None, :])[:, None].float()


# -- RandAugment ---------------------------------------------------------------------------------
class Operation(IntEnum):
    """What RandAugment draws from (Cubuk et al. 2020), all but histogram equalisation."""

    IDENTITY = 0
    ROTATE = 1
    SHEAR_X = 2
    SHEAR_Y = 3
    TRANSLATE_X = 4
    TRANSLATE_Y = 5
    BRIGHTNESS = 6
    CONTRAST = 7
    COLOUR = 8
    SHARPNESS = 9
    AUTOCONTRAST = 10
    POSTERISE = 11
    SOLARISE = 12


def displacement(choice: Tensor, sign: Tensor, strength: float, size: tuple[int, ...]) -> Tensor:
    """The maps (n, 3, 3) of ``warped`` of each picture's drawn operation.

    At ``strength`` 1 pictures are turned by 30 degrees, sheared by 0.3 and moved by 150/331 of
    their size, as in torchvision. A change of colour moves nothing.
    """
    height, width = size

    def amount(operation: Operation, most: float) -> Tensor:
        return (choice == operation) * sign * (most * strength)

    return _rotation(amount(Operation.ROTATE, 30)) @ _map(
        shear_x=amount(Operation.SHEAR_X, 0.3),
        shear_y=amount(Operation.SHEAR_Y, 0.3),
        right=amount(Operation.TRANSLATE_X, 150 / 331 * width),
        down=amount(Operation.TRANSLATE_Y, 150 / 331 * height),
    )


def recoloured(pictures: Tensor, choice: Tensor, sign: Tensor, strength: float) -> Tensor:
    """Each picture, of values 0 to 255, after its drawn operation; one that moves pixels changes
    nothing here. Ranges are torchvision's, the operations those of Pillow."""

    def chosen(operation: Operation) -> Tensor:
        return (choice == operation)[:, None, None, None].float()

    grey, extent = _grey(pictures), (2, 3)
    low, high = pictures.amin(extent, keepdim=True), pictures.amax(extent, keepdim=True)
    stretched = chosen(Operation.AUTOCONTRAST) * (high - low >= 1)
    stretch = stretched * (255 / (high - low).clamp(min=1) - 1)
    # Four operations take a picture nearer to a plainer one (black, its mean, its greys, itself
    # smoothed), or further away; 0 where another operation was drawn.
    nearer = (-0.9 * strength * sign)[:, None, None, None]
    brightness = nearer * chosen(Operation.BRIGHTNESS)
    contrast = nearer * chosen(Operation.CONTRAST)
    colour = nearer * chosen(Operation.COLOUR)
    sharpness = nearer * chosen(Operation.SHARPNESS)

    step, threshold = 2.0 ** round(4 * strength), 256 * (1 - strength)
    remainder = pictures - (pictures / step).floor_().mul_(step)
    inversion = (255 - 2 * pictures).mul_((pictures >= threshold).float())

    result = pictures * (1 + stretch - brightness - contrast - colour - sharpness)
    result += contrast * grey.mean(extent, keepdim=True) - low * (stretch + stretched)
    result += grey * colour
    result += _smoothed(pictures).mul_(sharpness)
    result -= remainder.mul_(chosen(Operation.POSTERISE))
    result += inversion.mul_(chosen(Operation.SOLARISE))
    return result.clamp_(0, 255)


def _grey(pictures: Tensor) -> Tensor:
    """Luminance (n, 1, H, W): of three channels as ITU-R 601-2 weighs them, else the mean."""
    if pictures.shape[1] != 3:
        return pictures.mean(1, keepdim=True)
    red, green, blue = pictures.chunk(3, 1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _smoothed(pictures: Tensor) -> Tensor:
    """Inner pixels become means of 3x3 in which the centre weighs five times (Pillow's SMOOTH)."""
    smooth = pictures.clone()
    if min(pictures.shape[2:]) >= 3:
        inner = smooth[:, :, 1:-1, 1:-1]
        sums = pictures[..., :-2] + pictures[..., 1:-1] + pictures[..., 2:]
        inner.mul_(4).add_(sums[:, :, :-2]).add_(sums[:, :, 1:-1]).add_(sums[:, :, 2:]).div_(13)
    return smooth
