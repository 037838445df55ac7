"""Which code a node depends on: its function, and what the modules of the project that it reaches say."""

from __future__ import annotations

from kedro_statisfactory.project.code.reading import CodeReader, NodeCode, UnknownCode, Versions, node_code

__all__ = ["CodeReader", "NodeCode", "UnknownCode", "Versions", "node_code"]
