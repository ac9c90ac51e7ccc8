"""Fashion-MNIST as a tensorflow-datasets builder that works without TensorFlow.

Importing this module imports tensorflow_datasets: do so only when records must be written or read.
The builder has a name of its own, so a ``fashion_mnist`` that TensorFlow prepared in the same
data_dir is neither read nor replaced.
"""

import contextlib
import shutil
import sys
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from jaxlinear.data.fashion import download
from jaxlinear.data.fashion.files import CLASSES, FILES, Split, Splits, all_files, check, read_file


class JaxlinearFashionMnist(tfds.core.GeneratorBasedBuilder):
    """70,000 images of clothes, 28 × 28 pixels of 8 bits, in ten classes; in the official order.

    ``splits`` are arrays that were checked already. Without them the builder asks
    tensorflow-datasets for the official files, whose SHA-256 it knows: from ``downloads/manual``
    of the data_dir, or from the network.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, splits: Splits | None = None, **kwargs) -> None:
        """Take the arrays to write, and the arguments of every tensorflow-datasets builder."""
        self._splits = splits
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        # Raw bytes: without an encoding every pixel becomes a 64-bit integer, twice as slow.
        pixels = tfds.features.Tensor(
            shape=(784,), dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), in the official order.",
            homepage="https://github.com/zalandoresearch/fashion-mnist",
            license="MIT, Zalando SE",
            features=tfds.features.FeaturesDict(
                {"image": pixels, "label": tfds.features.ClassLabel(names=CLASSES)}
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        splits = self._splits or _official(dl_manager)
        return {name: self._generate_examples(split) for name, split in splits.items()}

    def _generate_examples(self, split: Split):
        for index, (image, label) in enumerate(zip(*split, strict=True)):
            yield index, {"image": image, "label": int(label)}


def prepare(data_dir: Path, splits: Splits) -> None:
    """Write ``splits`` as array_record files into ``data_dir``, in place of damaged ones.

    tensorflow-datasets writes into a directory of another name and renames it at the end.
    Raises OSError, or RuntimeError from the writer of array_record, when that cannot be written.
    """
    builder = _builder(data_dir, splits)
    shutil.rmtree(builder.data_path, ignore_errors=True)
    # It prints where it writes; standard output belongs to the program that called us.
    with contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )


def read(data_dir: Path) -> Splits | None:
    """Read the array_record files and check them, or return None when missing or damaged."""
    try:
        builder = _builder(data_dir)
        if not builder.data_path.exists():  # is_prepared() would log a warning
            return None
        splits = {name: _read_split(builder, name) for name in FILES}
        check(splits, data_dir)
    except Exception:  # the C++ reader raises its own kinds for a damaged file
        return None
    return splits


def _builder(data_dir: Path, splits: Splits | None = None) -> JaxlinearFashionMnist:
    return JaxlinearFashionMnist(splits, data_dir=data_dir, file_format="array_record")


def _read_split(builder: JaxlinearFashionMnist, name: str) -> Split:
    source = builder.as_data_source(name)
    # All at once: one by one the records take five times as long.
    examples = source.__getitems__(range(len(source)))
    return Split(
        np.stack([example["image"] for example in examples]),
        np.array([example["label"] for example in examples], np.uint8),
    )


def _official(dl_manager: tfds.download.DownloadManager) -> Splits:
    paths = dl_manager.download(
        {file.name: f"{download.URL}{file.name}.gz" for file in all_files()}
    )
    return {
        name: Split(*(read_file(Path(paths[file.name]), file) for file in files))
        for name, files in FILES.items()
    }
