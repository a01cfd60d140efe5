"""gunicorn reads this by itself. Its own lines are as all others of ours: it would print what a broken request said,
and the words of whatever an answer fails with while it is streamed."""

import os

_lines = "PlainLines" if os.environ.get("HEADACHEMD_MODE") == "embedded" else "JsonLines"
logconfig_dict = {
    "formatters": {"lines": {"()": f"headachemd.logs.{_lines}"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"gunicorn.error": {"handlers": ["stderr"], "propagate": False}},
}
