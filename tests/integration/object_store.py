"""A real S3-compatible store for tests: SeaweedFS, from the package index."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.store import S3Store

from tests.integration.processes import free_port

BUCKET = "bucket"
START_S = 60.0


class Weed:
    """A store that can be stopped and started again.

    Args:
        folder: For its files.

    Attributes:
        environment: What clients need.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._ports = {
            name: free_port() for name in ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")
        }
        self.endpoint = f"http://127.0.0.1:{self._ports['s3.port']}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": "test-key",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, prefix: str) -> str:
        """Returns the URL of a prefix."""
        return f"s3://{BUCKET}/{prefix}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        program = shutil.which("weed") or str(Path(sys.executable).parent / "weed")
        command = [program, "mini", f"-dir={self._folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}"]
        command += ["-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-master.telemetry=false"]
        command += [f"-{name}={port}" for name, port in self._ports.items()]
        with (self._folder.parent / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        store = S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region=self.environment["AWS_REGION"],
            client_options={"allow_http": True},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=1)},
        )
        deadline = time.monotonic() + START_S
        while True:
            try:
                list(obstore.list(store))
                return
            except obstore.exceptions.BaseError:  # not there, or without its bucket yet
                pass
            assert self.process.poll() is None, (self._folder.parent / "weed.log").read_text()
            assert time.monotonic() < deadline, "the store did not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """Kills it, as a network that goes away would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
