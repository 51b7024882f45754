"""Sinusoids known on paper, and fits of sinusoids by scipy's own periodogram of Lomb and Scargle."""

import numpy as np
from scipy.signal import lombscargle

N = 96
CHANNELS = [(1.0, 3 / N, 0.0), (0.5, 7.5 / N, 1.0), (2.0, 0.5 / N, -2.0), (0.01, 0.25, 0.3)]
"""Amplitude, frequency in cycles a position, phase of a cosine."""


def sinusoids(n: int = N) -> np.ndarray:
    """(position, channel), about means that are not 0."""
    t = np.arange(n)
    waves = [a * np.cos(2 * np.pi * f * t + phase) for a, f, phase in CHANNELS]
    return np.stack(waves, axis=1) + [0.3, -1.0, 0.0, 5.0]


def best_sinusoid(series: np.ndarray) -> tuple[float, float]:
    """Frequency and share of variance explained of one series."""
    n = len(series)
    frequencies = np.array([k / (8 * n) for k in range(4, 4 * n)])
    series = series - series.mean()
    power = lombscargle(
        np.arange(n, dtype=float), series, 2 * np.pi * frequencies, normalize=True, floating_mean=True
    )
    return float(frequencies[power.argmax()]), float(power.max())


def autocorrelation(series: np.ndarray) -> float:
    mean = sum(series) / len(series)
    products = [(a - mean) * (b - mean) for a, b in zip(series, series[1:], strict=False)]
    return sum(products) / sum((a - mean) ** 2 for a in series)


def share_of_spectrum(series: np.ndarray) -> list[float]:
    """Share of the variance at each Fourier frequency, by the sums that define it."""
    n = len(series)
    power = []
    for k in range(1, n // 2 + 1):
        total = sum(x * np.exp(-2j * np.pi * k * t / n) for t, x in enumerate(series))
        power.append(abs(total) ** 2 * (1 if 2 * k == n else 2))
    return [p / sum(power) for p in power]
