"""Package metadata. Imports setuptools alone, because Beam's --setup_file runs it on any machine."""

from setuptools import find_packages, setup

PACKAGES = ["schemas", "wordtree", "pipelines", "detector"]

# What a Beam worker needs. The worker image brings its own protobuf, so that is not pinned tightly.
WORKER = [
    "apache-beam>=2.70,<3",
    "fsspec>=2024.6",
    "google-crc32c>=1.5",
    "msgspec>=0.18",
    "numpy>=1.26,<2.5",
    "pillow>=11",
    "protobuf>=5.26,<7",
    "pyarrow>=16,<26",
    "simplejpeg>=1.7",
]

EXTRAS = {
    "s3": ["s3fs>=2024.6"],
    "gcs": ["gcsfs>=2024.6"],
    "dataflow": ["apache-beam[gcp]>=2.70,<3", "gcsfs>=2024.6"],
    "nltk": ["nltk>=3.9"],
    "train": ["tensorflow>=2.20,<2.22", "keras>=3.10,<4", "h5py>=3.11", "pycocotools>=2.0.8", "tensorboard"],
    "train-cpu": ["tensorflow-cpu>=2.20,<2.22", "keras>=3.10,<4", "h5py>=3.11", "pycocotools>=2.0.8", "tensorboard"],
    "video": ["av>=15"],
    "dev": [
        "av>=15",
        "build",
        "flask>=3.1,<4",
        "flask-cors>=6,<7",
        "gcp-storage-emulator>=2026.7",
        "gcsfs>=2026.9",
        "hypothesis>=6.100",
        "importlib_resources",  # which TFDS needs and does not name
        "import-linter>=2.1",
        "moto[s3]>=5.2,<6",
        "nltk>=3.9",
        "pyright[nodejs]==1.1.414",
        "pytest>=8.3,<9.2",  # 9.2 passes over the groups of pytest-xdist 3.8
        "pytest-xdist>=3.6",
        "ruff==0.17.5",
        "s3fs>=2026.9",
        "setuptools>=68",
        "tensorflow-datasets==4.9.10",
        "wheel",
    ],
}

setup(
    name="wordtree",
    version="0.1.0",
    description="Joint training of detectors on boxed and merely labelled images over a WordNet tree",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=[*PACKAGES, *(f"{name}.*" for name in PACKAGES)]),
    package_data={
        "schemas": ["py.typed"],
        "wordtree": ["py.typed", "data/*", "data/labels/*", "show_page/*"],
        "pipelines": ["py.typed"],
        "detector": ["py.typed"],
    },
    install_requires=WORKER,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["wordtree = wordtree.entry:main"],
        "wordtree.commands": [
            "demo = detector.cli_demo:add_demo",
            "tree = wordtree.cli:add_tree",
            "convert = pipelines.cli:add_convert",
            "stats = pipelines.cli_stats:add_stats",
            "duplicates = pipelines.cli_duplicates:add_duplicates",
            "relabel = pipelines.cli_rows:add_relabel",
            "split = pipelines.cli_rows:add_split",
            "assemble = pipelines.cli_rows:add_assemble",
            "to-coco = pipelines.cli_export:add_to_coco",
            "inspect = detector.cli_look:add_inspect",
            "anchors = detector.cli_anchors:add_anchors",
            "train = detector.cli_train:add_train",
            "evaluate = detector.cli_evaluate:add_evaluate",
            "detect = detector.cli_detect:add_detect",
            "report = detector.cli_look:add_report",
            "export = detector.cli_export:add_export",
            "darknet = detector.cli_darknet:add_darknet",
            "bench = detector.cli_bench:add_bench",
        ],
    },
)
