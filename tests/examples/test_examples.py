"""The example runs as it is written, and finds what is plain: shoes are told from all else."""

import numpy as np
import pytest

from jaxlinear.examples import layers

pytestmark = pytest.mark.full  # compiles for half a minute


def test_probes_of_layers(tmp_path, monkeypatch, capsys):
    told = layers.run(rows=2000, epochs=4)
    monkeypatch.setattr(layers, "run", lambda: told)
    layers.main(str(tmp_path / "layers.png"))
    assert told.auc.value.shape == told.control.shape == (4, 4)
    assert (told.auc.value[:, 0] > 0.99).all() and (told.auc.low <= told.auc.value).all()
    assert np.abs(told.control - 0.5).max() < 0.2
    assert "hidden 3" in capsys.readouterr().out
    assert (tmp_path / "layers.png").stat().st_size > 10_000
