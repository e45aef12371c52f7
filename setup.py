"""Builds the package `tfp_glow`."""

import setuptools

_TRAIN = [
    'absl-py',
    'importlib_resources',  # tensorflow-datasets needs it and does not say so
    'matplotlib',
    'ml_collections',
    'pillow>=10.1',
    'python-avatars>=1.4,<2',  # draws the faces
    'requests',
    'resvg-py>=0.5',
    'scikit-learn',
    'tensorboard>=2.20',
    'tensorflow-datasets>=4.9.10',
    'tifffile',
    'tqdm',
]

_SERVING = [
    # Messages of TensorFlow Serving; newer ones ask for a newer TensorFlow.
    'tensorflow-serving-api>=2.21,<2.22',
]

_STUDIO = [
    'gradio>=6.31,<7',
    # With a newer Pillow, pip falls back on a Gradio of years ago.
    'pillow>=10.1,<13',
]

_DOCS = [
    'mkdocs>=1.6,<2',
    'mkdocs-material>=9.8,<10',
    'mkdocstrings[python]>=1.0,<2',
]

_TEST = _TRAIN + _SERVING + _STUDIO + _DOCS + [
    'playwright>=1.65',
    'pytest>=8.1',
    'pytest-xdist>=3.6',
    'ruff',
]

# What `benchmarks` compares with and runs on: gigabytes, so never in a test.
_BENCHMARK = [
    'jax>=0.10,<0.12',
    'matplotlib',
    'normflows>=1.7',
    'torch',
]

setuptools.setup(
    name='tfp_glow',
    version='0.1.0',
    description=('Normalizing flows for images (NICE, RealNVP, Glow) as '
                 'TensorFlow Probability bijectors'),
    packages=setuptools.find_packages(include=['tfp_glow', 'tfp_glow.*']),
    package_data={'tfp_glow': ['pretrained/*', 'py.typed']},
    python_requires='>=3.11',
    install_requires=[
        'keras>=3.15,<4',
        'numpy>=2',
        'setuptools; python_version >= "3.12"',  # for TFP's use of distutils
        'tensorflow>=2.21,<2.22',
        'tensorflow-probability>=0.25,<0.26',
        'tf-keras>=2.21,<2.22',
    ],
    extras_require={
        'benchmark': _BENCHMARK,
        'docs': _DOCS,
        'gpu': ['tensorflow[and-cuda]>=2.21,<2.22'],
        'serving': _SERVING,
        'studio': _STUDIO,
        'test': _TEST,
        'train': _TRAIN,
    },
)
