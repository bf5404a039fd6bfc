"""What clients may call: the methods of OPC 40100-1, and a few in the plain folder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from asyncua import ua

from edge_ad.controllers.gateway import Gateway, PartRefusedError
from edge_ad.controllers.opcua.events import content_of, result_fields, result_structure
from edge_ad.controllers.opcua.jobs import Jobs, VisionJob
from edge_ad.controllers.opcua.nodes import Argument, VisionNodes, add_method, types
from edge_ad.controllers.opcua.users import CALLER
from edge_ad.controllers.security import Role, Who
from edge_ad.controllers.signals import RefusalCode
from edge_ad.errors import EdgeAdError, LinkRefusedError

__all__ = ["bind_methods"]

logger = logging.getLogger(__name__)

_OK, _FAILED = 0, -int(RefusalCode.OTHER)
_NOT_HERE = {RefusalCode.NOT_READY, RefusalCode.FAULT, RefusalCode.STATION_AWAY, RefusalCode.TOO_EARLY}
_COMPONENTS = (
    *("IsPartial", "IsSimulated", "ResultState", "MeasId", "PartId", "ExternalRecipeId", "InternalRecipeId"),
    *("ProductId", "ExternalConfigurationId", "InternalConfigurationId", "JobId", "CreationTime"),
    *("ProcessingTimes", "ResultContent"),
)
"""What GetResultComponentsById answers, in its order."""
_NEEDED = {
    **dict.fromkeys(("StartSingleJob", "Inspect", "Stop", "Reset", "ResetFault"), Role.OPERATOR),
    **dict.fromkeys(("ConfirmAll", "AcknowledgeAlarm", "SelectModeAutomatic"), Role.OPERATOR),
    **dict.fromkeys(("PrepareRecipe", "SelectRecipe", "ResetCounters"), Role.SUPERVISOR),
}
"""The role that a method asks for; all others only read, or are not supported."""
Answers = list[Any]


class _Refused(Exception):  # noqa: N818 - an answer, not a failure
    """``status``: the name of an OPC UA status code."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


async def bind_methods(nodes: VisionNodes, gateway: Gateway, jobs: Jobs) -> None:
    """Makes all methods work."""
    methods = _Methods(gateway, jobs)
    for parent, names in (
        (nodes.machine, ("Halt", "Reset", "SelectModeAutomatic", "ConfirmAll")),
        (nodes.automatic, ("StartSingleJob", "StartContinuous", "Stop", "Abort")),
        (nodes.recipes, ("GetRecipeListFiltered", "PrepareRecipe", "UnprepareRecipe")),
        (nodes.results, ("GetResultById", "GetResultComponentsById", "GetResultListFiltered")),
    ):
        for method in names:
            call, count = methods.companion[method]
            bound = _bound(method, call, count)
            nodes.server.iserver.isession.add_method_callback(await nodes.method(parent, method), bound)
    for method, (call, arguments, answers) in methods.plain.items():
        bound = _bound(method, call, len(arguments))
        await add_method(nodes.folder, method, bound, arguments, answers)


def _bound(name: str, call: Callable[..., Awaitable[Answers]], count: int) -> Callable[..., Awaitable[Any]]:
    async def bound(_: Any, *arguments: Any) -> Any:
        result = ua.CallMethodResult()
        needed = _NEEDED.get(name)
        try:
            if needed is not None and not CALLER.get().may(needed):
                raise _Refused("BadUserAccessDenied")
            if len(arguments) != count:
                missing = len(arguments) < count
                raise _Refused("BadArgumentsMissing" if missing else "BadTooManyArguments")
            # A session that is dropped in the middle must not leave a part that nobody follows.
            result.OutputArguments = await asyncio.shield(asyncio.ensure_future(call(*arguments)))
        except _Refused as refused:
            result.StatusCode = ua.StatusCode(getattr(ua.StatusCodes, refused.status))
        except EdgeAdError as error:
            logger.warning("%s: %s", name, error)
            result.StatusCode = ua.StatusCode(ua.StatusCodes.BadInvalidState)
        except Exception:
            logger.exception("the method %s failed", name)
            result.StatusCode = ua.StatusCode(ua.StatusCodes.BadInternalError)
        return result

    return bound


