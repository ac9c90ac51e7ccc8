"""Fashion-MNIST: every source, every way it can go wrong, and what a rerun then does.

Most tests use a tiny data set of the same form, put in the place of the official digests, so
that nothing but the size is simulated. What the real files must show runs in processes of its own.
"""

import contextlib
import gzip
import hashlib
import http.server
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import timeit
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlinear.data.fashion.dataset import fashion_mnist, verify
from jaxlinear.data.fashion.sample import fashion_mnist_sample

ROOT = Path(__file__).parents[2]
OFFICIAL = ROOT.parent / "shared" / "fashion-mnist"
NAMES = [f"{a}-{b}-ubyte" for a in ("train", "t10k") for b in ("images-idx3", "labels-idx1")]

main = import_module("jaxlinear.data.fashion.dataset")
files = import_module("jaxlinear.data.fashion.files")
download = import_module("jaxlinear.data.fashion.download")

URL = download.URL
official = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official files are not at hand")
posix = pytest.mark.skipif(os.name != "posix", reason="array_record is for POSIX systems")
pytestmark = posix

# ------------------------------------------------------------------ helpers and fixtures


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def unpack(path):
    """Independent of the code under test: the values behind an idx header of 16 or 8 bytes."""
    data = gzip.decompress(path.read_bytes())
    return np.frombuffer(data, np.uint8, offset=16 if "images" in path.name else 8)


def tiny_arrays(seed):
    random = np.random.default_rng(seed)
    for count in (200, 100):
        yield random.integers(0, 256, (count, 28, 28), np.uint8)
        yield random.permutation(np.arange(count) % 10).astype(np.uint8)


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path, monkeypatch):
    """No default data_dir, no package, no network: what a test wants it must set up."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(main, "DEBIAN", tmp_path / "no-package")
    monkeypatch.setattr(download, "URL", "http://127.0.0.1:9/")


def replace_files(monkeypatch, arrays):
    """Put ``arrays`` in the place of the official files; return their idx bytes by name."""
    contents = dict(zip(NAMES, map(idx, arrays), strict=True))
    table = [
        files.File(name, array.shape, hashlib.sha256(contents[name]).hexdigest())
        for name, array in zip(NAMES, arrays, strict=True)
    ]
    monkeypatch.setitem(files.FILES, "train", tuple(table[:2]))
    monkeypatch.setitem(files.FILES, "test", tuple(table[2:]))
    return contents


@pytest.fixture
def tiny(monkeypatch):
    """A data set of 200 + 100 random images in the place of the official files."""
    return replace_files(monkeypatch, list(tiny_arrays(0)))


def put(folder, contents, *, compress=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        path = folder / (f"{name}.gz" if compress else name)
        path.write_bytes(gzip.compress(data) if compress else data)
    return folder


def assert_is(data, contents):
    """``data`` holds what the idx files ``contents`` hold."""
    for split, (images, labels) in ((data.train, NAMES[:2]), (data.test, NAMES[2:])):
        x = np.frombuffer(contents[images], np.uint8, offset=16).reshape(-1, 784)
        np.testing.assert_array_equal(split.x, x)
        np.testing.assert_array_equal(split.y, np.frombuffer(contents[labels], np.uint8, offset=8))


def forbid(monkeypatch, module, name):
    def forbidden(*args, **kwargs):
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(module, name, forbidden)


def temporaries(folder):
    return [p for p in folder.rglob("*") if p.suffix == ".tmp" or p.name.startswith("incomplete.")]


@pytest.fixture
def serve():
    """Serve bodies by path on this machine: ``serve(body) -> URL``."""
    servers = []

    def serve_bodies(body, length=None, status=200):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                data = body(self.path[1:])
                self.send_response(status)
                self.send_header("Content-Length", str(length or len(data)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the client gave up
                    self.wfile.write(data)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve_bodies
    for server in servers:
        server.shutdown()
        server.server_close()


PROGRAM = """
import json, sys
import jaxlinear.data.fashion.dataset
assert "tensorflow_datasets" not in sys.modules, "imported before it is needed"
main = sys.modules["jaxlinear.data.fashion.dataset"]
main.DEBIAN = main.Path("/no-package")
settings = json.loads(sys.argv[1])
if "url" in settings:
    import jaxlinear.data.fashion.download as download
    download.URL = settings["url"]
