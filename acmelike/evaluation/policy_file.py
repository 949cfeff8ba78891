"""The policy file of a run: one archive, replaced as a whole.

    policy.zip
      policy.json          format, agent, evaluation record, names and types of the
                           parameters
      policy.py            the policy as NumPy text, if it has one
      parameters/0.npy ... the arrays, in the order of these names
      agent.pkl            builder, spec, environment factory, nest of the parameters

Only the last member needs Python's pickle to be read. The archive has a checksum of
each member, so damage is detected.
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

from acmelike.agent import Builder, PolicyInputs
from acmelike.environments import EnvironmentFactory
from acmelike.errors import ConfigError, first_line
from acmelike.evaluation import public_pickle
from acmelike.files import write_whole
from acmelike.policies import PortablePolicy, pickled_act
from acmelike.types import EnvironmentSpec, Nested

# The names of the files in the folder of a run.
POLICY_NAME, BEST_POLICY_NAME = "policy.zip", "best_policy.zip"
# Format 1 named classes by the files that defined them.
_FORMAT = 2
_FACTS, _TEXT, _AGENT = "policy.json", "policy.py", "agent.pkl"


class PolicyContents(NamedTuple):
    """What a policy file holds.

    Attributes:
      policy: the greedy policy.
      inputs: its initial state, and its noise if it draws any.
      spec: of the environments that the agent was trained in.
      environment_factory: makes these environments.
      parameters: NumPy arrays, in the nest that the policy acts with.
      record: the evaluation of these parameters, as in `metrics.jsonl`.
    """

    policy: PortablePolicy
    inputs: PolicyInputs
    spec: EnvironmentSpec
    environment_factory: EnvironmentFactory
    parameters: Nested
    record: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PolicyFile:
    """Where a run saves its policy, and the parts of it that do not change.

    Attributes:
      path: of the file.
      builder: makes the agent.
      spec: of the environments that the agent is trained in.
      environment_factory: makes these environments.
    """

    path: str
    builder: Builder
    spec: EnvironmentSpec
    environment_factory: EnvironmentFactory

    def write(
        self, policy: PortablePolicy, parameters: Nested, record: Mapping[str, Any]
    ) -> None:
        """Replaces the file: writes a new file beside it and renames the new file.

        Args:
          policy: the greedy policy, from the learner.
          parameters: the nest of arrays that the policy acts with.
          record: the evaluation of these parameters; values that JSON can hold.

        Raises:
          OSError: the file cannot be written; the older one, if any, is unchanged.
        """
        arrays, nest = optree.tree_flatten(parameters)
        names = [a.codify("parameters") for a in optree.tree_accessors(parameters)]
        # The nest holds the arrays' numbers in the place of the arrays, so that it can
        # be unpickled without them.
        numbered = optree.tree_unflatten(nest, range(len(arrays)))
        facts = {
            "format": _FORMAT,
            "agent": self.builder.name,
            "needs_jax": policy.needs_jax,
            "environment": repr(self.environment_factory),
            "record": dict(record),
            "parameters": names,
            "dtypes": [np.asarray(array).dtype.name for array in arrays],
        }
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(_FACTS, json.dumps(facts, indent=2) + "\n")
            if policy.text is not None:
                archive.writestr(_TEXT, policy.text)
            # cloudpickle stores classes of a script or a notebook in the file itself;
            # all others are imported when it is read.
            agent = (self.builder, self.spec, self.environment_factory, numbered)
            archive.writestr(_AGENT, public_pickle.dumps(agent))
            for number, array in enumerate(arrays):
                with archive.open(_array(number), "w") as file:
                    np.lib.format.write_array(
                        file, np.asarray(array), allow_pickle=False
                    )
        write_whole(Path(self.path), content.getvalue())


def read_policy(path: Path) -> PolicyContents:
    """Reads a file that `PolicyFile.write` wrote.

    A policy is code, and unpickling runs code: read only files that you trust.

    Raises:
      ConfigError: the file is missing or damaged, has a newer format, or needs code
        that cannot be imported. The message is one line and names the file.
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
        for number, array in enumerate(arrays):
            if array.dtype.kind == "V":  # NumPy's format has no word for JAX's types.
                import ml_dtypes

                dtype = getattr(ml_dtypes, facts["dtypes"][number])
                arrays[number] = array.view(dtype)
        pickled, record = members[_AGENT], dict(facts["record"])
        text = members[_TEXT].decode() if _TEXT in members else None
        needs_jax = bool(facts["needs_jax"])
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(
            f"there is no policy in {path.parent}: it holds no {path.name}, which a "
            f"run leaves after its first evaluation"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError),
        *(ValueError, KeyError, TypeError, AttributeError),
    ) as error:
        raise ConfigError(f"{path} is damaged: {first_line(error)}") from None
    try:
        builder, spec, environment_factory, numbered = public_pickle.loads(pickled)
        inputs = builder.make_greedy_inputs(spec)
        parameters = optree.tree_map(lambda number: arrays[number], numbered)
    except Exception as error:  # Missing or changed code may raise anything.
        reason = first_line(error)
        raise ConfigError(f"{path} needs code that is not here: {reason}") from error
    policy = PortablePolicy(
        text=text, pickled=pickled_act(builder, spec), needs_jax=needs_jax
    )
    return PolicyContents(policy, inputs, spec, environment_factory, parameters, record)


def _array(number: int) -> str:
    return f"parameters/{number}.npy"
