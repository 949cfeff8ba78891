"""How the two ends of a connection show that they belong to the same run.

A run has a secret key. Its launcher makes it and sends it to each process over the
control connection. The first bytes on a connection are

    from the caller:  | "aLcaller" 8 | nonce 32 | proof 32 |
    from the callee:  | "aLcallee" 8 | proof 32 |

and frames follow at once. A proof is an HMAC-SHA256, by the key, of the bytes before
it, the caller's nonce and the address. Each end checks the other's proof before it
reads a frame. So no byte is unpickled that comes from outside the run, and a connection
needs no further round trip. A proof is of no use to others: it holds for one address,
and a callee's for one connection.

The way to a node that is exposed to other programs may lead over forwarded ports. So no
address is known to both ends, and whoever listens elsewhere may see a proof. There the
callee begins:

    from the callee:  | "aLexpose" 8 | number 32 |

and both proofs are for that random number, in the place of the address. The key is the
node's own.
"""

from __future__ import annotations

import hmac
import os
import secrets

_CALLER, _CALLEE, _EXPOSED = b"aLcaller", b"aLcallee", b"aLexpose"
_NONCE_BYTES = _PROOF_BYTES = 32

CALLER_BYTES = len(_CALLER) + _NONCE_BYTES + _PROOF_BYTES
CALLEE_BYTES = len(_CALLEE) + _PROOF_BYTES


def new_key() -> bytes:
    """The secret key of a new run."""
    return secrets.token_bytes(32)


def challenge() -> tuple[bytes, bytes]:
    """What the callee at an exposed node sends first, and the number in it."""
    number = secrets.token_bytes(_NONCE_BYTES)
    return _EXPOSED + number, number


def greeting(key: bytes, address: str | bytes) -> tuple[bytes, bytes]:
    """What a caller sends first, and what it must get in return."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return (
        _CALLER + nonce + _proof(key, _CALLER, nonce, address),
        _CALLEE + _proof(key, _CALLEE, nonce, address),
    )


def answer(key: bytes, address: str | bytes, received: bytes) -> bytes | None:
    """What a callee sends in return to a greeting; None if its key is another one."""
    nonce = received[len(_CALLER) : -_PROOF_BYTES]
    expected = _CALLER + nonce + _proof(key, _CALLER, nonce, address)
    if not hmac.compare_digest(received, expected):
        return None
    return _CALLEE + _proof(key, _CALLEE, nonce, address)


def is_same(received: bytes, expected: bytes) -> bool:
    """Whether both are equal; how long it takes does not say where they differ."""
    return hmac.compare_digest(received, expected)


def _proof(key: bytes, words: bytes, nonce: bytes, address: str | bytes) -> bytes:
    return hmac.digest(key, words + nonce + os.fsencode(address), "sha256")
