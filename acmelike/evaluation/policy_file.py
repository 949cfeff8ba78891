"""The file that a run leaves its policy in: one archive, always whole.

    policy.zip
      policy.json          the format, the agent, the evaluation, the parameters' names
      parameters/0.npy ... the arrays, in the order of these names
      agent.pkl            builder, specs, environment factory, the parameters' nest

Everything but the last is read without Python's pickle. An archive keeps a checksum of
each of its files.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optree

from acmelike.agent import Builder
from acmelike.environments import EnvironmentFactory
from acmelike.errors import ConfigError
from acmelike.evaluation import public_pickle
from acmelike.files import write_whole
from acmelike.types import EnvironmentSpec, Nested

# In the folder of a run.
POLICY_NAME = "policy.zip"
# 1 named classes by the files that defined them.
_FORMAT = 2
_FACTS, _AGENT = "policy.json", "agent.pkl"


class Contents(NamedTuple):
    """What a policy's file holds.

    Attributes:
      builder: of the agent.
      spec: of its environments.
      environment_factory: made them.
      parameters: arrays of NumPy, in the nest that the policy acts with.
      record: of the evaluation of these parameters, as in `metrics.jsonl`.
    """

    builder: Builder
    spec: EnvironmentSpec
    environment_factory: EnvironmentFactory
    parameters: Nested
    record: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PolicyFile:
    """Where a run leaves its policy, and what belongs to it besides the parameters.

    Attributes:
      path: of the file.
      builder: of the agent.
      spec: of its environments.
      environment_factory: makes them.
    """

    path: str
    builder: Builder
    spec: EnvironmentSpec
    environment_factory: EnvironmentFactory

    def write(self, parameters: Nested, record: Mapping[str, Any]) -> None:
        """Writes the file anew: aside, then renamed.

        Args:
          parameters: that the policy acts with.
          record: of their evaluation, as JSON has it.

        Raises:
          OSError: it cannot be written; an older file is still there.
        """
        arrays, nest = optree.tree_flatten(parameters)
        names = [a.codify("parameters") for a in optree.tree_accessors(parameters)]
        # By numbers, as the nest itself says no more than what classes it is made of.
        numbered = optree.tree_unflatten(nest, range(len(arrays)))
        facts = {
            "format": _FORMAT,
            "agent": self.builder.name,
            "environment": repr(self.environment_factory),
            "record": dict(record),
            "parameters": names,
        }
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(_FACTS, json.dumps(facts, indent=2) + "\n")
            # Classes of a script or a notebook go along; others are imported.
            agent = (self.builder, self.spec, self.environment_factory, numbered)
            archive.writestr(_AGENT, public_pickle.dumps(agent))
            for number, array in enumerate(arrays):
                with archive.open(_array(number), "w") as file:
                    np.lib.format.write_array(
                        file, np.asarray(array), allow_pickle=False
                    )
        write_whole(Path(self.path), content.getvalue())


def read_policy(path: Path) -> Contents:
    """Reads what `PolicyFile.write` wrote.

    The builder is unpickled, which runs code: read only what you trust.

    Raises:
      ConfigError: there is no such file; or it is damaged; or of a later format; or
        made of code that is not here. In one line, which names the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        facts = json.loads(members[_FACTS])
        if facts["format"] != _FORMAT:
            age = "a newer" if facts["format"] > _FORMAT else "an older"
            raise ConfigError(
                f"{path} has format {facts['format']} of {age} acmelike, this one "
                f"reads format {_FORMAT}"
            )
        arrays = [
            np.load(io.BytesIO(members[_array(number)]), allow_pickle=False)
            for number in range(len(facts["parameters"]))
        ]
        pickled, record = members[_AGENT], dict(facts["record"])
    except FileNotFoundError:
        raise ConfigError(
            f"there is no policy in {path.parent}: it holds no {path.name}, which a "
            f"run leaves after its first evaluation"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError),
        *(ValueError, KeyError, TypeError),
    ) as error:
        raise ConfigError(f"{path} is damaged: {_first_line(error)}") from None
    try:
        builder, spec, environment_factory, numbered = public_pickle.loads(pickled)
        parameters = optree.tree_map(lambda number: arrays[number], numbered)
    except Exception as error:  # Code that has gone or changed may raise anything.
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise ConfigError(f"{path} needs code that is not here: {reason}") from error
    return Contents(builder, spec, environment_factory, parameters, record)


def _array(number: int) -> str:
    return f"parameters/{number}.npy"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
