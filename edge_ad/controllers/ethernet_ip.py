"""EtherNet/IP: our signals are written into a tag of the controller, and its own are read from another."""

from __future__ import annotations

import importlib.util
import logging
import struct
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edge_ad.controllers.adapter import Protocol
from edge_ad.controllers.layout import INPUTS, OUTPUTS, SignalLayout, WordOrder
from edge_ad.controllers.polling import PolledController, PollSettings
from edge_ad.controllers.settings import Port
from edge_ad.errors import DeviceError, InputError, MissingExtraError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ad.controllers.gateway import Gateway

__all__ = ["PROTOCOL", "EthernetIpSettings", "TagMemory"]

_Tag = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")]


class EthernetIpSettings(PollSettings, frozen=True, kw_only=True):
    """The tags have to be there: ``INT[44]`` for our signals and ``INT[22]`` for those of the controller.

    ``word_order``: ``little`` is the order in which a Logix controller keeps values of two words.
    """

    port: Port = 44_818
    slot: Annotated[int, msgspec.Meta(ge=0, le=31)] = 0
    outputs_tag: _Tag = "EdgeAdOutputs"
    inputs_tag: _Tag = "EdgeAdInputs"
    word_order: WordOrder = "little"


class TagMemory:
    """See :class:`edge_ad.controllers.polling.ControllerMemory`."""

    def __init__(self, settings: EthernetIpSettings) -> None:
        from pycomm3 import LogixDriver

        logging.getLogger("pycomm3").setLevel(logging.CRITICAL)  # a line for each attempt would fill the log
        self._settings = settings
        path = f"{settings.host}:{settings.port}/{settings.slot}"
        self._driver: Any = LogixDriver(path, init_tags=False)

    def open(self) -> None:
        """Connects. The two tags are known: none are asked for, which takes minutes on a large controller."""
        self._asked(self._driver.open)
        self._driver._cfg["use_instance_ids"] = False
        self._driver._tags = {
            self._settings.outputs_tag: _words_tag(self._settings.outputs_tag, OUTPUTS),
            self._settings.inputs_tag: _words_tag(self._settings.inputs_tag, INPUTS),
        }

    def read(self) -> list[int]:
        """One request for all words."""
        read = self._asked(lambda: self._driver.read(f"{self._settings.inputs_tag}{{{INPUTS.words}}}"))
        if read.error or not isinstance(read.value, list) or len(read.value) != INPUTS.words:
            raise DeviceError(f"{self._place()}: cannot read {self._settings.inputs_tag}: {one_line(read.error)}")
        return _text_turned([word % 65_536 for word in read.value], INPUTS)

    def write(self, words: list[int]) -> None:
        """One packet of two services in their order: the data, then version and bits.

        A packet with a single write does not do: pycomm3 1.2.16 puts it in twice.
        """
        tag = self._settings.outputs_tag
        raw = struct.pack(f"<{len(words)}H", *_text_turned(words, OUTPUTS))
        data, head = (f"{tag}[2]{{{len(words) - 2}}}", raw[4:]), (f"{tag}[0]{{2}}", raw[:4])
        for written in self._asked(lambda: self._driver.write(data, head)):
            if written.error:
                raise DeviceError(f"{self._place()}: cannot write {tag}: {one_line(written.error)}")

    def close(self) -> None:
        """Never raises."""
        from pycomm3 import PycommError

        try:
            self._driver.close()
        except (PycommError, OSError):
            return

    def _asked(self, request: Callable[[], Any]) -> Any:
        from pycomm3 import PycommError

        try:
            return request()
        except (PycommError, OSError) as error:
            raise DeviceError(f"{self._place()}: {one_line(error)}") from error

    def _place(self) -> str:
        return f"the EtherNet/IP controller {self._settings.host}:{self._settings.port}"


def _words_tag(name: str, layout: SignalLayout) -> dict[str, Any]:
    """What pycomm3 wants to know of a tag ``INT[n]``."""
    from pycomm3 import INT, Array

    return {
        "tag_name": name,
        "dim": 1,
        "dimensions": [layout.words, 0, 0],
        "tag_type": "atomic",
        "data_type": "INT",
        "data_type_name": "INT",
        "type_class": Array(layout.words, INT),
        "alias": False,
        "instance_id": 0,
        "external_access": "Read/Write",
    }


def _text_turned(words: list[int], layout: SignalLayout) -> list[int]:
    """The bytes of texts in each word in the other order, so that a copy to SINTs gives the text."""
    turned = list(words)
    for one in layout:
        if one.kind == "text":
            for at in range(one.word, one.word + one.words):
                turned[at] = (words[at] & 255) << 8 | words[at] >> 8
    return turned


def _check(settings: EthernetIpSettings) -> None:
    if importlib.util.find_spec("pycomm3") is None:
        raise MissingExtraError("pycomm3", "ethernet-ip")
    if settings.inputs_tag == settings.outputs_tag:
        raise InputError(f"inputs_tag: expected another tag than outputs_tag, both are {settings.inputs_tag}")


async def _follow(settings: EthernetIpSettings, gateway: Gateway, name: str) -> None:
    await PolledController(settings, gateway, name, lambda: TagMemory(settings)).run()


PROTOCOL = Protocol(EthernetIpSettings, _check, _follow)
