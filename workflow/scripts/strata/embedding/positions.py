"""The position embedding as functions of position: how smooth each channel is, and how much of a sinusoid."""

import numpy as np
import xarray as xr
from scipy.signal import periodogram

from strata.embedding import NO_POSITIONS
from strata.embedding.names import FREQUENCY, GROUPS
from strata.names import CHANNEL, CHANNEL_SET, COMPONENT, POSITION
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import named
from strata.stats.seeding import generator
from strata.stats.shares import share_of_units
from strata.stats.svd import svd


def describe(
    position_embedding: xr.DataArray | None,
    upper: xr.DataArray | None,
    *,
    components: int,
    draws: int,
    resamples: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """How sinusoidal the channels of the position embedding and its leading components are.

    Parameters
    ----------
    position_embedding : DataArray (position, channel) or None
        None where the model has none: then the result is empty, and its attributes say so.
    upper : DataArray (channel), bool
        The upper group of channels (`strata.embedding.channels.split`).
    components : int
        Leading components, of the matrix less its mean over positions.
    draws : int
        Random series that the fits are compared with.
    resamples, interval, seed
        Of the bootstrap over channels; ``interval`` is a coverage, e.g. 0.95.

    Returns
    -------
    Dataset
        Exact, by (channel): what `best_sinusoid` returns, and ``autocorrelation`` with the next position.
        ``spectrum`` (channel, frequency), share of the variance at each Fourier frequency. Of the
        leading components: ``component_left`` (position, component), ``component_share`` of the variance
        about the mean over positions, ``component_explained``, ``component_frequency``.
        ``norm`` (position) of each position's vector, embedding units.

        Compared with ``draws`` random series of the same length, as fitted: ``explained_noise`` and
        ``explained_walk`` (draw), white noise and random walks: a walk is smooth, and no sinusoid.
        By (channel_set), see `GROUPS`: the means over channels ``mean_explained`` and
        ``mean_autocorrelation``, with intervals, and ``beyond_noise`` and ``beyond_walk``, the shares of
        channels that lie above the ``interval`` quantile of the random series, with intervals.
    """
    made = {"resamples": resamples, "interval": interval, "seed": seed}
    if position_embedding is None:
        return xr.Dataset(attrs={"position_embedding": NO_POSITIONS, **made})
    matrix = position_embedding.transpose(POSITION, CHANNEL).values.astype(float)
    n = len(matrix)
    centred = matrix - matrix.mean(0)
    fits = best_sinusoid(centred)
    left, values, _ = svd(centred)
    left, energy = left[:, :components], values**2
    component_fits = best_sinusoid(left.astype(float))

    rng = generator(seed)
    noise = rng.normal(size=(n, draws))
    random = {"noise": noise, "walk": rng.normal(size=(n, draws)).cumsum(0)}
    random = {name: best_sinusoid(series)["explained"] for name, series in random.items()}
    autocorrelation = _autocorrelation(centred)
    by_channel = {
        "explained": fits["explained"],
        "autocorrelation": autocorrelation,
        **{f"beyond_{name}": fits["explained"] > np.quantile(e, interval) for name, e in random.items()},
    }
    result = xr.Dataset(
        {
            **{name: (CHANNEL, values) for name, values in fits.items()},
            "autocorrelation": (CHANNEL, autocorrelation),
            "spectrum": ((FREQUENCY, CHANNEL), spectrum(centred)),
            "component_left": ((POSITION, COMPONENT), left),
            "component_share": (COMPONENT, (energy / energy.sum())[: left.shape[1]]),
            "component_explained": (COMPONENT, component_fits["explained"]),
            "component_frequency": (COMPONENT, component_fits["best_frequency"]),
            "norm": (POSITION, np.linalg.norm(matrix, axis=1)),
            **{f"explained_{name}": ("draw", values) for name, values in random.items()},
        },
        coords={
            FREQUENCY: np.fft.rfftfreq(n)[1:],
            POSITION: np.arange(n),
            COMPONENT: np.arange(left.shape[1]),
        },
    ).transpose(CHANNEL, ...)
    means = _means_by_group(by_channel, upper.values.astype(bool), Bootstrap(resamples, interval, seed))
    return xr.merge([result, means], join="exact").assign_attrs(position_embedding="present", **made)


def best_sinusoid(series: np.ndarray) -> dict[str, np.ndarray]:
    """The single sinusoid with a constant that fits each column best, by least squares.

    Frequencies are tried from half a cycle in all up to half a cycle a position, an eighth of a cycle in
    all apart: finer than those at which the columns would be independent.

    Parameters
    ----------
    series : array (position, column)

    Returns
    -------
    dict of arrays (column)
        ``best_frequency`` in cycles a position; ``explained``, the share of the variance about the mean
        (0 for a constant); ``amplitude``; ``phase`` in radians of a cosine, at position 0.

    Raises
    ------
    ValueError
        If there are fewer than four positions.
    """
    n = len(series)
    if n < 4:
        raise ValueError(f"a sinusoid is fitted to four positions at least, not {n}")
    centred = series - series.mean(0)
    total = (centred**2).sum(0)
    position = np.arange(n)
    found = np.full((2, series.shape[1]), -1.0)  # explained, frequency
    for frequency in np.arange(4, 4 * n) / (8 * n):
        basis = _waves(frequency, position)
        energy = ((np.linalg.qr(basis - basis.mean(0))[0].T @ centred) ** 2).sum(0)
        better = energy > found[0]
        found[:, better] = energy[better], np.full(better.sum(), frequency)
    energy, frequency = found
    coefficients = np.empty_like(found)
    for column, f in enumerate(frequency):
        basis = _waves(f, position)
        coefficients[:, column] = np.linalg.lstsq(basis - basis.mean(0), centred[:, column])[0]
    cosine, sine = coefficients
    return {
        "best_frequency": frequency,
        "explained": np.divide(energy, total, out=np.zeros_like(total), where=total > 0),
        "amplitude": np.hypot(cosine, sine),
        "phase": np.arctan2(-sine, cosine),
    }


def spectrum(series: np.ndarray) -> np.ndarray:
    """Share of each column's variance at every Fourier frequency above 0: (frequency, column)."""
    _, power = periodogram(series, detrend="constant", axis=0)
    total = power[1:].sum(0)
    return np.divide(power[1:], total, out=np.zeros_like(power[1:]), where=total > 0)


def _waves(frequency: float, position: np.ndarray) -> np.ndarray:
    angle = 2 * np.pi * frequency * position
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _autocorrelation(centred: np.ndarray) -> np.ndarray:
    """Correlation of each column with itself one position on; 0 for a constant."""
    total = (centred**2).sum(0)
    return np.divide((centred[1:] * centred[:-1]).sum(0), total, out=np.zeros_like(total), where=total > 0)


def _means_by_group(values: dict[str, np.ndarray], upper: np.ndarray, bootstrap: Bootstrap) -> xr.Dataset:
    def means(group: np.ndarray) -> xr.Dataset:
        return xr.merge(
            [
                share_of_units(name, value[group], bootstrap.interval)
                if value.dtype == bool
                else bootstrap.estimate(f"mean_{name}", np.mean, value[group])
                for name, value in values.items()
            ]
        )

    each = [means(upper), means(~upper)]
    return xr.concat(each, dim=named(CHANNEL_SET, GROUPS), join="exact")
