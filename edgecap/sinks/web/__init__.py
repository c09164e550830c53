"""The web page: live pictures, probabilities over time, events and health, for any browser."""

from edgecap.sinks.web.page import WebPage

__all__ = ["WebPage"]
