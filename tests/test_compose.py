"""The compose file: its shape, and that its commands are ones that the programs take."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import yaml

FILE = Path(__file__).parent.parent / "docker-compose.yml"


def test_services_name_images_volumes_and_each_other() -> None:
    compose = yaml.safe_load(FILE.read_text("utf-8"))
    services = compose["services"]
    assert set(services) == {"dosql", "dolake", "query", "store"}
    for name, service in services.items():
        assert service["image"].startswith("chrislusf/seaweedfs:" if name == "store" else "python:3.")
        for needed in service.get("depends_on", ()):
            assert needed in services
        shared = service.get("network_mode", "service:dosql").removeprefix("service:")
        assert shared in services
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source == "." or source in compose["volumes"]


def test_commands_are_those_of_the_programs() -> None:
    compose = yaml.safe_load(FILE.read_text("utf-8"))
    for name in ("dosql", "dolake"):
        shell, flag, script = shlex.split(compose["services"][name]["command"])
        assert (shell, flag) == ("sh", "-c")
        program, *args = shlex.split(script.split("exec ", 1)[1])
        assert program == name
        command = [sys.executable, "-m", program, *args, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    weed = str(Path(sys.executable).parent / "weed")
    known = subprocess.run([weed, "help", "mini"], capture_output=True, text=True, timeout=60)
    program, *options = compose["services"]["store"]["command"].split()
    assert program == "mini"
    for option in options:
        assert f"  {option.split('=')[0]} " in (known.stdout + known.stderr).replace("\n", " \n"), option
