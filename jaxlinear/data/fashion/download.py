"""Fetch the four files of Fashion-MNIST over the network, with a progress bar."""

import http.client
import urllib.request
from pathlib import Path

from tqdm import tqdm

from jaxlinear.data.fashion.files import WAYS_OUT, File, all_files, read_file
from jaxlinear.files.atomic import replacing

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
TIMEOUT = 30  # seconds without a byte


def fetch(folder: Path) -> None:
    """Download into ``folder`` those of the four files that are not there yet.

    Content is checked before a file takes its name. Raises ConnectionError when the network
    fails, ValueError when something else was served; files that came whole stay for a next try.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in all_files():
        path = folder / f"{file.name}.gz"
        if not _is_right(path, file):
            _download(URL + path.name, path, file)


def _is_right(path: Path, file: File) -> bool:
    try:
        read_file(path, file)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _download(url: str, path: Path, file: File) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, replacing(path) as output:
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            with tqdm(total=total, desc=path.name, unit="B", unit_scale=True) as bar:
                while block := response.read(1 << 16):
                    output.write(block)
                    bar.update(len(block))
            if total is not None and output.tell() < total:
                raise http.client.IncompleteRead(b"", total - output.tell())
            output.flush()
            read_file(Path(output.name), file, source=url)
    # OSError is left alone: it would catch a full disk as well.
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as e:
        raise ConnectionError(
            f"Cannot download {url} ({e}); try again when the network answers: files that came "
            f"whole are kept. {WAYS_OUT}."
        ) from e