for split, table in settings.get("files", {}).items():
    main.files.FILES[split] = [main.files.File(n, tuple(s), d) for n, s, d in table]
if "limit" in settings:  # the largest file that may be written: a disk that gets full
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (settings["limit"],) * 2)
if "interrupt" in settings:  # a signal at the moment before a file or folder gets its name
    import fnmatch, os
    kind, pattern = settings["interrupt"]
    def interrupt(event, arguments):
        if event == "os.rename" and fnmatch.fnmatch(os.fspath(arguments[0]), pattern):
            os.kill(os.getpid(), kind)
    sys.addaudithook(interrupt)
data = main.fashion_mnist(settings["directory"])
assert "tensorflow" not in sys.modules, "tensorflow was imported"
print("tensorflow_datasets" in sys.modules, *data.train.x.shape, int(data.test.y.sum()))
"""


def start(directory, **settings):
    """Load the data in a process of its own, on the terms that PROGRAM reads."""
    settings = json.dumps({"directory": str(directory), **settings})
    return subprocess.Popen(
        [sys.executable, "-B", "-c", PROGRAM, settings],
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


# ------------------------------------------------------------------ the official files


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data_dir that two processes prepared at once from the folder of the official files."""
    if not OFFICIAL.is_dir():
        pytest.skip("the official files are not at hand")
    data_dir = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(data_dir))
        both = [start(OFFICIAL), start(OFFICIAL)]
        outputs = sorted(finish(process) for process in both)
    # One wrote the records. The other waited and read the cache, without tensorflow_datasets.
    assert outputs == ["False 60000 784 45000\n", "True 60000 784 45000\n"]
    return data_dir


def test_official_arrays_bit_for_bit(prepared):
    data = fashion_mnist(prepared)
    for split, prefix in ((data.train, "train"), (data.test, "t10k")):
        assert split.x.dtype == jnp.uint8
        assert split.y.dtype == jnp.int32
        images = unpack(OFFICIAL / f"{prefix}-images-idx3-ubyte.gz")
        labels = unpack(OFFICIAL / f"{prefix}-labels-idx1-ubyte.gz")
        np.testing.assert_array_equal(split.x, images.reshape(-1, 784))
        np.testing.assert_array_equal(split.y, labels)
    assert data.names[0] == "t-shirt"
    assert data.names[9] == "ankle boot"


def test_second_load_is_fast(prepared):
    jnp.zeros(1).block_until_ready()

    def load():
        fashion_mnist(prepared).train.x.block_until_ready()

    assert min(timeit.repeat(load, number=1, repeat=3)) < 0.5


@official
def test_digests_stem_from_the_files_that_tensorflow_datasets_knows():
    package = Path(find_spec("tensorflow_datasets").submodule_search_locations[0])
    lines = (package / "url_checksums" / "fashion_mnist.txt").read_text().splitlines()
    known = {line.split("\t")[0]: line.split("\t")[2] for line in lines}
    for file in files.all_files():
        data = (OFFICIAL / f"{file.name}.gz").read_bytes()
        assert hashlib.sha256(data).hexdigest() == known[f"{URL}{file.name}.gz"]
        assert hashlib.sha256(gzip.decompress(data)).hexdigest() == file.digest


@official
def test_builder_alone_takes_the_official_files_from_tensorflow_datasets(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "URL", URL)
    builder = import_module("jaxlinear.data.fashion.builder")
    tfds = import_module("tensorflow_datasets")
    manager = tfds.download.DownloadManager(download_dir=tmp_path, manual_dir=OFFICIAL)
    alone = builder.JaxlinearFashionMnist(data_dir=tmp_path)
    generators = alone._split_generators(manager)
    _, example = next(iter(generators["test"]))
    np.testing.assert_array_equal(
        example["image"], unpack(OFFICIAL / "t10k-images-idx3-ubyte.gz")[:784]
    )
    assert example["label"] == 9

    shutil.copytree(OFFICIAL, tmp_path / "other", copy_function=shutil.copyfile)
    labels = tmp_path / "other" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(gzip.decompress(labels.read_bytes())))
    manager = tfds.download.DownloadManager(download_dir=tmp_path, manual_dir=labels.parent)
    with pytest.raises(Exception, match="wrong checksum"):
        alone._split_generators(manager)


