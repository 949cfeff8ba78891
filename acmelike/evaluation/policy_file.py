"""The file that a run leaves its policy in: one archive, always whole.

    policy.zip
      policy.json          the format, the agent, the evaluation, the parameters' names
      policy.py            how it acts, as NumPy text, unless it needs JAX
      parameters/0.npy ... the arrays, in the order of these names
      act.pkl              how it acts, as the agent's own function
      agent.pkl            inputs, specs, environment factory, the parameters' nest

Files that end in .pkl need Python's pickle, the others do not. An archive keeps a
checksum of each of its files.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import optree

from acmelike.agent import PolicyInputs
from acmelike.environments import EnvironmentFactory
from acmelike.errors import ConfigError
from acmelike.files import write_whole
from acmelike.policies import PortablePolicy
from acmelike.types import EnvironmentSpec, Nested

# In the folder of a run.
POLICY_NAME = "policy.zip"
_FORMAT = 2
_FACTS, _TEXT = "policy.json", "policy.py"
_FUNCTION, _AGENT = "act.pkl", "agent.pkl"


class Contents(NamedTuple):
    """What a policy's file holds.

    Attributes:
      policy: how it acts.
      inputs: its initial state, and its noise if it draws any.
      spec: of its environments.
      environment_factory: made them.
      parameters: arrays of NumPy, in the nest that the policy acts with.
      record: of the evaluation of these parameters, as in `metrics.jsonl`.
    """

    policy: PortablePolicy
    inputs: PolicyInputs
    spec: EnvironmentSpec
    environment_factory: EnvironmentFactory
    parameters: Nested
    record: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PolicyFile:
    """Where a run leaves its policy, and what belongs to it besides the parameters.

    Attributes:
      path: of the file.
      agent: the name of the agent.
      inputs: with which it acts when it is evaluated.
      spec: of its environments.
      environment_factory: makes them.
    """

    path: str
    agent: str
    inputs: PolicyInputs
    spec: EnvironmentSpec
    environment_factory: EnvironmentFactory

    def write(
        self, policy: PortablePolicy, parameters: Nested, record: Mapping[str, Any]
    ) -> None:
        """Writes a new file under another name, and renames it.

        Args:
          policy: from the learner.
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
            "agent": self.agent,
            "needs_jax": policy.needs_jax,
            "environment": repr(self.environment_factory),
            "record": dict(record),
            "parameters": names,
        }
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(_FACTS, json.dumps(facts, indent=2) + "\n")
            if policy.text is not None:
                archive.writestr(_TEXT, policy.text)
            archive.writestr(_FUNCTION, policy.pickled)
            # Classes of a script or a notebook are pickled, others are imported.
            agent = (self.inputs, self.spec, self.environment_factory, numbered)
            archive.writestr(_AGENT, cloudpickle.dumps(agent))
            for number, array in enumerate(arrays):
                with archive.open(_array(number), "w") as file:
                    np.lib.format.write_array(
                        file, np.asarray(array), allow_pickle=False
                    )
        write_whole(Path(self.path), content.getvalue())


def read_policy(path: Path) -> Contents:
    """Reads what `PolicyFile.write` wrote.

    This unpickles, and a policy is code itself: read only what you trust.

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
                f"{path} is of format {facts['format']}, this acmelike reads "
                f"{_FORMAT}: {age} one wrote it"
            )
        arrays = [
            np.load(io.BytesIO(members[_array(number)]), allow_pickle=False)
            for number in range(len(facts["parameters"]))
        ]
        pickled, record = members[_AGENT], dict(facts["record"])
        policy = PortablePolicy(
            text=members[_TEXT].decode() if _TEXT in members else None,
            pickled=members[_FUNCTION],
            needs_jax=bool(facts["needs_jax"]),
        )
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
        inputs, spec, environment_factory, numbered = pickle.loads(pickled)
        parameters = optree.tree_map(lambda number: arrays[number], numbered)
    except Exception as error:  # Code that has gone or changed may raise anything.
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise ConfigError(f"{path} needs code that is not here: {reason}") from error
    return Contents(policy, inputs, spec, environment_factory, parameters, record)


def _array(number: int) -> str:
    return f"parameters/{number}.npy"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
