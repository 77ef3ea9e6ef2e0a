import pytest

from harness.durations import parse_span, span_text
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("45", 45), ("1h30m15s", 5415),
        ("1.5h", 5400), ("0.5", 0.5), (" 2H ", 7200), ("1m30", 90),
    ],
)  # fmt: skip
def test_spans_are_read(text, seconds):
    assert parse_span("--max-time", text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "0s", "-5", "5d", "30 m", "m", "nan", "inf", "1e3", "30m1h", "1:30", "٣"],
)
def test_what_is_no_span_is_refused(text):
    with pytest.raises(UsageError, match=r"--max-time must be a time above 0 such as 90s, 30m"):
        parse_span("--max-time", text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (1800, "30 min"), (5400, "1.5 h")],
)
def test_spans_are_told_in_the_fitting_unit(seconds, text):
    assert span_text(seconds) == text
