"""MQTT: results, states and alarms to a broker, and triggers, recipes and resets from it. The extra ``mqtt``."""

from edge_ad.controllers.adapter import Protocol
from edge_ad.controllers.mqtt.mqtt_settings import MqttSettings, check
from edge_ad.controllers.mqtt.service import run

__all__ = ["PROTOCOL", "MqttSettings"]

PROTOCOL = Protocol(MqttSettings, check, run)
