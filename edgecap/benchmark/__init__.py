"""How fast a model runs here: measured on the device, with the runtime's dependencies only."""

from edgecap.benchmark.report import Bench, from_dict

__all__ = ["Bench", "from_dict"]
