"""The reports of a training and of a conversion: each one HTML file that needs nothing else.

    album = Album(task, labels)
    result = evaluate(album.predictor(predict), album.follow(recordings), …)
    data = ReportData(
        title=…, task=…, labels=…, metrics={"test": result.to_dict()}, clips=album.digest, …
    )
    write_report(run / "report.html", data)
    write_parity_report(run / "parity.html", record, title)

Every text that comes from outside, such as a label or a file name, is escaped; the page loads
nothing and runs no script.
"""

from edgecap_convert.report.data import ClipResult, CrossvalData, PartSummary, ReportData
from edgecap_convert.report.digest import Album, Digest, clip_results
from edgecap_convert.report.page import write_crossval_report, write_report
from edgecap_convert.report.parity_page import write_parity_report
from edgecap_convert.report.pooling import pool, wilson_interval

__all__ = [
    "Album",
    "ClipResult",
    "CrossvalData",
    "Digest",
    "PartSummary",
    "ReportData",
    "clip_results",
    "pool",
    "wilson_interval",
    "write_crossval_report",
    "write_parity_report",
    "write_report",
]
