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
