"""What acmelike is called, holds and needs; pyproject.toml has the tools' settings."""

import runpy

from setuptools import find_packages, setup

VERSION = runpy.run_path(".editable/acmelike/version.py")["__version__"]

setup(
    name="acmelike",
    version=VERSION,
    description="Reinforcement-learning agents as graphs of nodes joined by RPC edges",
    author="The acmelike authors",
    license="Apache-2.0",
    python_requires=">=3.10",
    # `agents/` and `programs/` are subpackages of acmelike by two links in its folder.
    # `.editable` holds one link, to `acmelike`: an editable install puts that folder on
    # the path, so that nothing but acmelike can be imported from here.
    package_dir={"": ".editable"},
    packages=find_packages(".editable"),
    package_data={"acmelike": ["py.typed"]},
    entry_points={"console_scripts": ["acmelike = acmelike.__main__:run"]},
    install_requires=[
        "cloudpickle>=3.0",
        "dm-env>=1.6",
        "flax>=0.8.5",
        "grandalf>=0.8",
        "gymnasium>=1.0",
        "jax>=0.4.34",
        "matplotlib>=3.8",
        "msgpack>=1.0.3",
        "numpy>=1.26",
        "optax>=0.2.3",
        "optree>=0.13",
        "pillow>=10",
        "rich>=13.7",
        "rlax>=0.1.7",
        # Later rlax and distrax want Python 3.11 and JAX 0.7.
        "rlax<0.1.8; python_version < '3.11'",
        "distrax>=0.1.5,<0.1.6; python_version < '3.11'",
        "typing_extensions>=4.12",
        "tyro>=0.9",
    ],
    extras_require={
        # For edges between hosts: keys and certificates, and compression.
        "cluster": ["cryptography>=42", "zstandard>=0.22"],
        "atari": ["ale-py>=0.10", "opencv-python-headless>=4.8"],
        # With MuJoCo 4 dm_control 1.0.50 fails; a later one may do.
        "dm_control": ["dm_control>=1.0.20", "mujoco<4"],
        "envpool": ["envpool>=1.2"],
        # It draws with seaborn, and so brings pandas.
        "minatar": ["MinAtar>=1.0.15"],
        "mujoco": ["mujoco>=3.1,<4", "imageio>=2.14"],
        "ray": ["ray>=2.50", "cryptography>=42", "zstandard>=0.22"],
        # Reverb finds no TensorFlow by itself, and works with the one of its time only.
        "reverb": [
            "dm-reverb==0.14.0",
            "tensorflow-cpu>=2.15,<2.16",
            "tensorflow-probability>=0.23,<0.24",
        ],
        # What writes the files, and what shows them.
        "tensorboard": ["tensorboardX>=2.6.2", "tensorboard>=2.18"],
        "video": ["imageio-ffmpeg>=0.5"],
        "wandb": ["wandb>=0.17"],
        "dev": [
            "hypothesis>=6.100",
            "ipykernel>=6.29",
            "mypy>=1.13",
            "nbclient>=0.10.1",
            "pytest>=8.2",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
        ],
    },
)
