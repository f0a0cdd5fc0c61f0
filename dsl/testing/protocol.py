"""The records that the parts of a verification exchange, and their log."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TriadMessage:
    """What one part tells another: the payload is plain JSON, `seed` that of the stream that the case draws from."""

    from_: str
    to: str
    payload: Mapping[str, Any]
    seed: int

    def record(self) -> dict[str, Any]:
        """The message as it stands in the log."""
        return {"from": self.from_, "to": self.to, "seed": f"0x{self.seed:016x}", "payload": plain(self.payload)}


@dataclass
class Log:
    """All messages of a run, in order. It holds no time and no place, so that equal runs have equal logs."""

    messages: list[TriadMessage] = field(default_factory=list)

    def send(self, from_: str, to: str, seed: int, **payload: Any) -> TriadMessage:
        message = TriadMessage(from_, to, payload, seed)
        self.messages.append(message)
        return message

    def json(self) -> str:
        """The log as text: a list of records, each number with all its digits."""
        records = [message.record() for message in self.messages]
        return json.dumps(records, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """A value as JSON has it: arrays and tuples are lists; NaN and infinities, which JSON lacks, are their names."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value
