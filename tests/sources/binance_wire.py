"""Binance's public API as it was recorded, behind the transport that `requests` lets one mount."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter

HOUR_MS = 3_600_000
EXCHANGE_INFO = {
    "timezone": "UTC",
    "serverTime": 1743465600000,
    "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
    "exchangeFilters": [],
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "status": "TRADING",
            "baseAsset": "BTC",
            "baseAssetPrecision": 8,
            "quoteAsset": "USDT",
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "MARKET"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": True,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.00", "stepSize": "0.00001"},
            ],
            "permissions": [],
            "permissionSets": [["SPOT", "MARGIN"]],
        }
    ],
}
FORBIDDEN = {
    "code": 0,
    "msg": "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe you received this in error.",
}

Kline = list[int | str]


def klines(file: Path) -> list[Kline]:
    """Bars of a CSV file in the shape that `GET /api/v3/klines` answers: prices are strings, twelve cells a row."""
    with file.open(encoding="utf-8") as lines:
        return [_kline(row) for row in csv.DictReader(lines)]


def _kline(row: dict[str, str]) -> Kline:
    start = int(datetime.fromisoformat(row["open_time"]).timestamp() * 1000)
    prices = [f"{float(row[name]):.8f}" for name in ("open", "high", "low", "close", "volume")]
    return [start, *prices, start + HOUR_MS - 1, "0.00000000", 1, "0.00000000", "0.00000000", "0"]


class RecordedBinance(BaseAdapter):
    """Answers exchangeInfo and klines; `faults` are given first, each a status, or None for a dropped connection."""

    def __init__(self, rows: list[Kline], faults: list[int | None] | None = None) -> None:
        super().__init__()
        self.rows, self.faults = rows, list(faults or [])
        self.asked: list[str] = []

    def session(self) -> requests.Session:
        session = requests.Session()
        session.mount("https://", self)
        return session

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        url = urlsplit(str(request.url))
        self.asked.append(f"{url.netloc}{url.path}")
        if self.faults:
            return self._fault(request, self.faults.pop(0))
        if url.path.endswith("/exchangeInfo"):
            return answer(request, 200, EXCHANGE_INFO)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        assert (asked["symbol"], asked["interval"]) == ("BTCUSDT", "1h")
        since, limit = int(asked["startTime"]), int(asked["limit"])
        assert limit <= 1000
        return answer(request, 200, [row for row in self.rows if int(row[0]) >= since][:limit])

    def close(self) -> None:
        """Nothing is held open."""

    def _fault(self, request: requests.PreparedRequest, status: int | None) -> requests.Response:
        if status is None:
            raise requests.exceptions.ConnectionError("connection reset")
        return answer(request, status, FORBIDDEN if status == 451 else "trouble")


def answer(request: requests.PreparedRequest, status: int, body: object) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason = status, f"status {status}"
    response.url, response.request = str(request.url), request
    response.headers["Content-Type"] = "application/json;charset=UTF-8"
    response.raw = BytesIO(json.dumps(body).encode())
    return response
