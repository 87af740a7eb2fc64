"""Yahoo's chart API as it was recorded, behind the transport that `requests` lets one mount."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter

Candle = tuple[int, float, float, float, float, int]
NO_DATA = {"code": "Not Found", "description": "No data found, symbol may be delisted"}


def candles(path: Path) -> list[Candle]:
    """Those of a CSV file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [_candle(row) for row in csv.DictReader(lines)]


def _candle(row: dict[str, str]) -> Candle:
    at = int(datetime.fromisoformat(row["open_time"]).timestamp())
    opened, high, low, close = (float(row[name]) for name in ("open", "high", "low", "close"))
    return at, opened, high, low, close, int(float(row["volume"]))


@dataclass
class RecordedYahoo(BaseAdapter):
    """Answers `/v8/finance/chart/SYMBOL`. `candles` are (epoch second, open, high, low, close, volume)."""

    symbol: str
    candles: list[Candle]
    splits: dict[int, int] = field(default_factory=dict)
    kind: str = "EQUITY"
    faults: list[int | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def session(self) -> requests.Session:
        session = requests.Session()
        session.mount("https://", self)
        return session

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        url = urlsplit(str(request.url))
        if "/v8/finance/chart/" not in url.path:
            return page(request, 200, "recorded-crumb")
        self.asked.append(url.query)
        if self.faults:
            status = self.faults.pop(0)
            if status is None:
                raise requests.exceptions.ConnectionError("connection reset")
            return page(request, status, "<html>trouble</html>")
        if not url.path.endswith(f"/{self.symbol}"):
            return page(request, 404, json.dumps({"chart": {"result": None, "error": NO_DATA}}))
        asked = {name: int(values[0]) for name, values in parse_qs(url.query).items() if name.startswith("period")}
        return page(request, 200, json.dumps(self._chart(asked.get("period1", 0), asked.get("period2", 2**40))))

    def close(self) -> None:
        """Nothing is held open."""

    def _chart(self, start: int, end: int) -> dict[str, object]:
        rows = [row for row in self.candles if start <= row[0] < end]
        quote = {name: [row[place] for row in rows] for place, name in enumerate(NAMES, 1)}
        splits = {
            str(at): {"date": at, "numerator": ratio, "denominator": 1, "splitRatio": f"{ratio}:1"}
            for at, ratio in self.splits.items()
            if start <= at < end
        }
        result: dict[str, object] = {
            "meta": self._meta(),
            "timestamp": [row[0] for row in rows],
            "indicators": {"quote": [quote], "adjclose": [{"adjclose": [0.98 * row[4] for row in rows]}]},
        }
        if splits:
            result["events"] = {"splits": splits}
        return {"chart": {"result": [result], "error": None}}

    def _meta(self) -> dict[str, object]:
        opened = self.candles[0][0]
        period = {"timezone": "EDT", "start": opened, "end": opened + 23_400, "gmtoffset": -14400}
        return {
            "currency": "USD",
            "symbol": self.symbol,
            "exchangeName": "NMS",
            "instrumentType": self.kind,
            "firstTradeDate": 917015400,
            "regularMarketTime": 1718049600,
            "gmtoffset": -14400,
            "timezone": "EDT",
            "exchangeTimezoneName": "America/New_York",
            "regularMarketPrice": self.candles[-1][4],
            "priceHint": 2,
            "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
            "tradingPeriods": [[period]],
            "dataGranularity": "1d",
            "range": "",
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }


NAMES = ("open", "high", "low", "close", "volume")


def page(request: requests.PreparedRequest, status: int, body: str) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason = status, f"status {status}"
    response.url, response.request = str(request.url), request
    response.raw = BytesIO(body.encode())
    return response
