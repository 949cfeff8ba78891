"""A run in a notebook: a line and a curve below the cell, drawn again and again."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path
from typing import Any

from acmelike.errors import first_line
from acmelike.telemetry.plots import draw_curve
from acmelike.telemetry.snapshot import RecordReader

logger = logging.getLogger("acmelike")

WIDTH = 620  # Of the curve, in pixels.


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which can show pictures."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookView:
    """Shows a line of text and, from the first evaluation on, a curve.

    Args:
      metrics: the file of the run's records.
      title: above the curve.
      target: a return, drawn as a line; None for no line.
    """

    def __init__(self, metrics: Path, *, title: str, target: float | None):
        self._records = RecordReader(metrics)
        self._title, self._target = title, target
        self._evaluations: list[dict[str, Any]] = []
        self._line: Any = None
        self._curve: Any = None
        self._is_broken = False

    def show(self, line: str) -> None:
        """Shows another line in place of the last, and new evaluations."""
        import IPython.display as ipython

        make_text: Any = ipython.Pretty
        self._line = _display(self._line, make_text(line.strip()))
        self.show_curve()

    def show_curve(self) -> None:
        """Shows new evaluations in the curve, unless it cannot be drawn.

        The user's settings of Matplotlib may need something that is not installed,
        such as LaTeX. Training then continues without the curve.
        """
        new = [r for r in self._records.read() if r["event"] != "progress"]
        if not new or self._is_broken:
            return
        self._evaluations += new
        try:
            self._draw(f"{new[-1]['env_steps']:,} environment steps")
        except Exception as error:
            self._is_broken = True
            logger.warning("the notebook shows no curve: %s", first_line(error))

    def _draw(self, subtitle: str) -> None:
        import IPython.display as ipython

        figure = draw_curve(
            self._evaluations,
            title=self._title,
            subtitle=subtitle,
            target=self._target,
        )
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        make_image: Any = ipython.Image
        image = make_image(data=picture.getvalue(), format="png", width=WIDTH)
        self._curve = _display(self._curve, image)


def _display(handle: Any, what: Any) -> Any:
    """Shows something, in the place of what a handle shows; returns the handle."""
    import IPython.display as ipython

    if handle is None:
        display: Any = ipython.display
        return display(what, display_id=True)
    handle.update(what)
    return handle
