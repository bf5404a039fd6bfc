"""The outside world: each controller is a client of the link, in a process of its own."""

from edge_ad.controllers.adapter import Protocol
from edge_ad.controllers.conversation import Conversation, Outcome, Part, TriggerRefusal
from edge_ad.controllers.exchange import SignalExchange
from edge_ad.controllers.gateway import EventStream, Gateway, PartRefusedError
from edge_ad.controllers.running import check_controllers, run_controller, run_controllers
from edge_ad.controllers.settings import ControllerSettings, HandshakeSettings, SignalSettings
from edge_ad.controllers.signals import FaultCode, Inputs, Outputs, RefusalCode, ResultCode

__all__ = [
    "ControllerSettings",
    "Conversation",
    "EventStream",
    "FaultCode",
    "Gateway",
    "HandshakeSettings",
    "Inputs",
    "Outcome",
    "Outputs",
    "Part",
    "PartRefusedError",
    "Protocol",
    "RefusalCode",
    "ResultCode",
    "SignalExchange",
    "SignalSettings",
    "TriggerRefusal",
    "check_controllers",
    "run_controller",
    "run_controllers",
]