class _Methods:
    """``companion``: calls and how many arguments they take; ``plain``: calls, arguments and answers."""

    def __init__(self, gateway: Gateway, jobs: Jobs) -> None:
        self._gateway, self._jobs = gateway, jobs
        self.companion: dict[str, tuple[Callable[..., Awaitable[Answers]], int]] = {
            "Halt": (_not_supported, 2),
            "Reset": (self._reset, 2),
            "SelectModeAutomatic": (self._select_automatic, 0),
            "ConfirmAll": (self._confirm_all, 1),
            "StartSingleJob": (self._start_single_job, 5),
            "StartContinuous": (_not_supported, 5),
            "Stop": (self._stop, 2),
            "Abort": (_not_supported, 2),
            "GetRecipeListFiltered": (self._recipe_list, 6),
            "PrepareRecipe": (self._prepare_recipe, 2),
            "UnprepareRecipe": (_not_supported, 2),
            "GetResultById": (self._result_by_id, 2),
            "GetResultComponentsById": (self._result_components, 2),
            "GetResultListFiltered": (self._result_list, 12),
        }
        part = (Argument("PartId", "String", "empty: the station gives none"),)
        outcome = (
            Argument("State", "String", "ACCEPT, REJECT or INVALID"),
            Argument("ResultCode", "UInt16", "the same with its reason, see the codes"),
            Argument("Score", "Double", "NaN without one"),
            Argument("Threshold", "Double", "NaN without one"),
            Argument("Detail", "String", "the reason in words"),
            Argument("JobId", "String", "the job"),
        )
        self.plain: dict[str, tuple[Callable[..., Awaitable[Answers]], tuple[Argument, ...], tuple[Argument, ...]]] = {
            "Inspect": (self._inspect, part, outcome),
            "ResetFault": (self._reset_fault, (), ()),
            "ResetCounters": (self._reset_counters, (), ()),
            "AcknowledgeAlarm": (self._acknowledge, (Argument("Alarm", "String", "its name"),), ()),
            "SelectRecipe": (self._select_recipe, (Argument("Recipe", "String", "its name"),), ()),
        }

    # --- jobs

    async def _start_single_job(self, meas: Any, part: Any, recipe: Any, product: Any, parameters: Any) -> Answers:
        if _id_of(product) or parameters.Value:
            raise _Refused("BadNotSupported")
        wanted = _id_of(recipe)
        if wanted and wanted != self._gateway.view.recipe:
            return [_structure("JobIdDataType", ""), _int(-int(RefusalCode.RECIPE_PENDING))]
        try:
            job = await self._job(_id_of(part), _id_of(meas), wanted or None)
        except PartRefusedError as error:
            if error.refusal.code in _NOT_HERE:
                raise
            return [_structure("JobIdDataType", ""), _int(-int(error.refusal.code))]
        return [_structure("JobIdDataType", job.job_id), _int(_OK)]

    async def _job(self, part_id: str, meas_id: str, recipe: str | None = None) -> VisionJob:
        return await self._jobs.start(part_id or None, meas_id, recipe)

    async def _inspect(self, part: Any) -> Answers:
        try:
            job = await self._job(_text(part), "")
        except PartRefusedError as error:
            detail = f"{error.refusal.reason}: {error.refusal.detail}"
            nan = ua.Variant(float("nan"), ua.VariantType.Double)
            code = ua.Variant(0, ua.VariantType.UInt16)
            return [ua.Variant("REFUSED"), code, nan, nan, ua.Variant(detail), ua.Variant("")]
        outcome = await asyncio.shield(job.outcome)
        content = content_of(outcome)
        code = ua.Variant(int(outcome.code), ua.VariantType.UInt16)
        return [content[0], code, content[2], content[3], content[5], ua.Variant(job.job_id)]

    async def _stop(self, *_: Any) -> Answers:
        """A part that is being inspected cannot be held up; it ends by itself, and that is what Stop asks for."""
        if not self._jobs.conversation.is_exposing:
            raise _Refused("BadInvalidState")
        return [_int(_OK)]

    # --- the station

    async def _reset(self, *_: Any) -> Answers:
        await self._reset_fault()
        return [_int(_OK)]

    async def _reset_fault(self) -> Answers:
        was_late = self._jobs.conversation.is_late_fault
        if was_late or self._gateway.is_fault:
            self._jobs.conversation.reset()
        try:
            await self._gateway.reset(by=self._by())
        except LinkRefusedError as error:
            if error.reason != "not_in_fault" or not was_late:
                raise
        for tell in self._gateway.changed:
            tell()
        return []

    async def _select_automatic(self) -> Answers:
        if not self._gateway.view.takes_triggers:
            raise _Refused("BadInvalidState")
        return [_int(_OK)]

    async def _confirm_all(self, _: Any) -> Answers:
        for alarm in list(self._gateway.view.alarms):
            await self._gateway.acknowledge(alarm, by=self._by())
        return []

    async def _acknowledge(self, alarm: Any) -> Answers:
        await self._gateway.acknowledge(_text(alarm), by=self._by())
        return []

    async def _reset_counters(self) -> Answers:
        await self._gateway.reset_counters(by=self._by())
        return []

    @staticmethod
    def _by() -> Who:
        return CALLER.get().who

    # --- recipes

    async def _select_recipe(self, name: Any) -> Answers:
        if _text(name) not in self._gateway.view.recipes:
            raise _Refused("BadInvalidArgument")
        await self._gateway.recipe(_text(name), by=self._by())
        return []

    async def _prepare_recipe(self, external: Any, internal: Any) -> Answers:
        name = _id_of(external) or _id_of(internal)
        given = _structure("RecipeIdInternalDataType", name)
        if name not in self._gateway.view.recipes:
            return [given, _bool(False), _int(_FAILED)]
        if name == self._gateway.view.recipe:
            return [given, _bool(True), _int(_OK)]
        await self._gateway.recipe(name, by=self._by())
        return [given, _bool(name == self._gateway.view.recipe), _int(_OK)]

    async def _recipe_list(self, external: Any, product: Any, prepared: Any, most: Any, first: Any, _: Any) -> Answers:
        view, wanted = self._gateway.view, _id_of(external)
        names = [name for name in view.recipes if not wanted or name == wanted]
        if _id_of(product):
            names = []
        if prepared.Value in (0, 1):
            names = [name for name in names if (name == view.recipe) == bool(prepared.Value)]
        page, complete = _page(names, most, first)
        kind = types("RecipeIdInternalDataType")
        return [_bool(complete), _uint(len(page)), _uint(0), _structures([kind(Id=one) for one in page]), _int(_OK)]

    # --- results

    async def _result_by_id(self, result_id: Any, _: Any) -> Answers:
        found = self._jobs.results.get(_id_of(result_id))
        if found is None:
            return [_uint(0), _structure("ResultDataType"), _int(_FAILED)]
        return [_uint(0), ua.Variant(result_structure(result_fields(found)), ua.VariantType.ExtensionObject), _int(_OK)]

    async def _result_components(self, result_id: Any, _: Any) -> Answers:
        found = self._jobs.results.get(_id_of(result_id))
        if found is None:
            raise _Refused("BadNotFound")
        fields = result_fields(found)
        empty = {name: _structure(f"{name}DataType") for name in ("MeasId", "ProductId")}
        empty["ExternalConfigurationId"] = _structure("ConfigurationIdDataType")
        rest = [fields.get(name) or empty[name] for name in _COMPONENTS]
        return [fields["HasTransferableDataOnFile"], _uint(0), *rest, _int(_OK)]

    async def _result_list(self, state: Any, *rest: Any) -> Answers:
        meas, part, external, internal, config, config_in, product, job, most, first, _ = rest
        wanted = {"PartId": _id_of(part), "MeasId": _id_of(meas), "JobId": _id_of(job)}
        recipe = _id_of(external) or _id_of(internal)
        found: list[Any] = []
        for result in reversed(self._jobs.results.values()):
            fields = result_fields(result)
            ids = {name: getattr(getattr(fields.get(name), "Value", None), "Id", "") for name in wanted}
            if (
                all(not value or ids[name] == value for name, value in wanted.items())
                and (not recipe or result.outcome.recipe == recipe)
                and (not state.Value or state.Value == fields["ResultState"].Value)
                and not (_id_of(product) or _id_of(config) or _id_of(config_in))
            ):
                found.append(fields)
        page, complete = _page(found, most, first)
        structures = _structures([result_structure(one) for one in page])
        return [_bool(complete), _uint(len(page)), _uint(0), structures, _int(_OK)]


