"""What a command says that is refused."""

import pytest

from faflow.cli import main


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a refused command writes."""
    capsys.readouterr()
    code = main(argv)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), (code, out, err)
    assert err.startswith("faflow: ") and err.count("\n") == 1 and err.endswith("\n"), err
    assert "Traceback" not in err
    return err
