"""A toy preset: a web server as a process."""

from __future__ import annotations

from typing import Any

from envkit.config.models import Model
from envkit.config.presets import Preset


class ToyOptions(Model):
    """The options of the toy preset."""

    word: str = "toy"


def toy(options: ToyOptions) -> dict[str, Any]:
    command = ["python3", "-m", "http.server", "--bind", "${self.listen}", "${self.port}"]
    return {
        "process": {"command": command},
        "ports": {"web": {"container": 8000}},
        "probe": {"type": "toy", "port": "web"},
        "exports": {"TOY_URL": f"http://${{self.address}}/{options.word}"},
    }


PRESET = Preset(ToyOptions, toy)