@official
def test_official_files_over_the_network(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(download, "URL", serve(lambda name: (OFFICIAL / name).read_bytes()))
    download.fetch(tmp_path)
    for name in NAMES:
        assert (tmp_path / f"{name}.gz").read_bytes() == (OFFICIAL / f"{name}.gz").read_bytes()


# ------------------------------------------------------------------ where the images come from


@pytest.mark.parametrize("compress", [True, False])
def test_folder_of_the_four_files_is_only_read(tmp_path, tiny, compress):
    folder = put(tmp_path / "folder", tiny, compress=compress)
    before = sorted(folder.rglob("*"))
    assert_is(fashion_mnist(folder), tiny)
    assert sorted(folder.rglob("*")) == before
    assert (tmp_path / "default" / main.NAME / main.VERSION / "train.npy").exists()


@pytest.mark.parametrize("level", [0, 1])
def test_other_wrapping_same_images(tmp_path, tiny, level):
    folder = put(tmp_path / "folder", {})
    for name, data in tiny.items():
        with gzip.GzipFile(f"{folder / name}.gz", "wb", compresslevel=level, mtime=12345) as file:
            file.write(data)
    assert_is(fashion_mnist(str(folder)), tiny)


def test_repeated_load_reads_the_cache_alone(tmp_path, tiny, monkeypatch):
    folder = put(tmp_path / "folder", tiny)
    fashion_mnist(folder)
    forbid(monkeypatch, files, "read")
    forbid(monkeypatch, main, "_prepare")
    assert_is(fashion_mnist(folder), tiny)
    assert_is(fashion_mnist(), tiny)


def test_files_in_downloads_manual(tmp_path, tiny):
    put(tmp_path / "data" / "downloads" / "manual", tiny)
    assert_is(fashion_mnist(tmp_path / "data"), tiny)
    assert not (tmp_path / "default").exists()


def test_files_of_the_debian_package(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(main, "DEBIAN", put(tmp_path / "package", tiny))
    assert_is(fashion_mnist(), tiny)


def test_home_is_the_default(tmp_path, tiny, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    fashion_mnist(put(tmp_path / "folder", tiny))
    assert (tmp_path / "tensorflow_datasets" / main.NAME).is_dir()


def test_a_data_dir_that_holds_the_files_as_well_is_a_data_dir(tmp_path, tiny):
    put(tmp_path / "data" / "downloads" / "manual", tiny)
    fashion_mnist(tmp_path / "data")
    put(tmp_path / "data", {NAMES[0]: b"something else"})
    assert_is(fashion_mnist(tmp_path / "data"), tiny)


def test_network_with_a_progress_bar(tmp_path, tiny, serve, monkeypatch, capfd):
    asked = []
    monkeypatch.setattr(
        download, "URL", serve(lambda name: asked.append(name) or gzip.compress(tiny[name[:-3]]))
    )
    assert_is(fashion_mnist(tmp_path / "data"), tiny)
    assert asked == [f"{name}.gz" for name in NAMES]
    output, errors = capfd.readouterr()
    assert "train-images-idx3-ubyte.gz: 100%" in errors
    assert output == ""  # standard output belongs to the program


def test_files_that_came_whole_are_not_fetched_again(tmp_path, tiny, serve, monkeypatch):
    put(tmp_path / "data" / "downloads" / main.NAME, {name: tiny[name] for name in NAMES[:3]})
    asked = []
    monkeypatch.setattr(
        download, "URL", serve(lambda name: asked.append(name) or gzip.compress(tiny[name[:-3]]))
    )
    assert_is(fashion_mnist(tmp_path / "data"), tiny)
    assert asked == [f"{NAMES[3]}.gz"]


# ------------------------------------------------------------------ what can go wrong


def test_no_network(tmp_path, tiny):
    with pytest.raises(ConnectionError, match=r"Cannot download http://127.*refused") as caught:
        fashion_mnist()
    for way_out in ("`directory`", "dataset-fashion-mnist", "fashion_mnist_sample()"):
        assert way_out in str(caught.value)
    assert not (tmp_path / "default" / main.NAME / main.VERSION).exists()


def other(name):
    """What plain MNIST is to Fashion-MNIST: the same names and shapes, other content."""
    return dict(zip(NAMES, map(idx, tiny_arrays(1)), strict=True))[name]


def unbalanced(count):
    labels = np.arange(count, dtype=np.uint8) % 10
    labels[0] = 1
    return idx(labels)


BAD = {
    "a web page": (lambda data: b"<!DOCTYPE html><title>Log in</title>", "is a web page"),
    "gzipped page": (lambda data: gzip.compress(b"\n<html>"), "is a web page"),
    "empty": (lambda data: b"", "is not an idx file"),
    "noise": (lambda data: b"\x01\x02\x03\x04\x05", "is not an idx file"),
    "truncated gzip": (lambda data: gzip.compress(data)[:-20], "truncated or damaged gzip"),
    "damaged gzip": (lambda data: gzip.compress(data)[:-8] + bytes(8), "truncated or damaged gzip"),
    "cut before": (lambda data: gzip.compress(data[:-5]), "expected .* bytes of shape"),
    "cut in the header": (lambda data: gzip.compress(data[:6]), "holds 6 bytes"),
    "too long": (lambda data: gzip.compress(data + b"\0"), "holds more than"),
    "one bit": (lambda data: gzip.compress(data[:-1] + bytes([data[-1] ^ 1])), "plain MNIST"),
}


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("kind", BAD)
def test_wrong_content_at_hand(tmp_path, tiny, kind, name):
    make, message = BAD[kind]
    folder = put(tmp_path / "folder", tiny)
    (folder / f"{name}.gz").write_bytes(make(tiny[name]))
    with pytest.raises(ValueError, match=f"{folder}/{name}.gz .*{message}") as caught:
        fashion_mnist(folder)
    assert "fashion_mnist_sample()" in str(caught.value)
    assert not (tmp_path / "default" / main.NAME / main.VERSION).exists()


@pytest.mark.parametrize("kind", BAD)
def test_wrong_content_served(tmp_path, tiny, serve, monkeypatch, kind):
    make, message = BAD[kind]
    url = serve(lambda name: make(tiny[name[:-3]]))
    monkeypatch.setattr(download, "URL", url)
    with pytest.raises(ValueError, match=f"{url}{NAMES[0]}.gz .*{message}"):
        fashion_mnist()
    assert not [p for p in (tmp_path / "default" / "downloads").rglob("*") if p.is_file()]


def test_plain_mnist_under_these_names(tmp_path, tiny, serve, monkeypatch):
    monkeypatch.setattr(download, "URL", serve(lambda name: gzip.compress(other(name[:-3]))))
    with pytest.raises(ValueError, match=r"the shape of Fashion-MNIST.* other content .*MNIST"):
        fashion_mnist()


def test_other_shape(tmp_path, tiny):
    folder = put(tmp_path / "folder", tiny)
    put(folder, {NAMES[0]: idx(np.zeros((200, 14, 56), np.uint8))})
    with pytest.raises(ValueError, match=r"shape \(200, 14, 56\), expected .*\(200, 28, 28\)"):
        fashion_mnist(folder)


def test_labels_that_are_not_balanced(tmp_path, tiny):
    folder = put(tmp_path / "folder", {**tiny, NAMES[1]: unbalanced(200)})
    with pytest.raises(ValueError, match=r"\[19, 21, 20, .* expected 20 of each of 0-9"):
        fashion_mnist(folder)


def test_connection_that_breaks_off(tmp_path, tiny, serve, monkeypatch):
    monkeypatch.setattr(download, "URL", serve(lambda name: b"\x1f\x8b begun", length=1000))
    with pytest.raises(ConnectionError, match=r"Cannot download .*IncompleteRead.*try again"):
        fashion_mnist()
    assert not temporaries(tmp_path)


def test_connection_that_stalls(tiny, serve, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    monkeypatch.setattr(download, "URL", serve(lambda name: time.sleep(1) or b""))
    with pytest.raises(ConnectionError, match="timed out"):
        fashion_mnist()


def test_server_that_refuses(tiny, serve, monkeypatch):
    monkeypatch.setattr(download, "URL", serve(lambda name: b"gone", status=404))
    with pytest.raises(ConnectionError, match="HTTP Error 404"):
        fashion_mnist()


def test_some_of_the_four_are_missing(tmp_path, tiny):
    folder = put(tmp_path / "folder", {name: tiny[name] for name in NAMES[:2]})
    with pytest.raises(FileNotFoundError, match=f"lacks {NAMES[2]}.gz, {NAMES[3]}.gz; expected"):
        fashion_mnist(folder)


def test_wrong_files_in_downloads_manual_are_passed_over(tmp_path, tiny, serve, monkeypatch):
    manual = put(tmp_path / "data" / "downloads" / "manual", {n: other(n) for n in NAMES})
    with pytest.raises(ConnectionError, match=r"(?s)Cannot download.*of use: .*/manual/.*MNIST"):
        fashion_mnist(tmp_path / "data")
    monkeypatch.setattr(download, "URL", serve(lambda name: gzip.compress(tiny[name[:-3]])))
    assert_is(fashion_mnist(tmp_path / "data"), tiny)
    assert len(list(manual.iterdir())) == 4


def test_directory_that_is_a_file(tmp_path, tiny):
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match=r"Cannot prepare.*TFDS_DATA_DIR"):
        fashion_mnist(tmp_path / "file")


def test_directory_that_cannot_be_written(tiny, monkeypatch):
    import_module("jaxlinear.data.fashion.builder")  # while this process may read it
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        folder, default = put(Path(place) / "folder", tiny), Path(place) / "default"
        default.mkdir(mode=0o555)
        monkeypatch.setenv("TFDS_DATA_DIR", str(default))
        root = os.geteuid() == 0  # root may write anywhere: be somebody else for a while
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError, match=f"prepare .* in {default}.*TFDS_DATA_DIR"):
                fashion_mnist(folder)
        finally:
            if root:
                os.seteuid(0)
        assert not list(default.iterdir())


# ------------------------------------------------------------------ damage, leftovers, mending


@pytest.fixture
def data_dir(tmp_path, tiny):
    put(tmp_path / "data" / "downloads" / "manual", tiny)
    fashion_mnist(tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "downloads")  # from here on there is no source
    return tmp_path / "data"


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("position", [7, 70, 200, -1, None])
def test_damaged_cache_is_mended_from_the_records(data_dir, tiny, position):
    cached = data_dir / main.NAME / main.VERSION / "train.npy"
    if position is None:
        cached.write_bytes(cached.read_bytes()[:-100])
    else:
        flip(cached, position)
    assert_is(fashion_mnist(data_dir), tiny)
    np.testing.assert_array_equal(np.load(cached)[:, -1], unpack_labels(tiny))


def unpack_labels(contents):
    return np.frombuffer(contents[NAMES[1]], np.uint8, offset=8)


def test_damaged_records_are_mended_from_the_cache(data_dir, tiny):
    folder = data_dir / main.NAME / main.VERSION
    record = next(folder.glob("*train.array_record*"))
    before = record.read_bytes()
    flip(record, len(before) // 2)
    assert verify(data_dir) == (folder, {"train": 200, "test": 100})
    assert record.read_bytes() == before
    (folder / "test.npy").unlink()
    assert_is(fashion_mnist(data_dir), tiny)  # the records are whole again


def test_damaged_both_is_prepared_again(data_dir, tiny):
    folder = data_dir / main.NAME / main.VERSION
    next(folder.glob("*train.array_record*")).unlink()
    flip(folder / "train.npy", -1)
    with pytest.raises(ConnectionError):
        fashion_mnist(data_dir)
    put(data_dir / "downloads" / "manual", tiny)
    assert_is(fashion_mnist(data_dir), tiny)
    assert verify(data_dir).counts == {"train": 200, "test": 100}


def test_leftovers_are_removed(data_dir, tiny):
    folder = data_dir / main.NAME
    (folder / "incomplete.ABCDEF_1.0.0").mkdir()
    (folder / "incomplete.ABCDEF_1.0.0" / "part").write_bytes(b"part")
    (folder / main.VERSION / ".train.npy.0123.tmp").write_bytes(b"part")
    (folder / main.VERSION / "train.npy").unlink()
    assert_is(fashion_mnist(data_dir), tiny)
    assert not temporaries(data_dir)


def test_verify_prepares_and_says_where(tmp_path, tiny):
    result = verify(put(tmp_path / "folder", tiny))
    assert result.path == tmp_path / "default" / main.NAME / main.VERSION
    assert result.counts == {"train": 200, "test": 100}
    assert list(result.path.glob("*.array_record*"))


# ------------------------------------------------------------------ processes that come to an end


@pytest.fixture
def small(monkeypatch):
    """The embedded sample in the place of the official files: large enough to be interrupted."""
    sample = fashion_mnist_sample()
    arrays = [np.asarray(a) for s in (sample.train, sample.test) for a in (s.x, s.y)]
    arrays = [a.reshape(-1, 28, 28) if a.ndim == 2 else a.astype(np.uint8) for a in arrays]
    return replace_files(monkeypatch, arrays)


@pytest.mark.full
def test_interrupted_in_every_way_then_run_again(tmp_path, small, serve):
    """A full disk and SIGKILL at every stage, and Ctrl-C; after all of them a run succeeds."""
    bodies = {f"{name}.gz": gzip.compress(data, 1) for name, data in small.items()}
    terms = {"url": serve(bodies.get), "files": files.FILES}
    downloads, records = (tmp_path / p / main.NAME for p in ("downloads", "."))

    def interrupt(kind, pattern):
        process = start(tmp_path, **terms, interrupt=[kind, pattern])
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -kind, errors

    def fill(limit):
        process = start(tmp_path, **terms, limit=limit)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"No room in {tmp_path} for Fashion-MNIST" in errors
        assert "use jl.data.fashion_mnist_sample()" in errors
        assert not temporaries(tmp_path)

    fill(1_000_000)  # smaller than the training images
    interrupt(signal.SIGKILL, "*/.train-images*.tmp")
    assert temporaries(downloads)
    assert not list(downloads.glob("*.gz"))

    interrupt(signal.SIGKILL, "*/incomplete.*")
    assert list(records.glob("incomplete.*/*array_record*"))
    assert len(list(downloads.glob("*.gz"))) == 4
    assert not temporaries(downloads)

    interrupt(signal.SIGINT, "*/incomplete.*")
    assert not temporaries(tmp_path)
    fill(1_000_000)  # smaller than the records
    assert not (records / main.VERSION).exists()
    fill(4_000_000)  # smaller than the cache
    assert not (records / main.VERSION / "train.npy").exists()

    assert finish(start(tmp_path, **terms)) == "True 6000 784 4500\n"
    assert_is(fashion_mnist(tmp_path), small)


@pytest.mark.full
def test_a_dead_process_keeps_nobody_waiting(tmp_path, small):
    put(tmp_path / "data" / "downloads" / "manual", small)
    lock = tmp_path / "data" / main.NAME / ".lock"
    lock.parent.mkdir(parents=True)
    hold = "import fcntl, sys; fcntl.flock(f := open(sys.argv[1], 'a'), 2); print(1, flush=True)"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{hold}; sys.stdin.read()", str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        holder.stdout.readline()
        waiting = start(tmp_path / "data", files=files.FILES)
        assert "Waiting for the process that prepares" in waiting.stderr.readline()
        holder.kill()
    assert finish(waiting) == "True 6000 784 4500\n"
