"""A trace as a picture: requests above, instances below, over the time of a real cluster. Plain SVG."""

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from tests.autoscaling.trace import Moment

_WIDTH, _LEFT, _RIGHT, _TOP, _PANEL, _GAP, _BOTTOM = 860, 64, 24, 56, 150, 46, 46
_INK, _GRID, _REQUESTS, _WAITING, _REPLICAS, _READY = "#24292f", "#d0d7de", "#0969da", "#bf8700", "#8250df", "#1a7f37"
_FONT = "font-family='system-ui, sans-serif'"


def draw(moments: Sequence[Moment], speed: int) -> str:
    """The picture.

    Args:
        moments: in their order.
        speed: how many times faster than a real cluster the trace was taken.
    """
    begun = moments[0].second
    length = (moments[-1].second - begun) * speed
    height = _TOP + 2 * _PANEL + _GAP + _BOTTOM

    def x(second: float) -> float:
        return _LEFT + (second - begun) * speed / length * (_WIDTH - _LEFT - _RIGHT)

    def panel(top: int, title: str, lines: Sequence[tuple[str, str, Callable[[Moment], int]]]) -> list[str]:
        most = max(value(moment) for moment in moments for _, _, value in lines)
        scale = _step(most)
        highest = -(-most // scale) * scale

        def y(value: float) -> float:
            return top + _PANEL - value / highest * _PANEL

        parts = [_text(_LEFT, top - 12, title, weight="600")]
        for value in range(0, highest + 1, scale):
            parts.append(_line(_LEFT, y(value), _WIDTH - _RIGHT, y(value)))
            parts.append(_text(_LEFT - 8, y(value) + 4, str(value), anchor="end"))
        legend = float(_WIDTH - _RIGHT)
        for name, colour, _ in reversed(lines):
            parts.append(_text(legend, top - 12, name, anchor="end", colour=colour, weight="600"))
            legend -= 7.5 * len(name) + 18
        for _, colour, value in lines:
            parts.append(_steps([(x(m.second), y(value(m))) for m in moments], colour))
        return parts

    body = [
        *panel(
            _TOP,
            "Requests in the system",
            [("all", _REQUESTS, lambda m: m.requests), ("waiting", _WAITING, lambda m: m.waiting)],
        ),
        *panel(
            _TOP + _PANEL + _GAP,
            "Instances",
            [("asked for", _REPLICAS, lambda m: m.replicas), ("ready", _READY, lambda m: m.ready)],
        ),
    ]
    base = _TOP + 2 * _PANEL + _GAP
    minutes = _step(int(length // 60))
    for minute in range(0, int(length // 60) + 1, minutes):
        at = x(begun + minute * 60 / speed)
        body.append(_text(at, base + 18, str(minute), anchor="middle"))
    body.append(_text(_WIDTH - _RIGHT, base + 36, "minutes on a cluster", anchor="end"))
    body.append(_text(_LEFT, base + 36, f"real KEDA, HPA controller and Prometheus, {speed} times as fast"))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' role='img' "
        f"aria-label='Instances follow the load: up at once, down after a lull and by halves'>\n"
        f"<rect width='{_WIDTH}' height='{height}' fill='#ffffff'/>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _step(most: int) -> int:
    """A round distance between about five lines of a grid."""
    step = 1
    for factor in (2, 2.5, 2) * 6:
        if most / step <= 8:
            break
        step = int(step * factor)
    return step


def _steps(points: Sequence[tuple[float, float]], colour: str) -> str:
    """A line that keeps each value until the next one; points in between are left out."""
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    before = points[0][1]
    for across, up in points[1:]:
        if up != before:
            path.append(f"H{across:.1f}V{up:.1f}")
            before = up
    path.append(f"H{points[-1][0]:.1f}")
    return f"<path d='{''.join(path)}' fill='none' stroke='{colour}' stroke-width='2'/>"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{_GRID}'/>"


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = _INK, weight: str = "400") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='13' {_FONT} font-weight='{weight}' fill='{colour}' "
        f"text-anchor='{anchor}'>{escape(text)}</text>"
    )
