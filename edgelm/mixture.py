"""How much of each language, or of each task, a mixture takes, by their sizes."""


def temperature_shares(sizes: dict[str, int], temperature: float) -> dict[str, float]:
    """Shares in proportion to size ** (1 / temperature): 1 as the sizes are, towards equal as it grows."""
    weights = {code: size ** (1 / temperature) for code, size in sizes.items()}
    return {code: weight / sum(weights.values()) for code, weight in weights.items()}


def unimax_shares(sizes: dict[str, int], budget: float, max_epochs: float) -> dict[str, float]:
    """Shares as equal as can be with no language seen more than `max_epochs` times in `budget` tokens.

    UniMax (Chung et al., 2023). A budget of more than `max_epochs` times all languages together cannot keep
    to the cap: the shares are then in proportion to size, and every language is seen equally often.
    """
    given, left = {}, budget
    for number, code in enumerate(sorted(sizes, key=lambda code: (sizes[code], code))):
        given[code] = min(max_epochs * sizes[code], left / (len(sizes) - number))
        left -= given[code]
    return {code: given[code] / sum(given.values()) for code in sizes}


def bounded_shares(
    weights: dict[str, float], smallest: float, largest: dict[str, float] | float
) -> dict[str, float]:
    """Shares in proportion to weights, none below `smallest` and none above `largest`.

    What a bound takes from one is made up by those that no bound holds. Where the largest shares do not make
    up the whole, they decide; a smallest share gives way to a largest one, and to an equal share.
    """
    high = largest if isinstance(largest, dict) else dict.fromkeys(weights, largest)
    if sum(high.values()) <= 1:
        return {name: high[name] / sum(high.values()) for name in weights}
    low = {name: min(smallest, high[name], 1 / len(weights)) for name in weights}

    def at(scale: float) -> dict[str, float]:
        return {name: min(max(scale * weights[name], low[name]), high[name]) for name in weights}

    least, most = 0.0, max(high[name] / weights[name] for name in weights)
    for _ in range(100):  # the sum grows with the scale: halve until it is 1 to the last bit
        middle = (least + most) / 2
        least, most = (middle, most) if sum(at(middle).values()) < 1 else (least, middle)
    found = at(most)
    return {name: share / sum(found.values()) for name, share in found.items()}
