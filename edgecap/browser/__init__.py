"""A model as a static web app: the same file in a browser, by LiteRT.js."""

from edgecap.browser.litert import LiteRtJs, find_litert
from edgecap.browser.site import Site, write_site

__all__ = ["LiteRtJs", "Site", "find_litert", "write_site"]
