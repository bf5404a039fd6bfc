"""Makes the nodes of the server: the vision system of OPC 40100-1 and the folder of plain variables."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

from asyncua import Server, ua
from asyncua.common.copy_node_util import copy_node
from asyncua.common.instantiate_util import instantiate

from edge_ad.controllers.opcua.plain import VARIABLES, PlainVariable
from edge_ad.controllers.opcua.states import VisionState

__all__ = ["MACHINE_VISION", "OURS", "Argument", "VisionNodes", "add_method", "load_companion", "make_nodes", "types"]

MACHINE_VISION = "http://opcfoundation.org/UA/MachineVision"
OURS = 1
"""The namespace of the application itself, by the specification: all our nodes are in it, with readable identifiers."""

_ID_TYPES = {"RecipeIdExternalDataType": 5002, "RecipeIdInternalDataType": 5268, "ConfigurationIdDataType": 5090}
_ID_DATA_TYPES = {"RecipeIdExternalDataType": 3002, "RecipeIdInternalDataType": 3013, "ConfigurationIdDataType": 3008}
_BASE_DATA_TYPE = 3019
_AUTOMATIC_STATES = {"Initialized": 5056, "Ready": 5057, "SingleExecution": 5058}


@dataclass(frozen=True, slots=True)
class Argument:
    """Of a method of the plain folder. ``kind``: the name of an OPC UA type."""

    name: str
    kind: str
    meaning: str


@dataclass(slots=True)
class VisionNodes:
    """``index``: of the companion specification's namespace. ``states``: the node of each state.

    ``shown``: node ids that are written with each part, by names: of both machines' states, and of the newest result.
    """

    server: Any
    index: int
    system: Any
    machine: Any
    automatic: Any
    recipes: Any
    results: Any
    folder: Any
    states: dict[VisionState, Any]
    operational: Any
    shown: dict[str, Any]

    async def method(self, parent: Any, name: str) -> Any:
        """The node id of a method of the companion specification below ``parent``."""
        return (await parent.get_child(f"{self.index}:{name}")).nodeid


def types(name: str) -> Any:
    """A data type of the companion specification, once it is loaded."""
    return getattr(ua, name)


async def load_companion(server: Any) -> int:
    """Reads the NodeSet: the index of its namespace."""
    with as_file(files(__package__) / "nodesets" / "Opc.Ua.MachineVision.NodeSet2.xml") as path:
        await server.import_xml(path)
    index = int(await server.get_namespace_index(MACHINE_VISION))
    # asyncua takes a structure that adds nothing to its base for the base itself, which here is abstract; and the
    # NodeSet leaves out what such a structure is made of, without which clients do not know it.
    base = ua.BinaryIdBaseDataType
    definition = await server.get_node(ua.NodeId(_BASE_DATA_TYPE, index)).read_data_type_definition()
    for name, encoding in _ID_TYPES.items():
        data_type = ua.NodeId(_ID_DATA_TYPES[name], index)
        made_of = copy.copy(definition)
        made_of.DefaultEncodingId = ua.NodeId(encoding, index)
        await server.get_node(data_type).write_data_type_definition(made_of)
        if getattr(ua, name) is base:
            delattr(ua, name)
            ua.register_extension_object(name, made_of.DefaultEncodingId, type(name, (base,), {}), data_type)
    return index


async def make_nodes(server: Server, index: int, system_name: str) -> VisionNodes:
    """Below ``Objects``: ``VisionSystem`` with what this server carries out, and ``EdgeAd``."""
    objects = server.get_objects_node()
    system = await _instance(objects, server, index, 1003, "VisionSystem", system_name)
    machine = await system.get_child(f"{index}:VisionStateMachine")
    automatic = await _instance(machine, server, index, 1021, "AutomaticModeStateMachine")
    for method in (7066, 7095):  # ConfirmAll and SelectModeAutomatic, which are optional
        await _copied(machine, server.get_node(ua.NodeId(method, index)))
    recipes = await _instance(system, server, index, 1004, "RecipeManagement")
    results = await _instance(system, server, index, 1007, "ResultManagement")
    folder_of_results = await _instance(results, server, index, 1016, "Results")
    newest = await _instance(folder_of_results, server, index, 2002, "Newest")
    for state_machine in (machine, automatic):
        await state_machine.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
    await server.nodes.server.add_reference(system, ua.ObjectIds.HasNotifier)
    states = {VisionState(name): server.get_node(ua.NodeId(node, index)) for name, node in _AUTOMATIC_STATES.items()}
    for state in VisionState:
        if state not in states:
            states[state] = await machine.get_child(f"{index}:{state.value}")
    folder = await objects.add_folder(_named("EdgeAd"), ua.QualifiedName("EdgeAd", OURS))
    for variable in VARIABLES:
        await _add_variable(folder, variable)
    operational = await machine.get_child(f"{index}:Operational")
    shown = {"Newest": newest.nodeid}
    for node in await newest.get_children():
        shown[(await node.read_browse_name()).Name] = node.nodeid
    for name, state_machine in (("Machine", machine), ("Automatic", automatic)):
        current = await state_machine.get_child("0:CurrentState")
        shown[name], shown[f"{name}/Id"] = current.nodeid, (await current.get_child("0:Id")).nodeid
    return VisionNodes(server, index, system, machine, automatic, recipes, results, folder, states, operational, shown)


async def add_method(
    folder: Any, name: str, call: Any, arguments: Iterable[Argument], answers: Iterable[Argument]
) -> None:
    """A method of the plain folder."""
    given, back = ([_argument(one) for one in rows] for rows in (arguments, answers))
    await folder.add_method(_named(f"EdgeAd.{name}"), ua.QualifiedName(name, OURS), call, given, back)


def _named(text: str) -> Any:
    return ua.NodeId(text, OURS)


def _argument(one: Argument) -> Any:
    argument = ua.Argument()
    argument.Name = one.name
    argument.DataType = ua.NodeId(getattr(ua.ObjectIds, one.kind))
    argument.ValueRank = -1
    argument.Description = ua.LocalizedText(one.meaning)
    return argument


async def _instance(parent: Any, server: Any, index: int, kind: int, name: str, display_name: str | None = None) -> Any:
    path = parent.nodeid.Identifier if parent.nodeid.NamespaceIndex == OURS else ""
    node_id = _named(f"{path}.{name}" if path else name)
    dname = ua.LocalizedText(display_name) if display_name else ua.LocalizedText(name)
    browse_name = ua.QualifiedName(name, OURS if kind in {1003, 2002} else index)
    made = await instantiate(
        parent,
        server.get_node(ua.NodeId(kind, index)),
        node_id,
        browse_name,
        dname,
        instantiate_optional=False,
    )
    return made[0]


async def _copied(parent: Any, node: Any) -> None:
    name = (await node.read_browse_name()).Name
    await copy_node(parent, node, _named(f"{parent.nodeid.Identifier}.{name}"))


async def _add_variable(folder: Any, variable: PlainVariable) -> None:
    kind = getattr(ua.VariantType, variable.kind.removesuffix("[]"))
    is_array = variable.kind.endswith("[]")
    first: object = [] if is_array else {"String": "", "Boolean": False, "Double": float("nan")}.get(variable.kind, 0)
    node = await folder.add_variable(
        _named(f"EdgeAd.{variable.name}"),
        ua.QualifiedName(variable.name, OURS),
        ua.Variant(first, kind, is_array=is_array),
        datatype=ua.NodeId(getattr(ua.ObjectIds, variable.kind.removesuffix("[]"))),
    )
    await node.write_attribute(
        ua.AttributeIds.Description, ua.DataValue(ua.Variant(ua.LocalizedText(variable.meaning)))
    )
    if is_array:
        await node.write_value_rank(ua.ValueRank.OneDimension)
