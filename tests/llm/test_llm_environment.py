"""Nothing in the environment and no server can lead a request elsewhere, or add to it."""

from __future__ import annotations

from pathlib import Path

import fault_server as faults
import openai
import pytest
import wire

from data.model.decisions import FailureReason

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def test_neither_proxy_nor_other_address_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with faults.FaultServer() as elsewhere, faults.FaultServer(answer=lambda _: "{}") as provider:
        monkeypatch.setenv("OPENAI_BASE_URL", elsewhere.base_url)
        for name in PROXIES:
            monkeypatch.setenv(name, elsewhere.base_url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        line = wire.Wire(wire.at(provider.base_url))
        line.ask()
    assert (len(provider.received), len(elsewhere.received)) == (1, 0)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(code: int) -> None:
    with (
        faults.FaultServer() as elsewhere,
        faults.FaultServer(then=faults.status(code, Location=f"{elsewhere.base_url}/x")) as provider,
    ):
        line = wire.Wire(wire.at(provider.base_url))
        with pytest.raises(openai.APIError):
            line.ask()
    assert (len(provider.received), len(elsewhere.received)) == (1, 0)
    assert line.turn.failure is not None
    assert line.turn.failure.reason is FailureReason.REQUEST_REJECTED
    assert "--base_url" in line.turn.failure.detail


def test_only_headers_that_a_server_needs_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-canary")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Canary: yes\nCookie: c=1")
    with faults.FaultServer(answer=lambda _: "{}") as provider:
        wire.Wire(wire.at(provider.base_url)).ask()
    sent = provider.received[0].headers
    assert "canary" not in "".join(sent.values()).replace(wire.KEY, "")
    needed = {"accept", "authorization", "connection", "content-length", "content-type", "host", "user-agent"}
    assert set(sent) <= needed | {"accept-encoding"}
    assert sent["accept-encoding"] == "identity"


def test_the_password_file_for_hosts_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password canary\n", "utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with faults.FaultServer(answer=lambda _: "{}") as provider:
        wire.Wire(wire.at(provider.base_url)).ask()
    assert provider.received[0].headers["authorization"] == f"Bearer {wire.KEY}"
