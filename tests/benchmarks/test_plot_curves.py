"""The picture of learning curves: a panel for every task, a line for every seed."""

import json

from matplotlib.axes import Axes

from benchmarks.plot_curves import main


def test_every_seed_of_every_task_is_drawn(tmp_path, monkeypatch):
    drawn, plot = [], Axes.plot

    def keep(panel, x, y, **style):
        drawn.append((panel, list(x), list(y)))
        return plot(panel, x, y, **style)

    monkeypatch.setattr(Axes, "plot", keep)
    curve = {"env_steps": [1000, 2000], "mean_returns": [9.0, 480.0]}
    short = {"env_steps": [500], "mean_returns": [3.0]}
    details = {
        "ppo, 475 within 100,000": [curve, short],
        "impala on MinAtar/Breakout-v1, 12 within 3,000,000": [short],
    }
    report, picture = tmp_path / "learning.json", tmp_path / "docs" / "learning.png"
    report.write_text(json.dumps({"details": details}))
    main([str(report), str(picture)])
    first, second, third = drawn
    assert first[1:] == ([1000, 2000], [9.0, 480.0])
    assert first[0] is second[0] is not third[0]
    assert third[0].get_title(loc="left") == "impala on MinAtar/Breakout-v1"
    assert third[0].get_xlim() == (0, 3_000_000)
    assert picture.read_bytes().startswith(b"\x89PNG")
