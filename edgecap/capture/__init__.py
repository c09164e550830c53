"""Cameras, each in a process of its own.

A camera that is lost may keep its reader waiting for ever, and a thread cannot be killed. So
:mod:`edgecap.capture.worker` reads it in a child process, keeps the newest frame in shared memory,
and :class:`edgecap.sources.live.LiveSource` takes frames from there, watches, kills and restarts.
"""
