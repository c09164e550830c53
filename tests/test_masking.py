"""No password or token of a URL is ever told to anyone."""

from __future__ import annotations

import pytest

import edgecap
from edgecap.errors import SourceError
from edgecap.masking import mask_url


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("rtsp://admin:pw@cam:554/1", "rtsp://admin:***@cam:554/1"),
        ("RTSPS://admin:pw@cam/1", "RTSPS://admin:***@cam/1"),
        ("rtsp://admin:p@w@cam/1", "rtsp://admin:***@cam/1"),
        ("rtsp://admin:p:w@cam/1", "rtsp://admin:***@cam/1"),
        ("rtsp://admin:p/w@cam/1", "rtsp://admin:***@cam/1"),
        ("rtsp://admin:p?w#x@cam/1", "rtsp://admin:***@cam/1"),
        ("rtsp://admin:p'\"w@cam/1", "rtsp://admin:***@cam/1"),
        ("rtsp://admin:p w@cam/1", "rtsp://admin:***@cam/1"),
        ("rtsp://:pw@cam/1", "rtsp://:***@cam/1"),
        ("https://ghp_token@host/x", "https://***@host/x"),
        ("http://cam/v?token=abc", "http://cam/v?token=***"),
        ("http://cam/v?user=a&pwd=b&fps=5", "http://cam/v?user=***&pwd=***&fps=5"),
        ("http://cam/v?fps=5&access_token=a.b-c#t", "http://cam/v?fps=5&access_token=***#t"),
        ("http://cam/v?X-Amz-Signature=ab/cd+e", "http://cam/v?X-Amz-Signature=***"),
        ("http://cam/v?API_KEY=x;Password=y", "http://cam/v?API_KEY=***;Password=***"),
        ("mqtt://u:p@broker:1883", "mqtt://u:***@broker:1883"),
        ("http://u:p@host/a?mail=x@y", "http://u:***@host/a?mail=x@y"),
    ],
)
def test_secrets_are_replaced(url: str, masked: str) -> None:
    assert mask_url(url) == masked
    assert mask_url(masked) == masked, "masking twice changes nothing"
    assert mask_url(f"cannot open {url.replace(' ', '')}!").startswith("cannot open ")


@pytest.mark.parametrize(
    "text",
    ["", "0", "/dev/video0", "clip.mp4", "rtsp://cam:554/a/@b", "http://cam/v?fps=5", "a: b@c"],
)
def test_what_holds_no_secret_stays(text: str) -> None:
    assert mask_url(text) == text


def test_every_url_of_a_message_is_masked() -> None:
    text = "rtsp://a:b@c/d failed, then https://e:f@g/h?key=i too; mail j@k"
    assert mask_url(text) == "rtsp://a:***@c/d failed, then https://e:***@g/h?key=*** too; mail j@k"


def test_a_misspelt_scheme_does_not_tell_the_password() -> None:
    with pytest.raises(SourceError, match="no such file") as error:
        edgecap.open_source("rstp://admin:geheim@camera/1?token=abc")
    assert "geheim" not in str(error.value)
    assert "abc" not in str(error.value)
