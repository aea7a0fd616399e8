"""One fresh process of the screening benchmark: screens the texts of a file, or has jieba cut them, and prints figures as JSON."""

import json
import sys
import time
from pathlib import Path

BEGAN = time.perf_counter()


def screen(file: str) -> dict[str, object]:
    """Return texts a second, seconds to the first text, peak memory, milliseconds for long texts of cues."""
    from rules.pack import default_pack
    from rules.text.screen import Asked, Screener

    screener = Screener(default_pack().lexicon)
    screener.screen("村书记收了老板的红包")
    start = time.perf_counter() - BEGAN
    before, texts = _halves(file)
    screener.screen_all(map(Asked, before))
    began = time.perf_counter()
    screener.screen_all(map(Asked, texts))
    per_second = len(texts) / (time.perf_counter() - began)
    long = {}
    for size in (2_000, 20_000, 200_000):
        text = ("村书记收红包不作为" * (size // 9 + 1))[:size]
        began = time.perf_counter()
        screener.screen(text)
        long[str(size)] = (time.perf_counter() - began) * 1_000
    return {"per_second": per_second, "start": start, "memory": _peak_mb(), "long": long}


def cut(file: str) -> dict[str, object]:
    """Return texts a second of jieba.lcut."""
    import logging

    import jieba

    jieba.setLogLevel(logging.ERROR)
    before, texts = _halves(file)
    for text in before:
        jieba.lcut(text)
    began = time.perf_counter()
    for text in texts:
        jieba.lcut(text)
    return {"per_second": len(texts) / (time.perf_counter() - began)}


def _halves(file: str) -> tuple[list[str], list[str]]:
    """Return the texts that warm the process up, as a service is that runs for weeks, and the others, which are measured."""
    texts: list[str] = json.loads(Path(file).read_text(encoding="utf-8"))
    return texts[0::2], texts[1::2]


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    print(json.dumps(screen(sys.argv[2]) if sys.argv[1] == "screen" else cut(sys.argv[2])))
