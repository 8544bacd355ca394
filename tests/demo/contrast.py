"""How far colours of the page stand out from what is behind them."""

RATIOS = """([places, what]) => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!colour.startsWith('rgba') || !colour.endsWith(', 0)')) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return places.map(place => {
    const node = document.querySelector(place);
    const ground = what === 'color' ? node : node.parentElement;
    const pair = [light(getComputedStyle(node)[what]), light(behind(ground))];
    return [place, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
  });
}"""


def contrasts(page, places, what="color"):
    """WCAG's contrast ratio of the first element at each selector; `what` is the property with its colour."""
    return dict(page.evaluate(RATIOS, [places, what]))