async def _not_supported(*_: Any) -> Answers:
    raise _Refused("BadNotSupported")


def _id_of(given: Any) -> str:
    """The id in a structure of the companion specification, which may be left out."""
    if given.Value is None:
        return ""
    text = getattr(given.Value, "Id", None)
    if text is None and not hasattr(given.Value, "Id"):
        raise _Refused("BadInvalidArgument")
    return str(text or "").strip()


def _text(given: Any) -> str:
    if given.Value is None:
        return ""
    if not isinstance(given.Value, str):
        raise _Refused("BadInvalidArgument")
    return given.Value.strip()


def _page(rows: list[Any], most: Any, first: Any) -> tuple[list[Any], bool]:
    for one in (most, first):
        if not isinstance(one.Value, int):
            raise _Refused("BadInvalidArgument")
    end = first.Value + (most.Value or len(rows))
    return rows[first.Value : end], end >= len(rows)


def _structure(name: str, text: str | None = None) -> Any:
    kind = types(name)
    return ua.Variant(kind() if text is None else kind(Id=text), ua.VariantType.ExtensionObject)


def _structures(values: Iterable[Any]) -> Any:
    return ua.Variant(list(values), ua.VariantType.ExtensionObject, is_array=True)


def _int(value: int) -> Any:
    return ua.Variant(value, ua.VariantType.Int32)


def _uint(value: int) -> Any:
    return ua.Variant(value, ua.VariantType.UInt32)


def _bool(value: bool) -> Any:
    return ua.Variant(value, ua.VariantType.Boolean)
