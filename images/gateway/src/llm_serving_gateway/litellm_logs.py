"""What LiteLLM may log: that something failed and where, never what it says, which quotes prompts.

An exception of LiteLLM's has the request's text in its message ("Unmapped prompt format ... prompt=...", 1.110), and
its traceback that message again.
"""

import logging

_LOGGERS = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router")


class _WithoutText(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "message"
        record.msg, record.args = "%s in %s of %s, line %d", (kind, record.funcName, record.filename, record.lineno)
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def install() -> None:
    """From now on LiteLLM's loggers say no more."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_WithoutText())
