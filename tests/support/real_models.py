"""The real trained models, each imported, lowered and opened once for all tests, which only read what they get."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from edge_ad.engines import Artefact, Engine, open_engine
from edge_ad_export.importers import ModelFile, import_model
from edge_ad_export.lowering.contract import Lowered, lower
from edge_ad_export.lowering.recipes import FloatModel, baseline_for
from edge_ad_export.model.imported import ImportedModel
from edge_ad_export.model.shrink import Shrink

__all__ = ["RealModels"]


class RealModels:
    """By their names below ``folder``; exported files go below ``work``.

    ``imported``, ``cheap``, ``plain`` and ``engine`` take a name. ``plain``: on the contract, but no cheaper, as
    nothing that was recognised by a pattern is kept. ``engine``: the exported graph in the engine that a device would
    run it in.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self._folder, self._work = folder, work
        self.imported, self.cheap = cache(self._import), cache(self._lower)
        self.plain, self.engine = cache(self._lower_plainly), cache(self._open)

    def _import(self, name: str) -> ImportedModel:
        return import_model(ModelFile(self._folder / name))

    def _lower(self, name: str, shrink: Shrink | None = None) -> Lowered:
        return lower(self.imported(name), lambda _candidate: True, shrink)

    def _lower_plainly(self, name: str) -> Lowered:
        return lower(self.imported(name), lambda candidate: not candidate.cheaper)

    def _open(self, name: str) -> Engine:
        recipe = baseline_for(self.imported(name).model)
        path = self._work / name.replace("/", "-") / Path(recipe.model).name
        path.parent.mkdir(parents=True)
        FloatModel(self.cheap(name).model).save(recipe.engine, path)
        return open_engine(recipe.engine, Artefact(path))
