"""Asks a model's server for one token, outside of any run: what it costs is a fraction of a cent."""

from __future__ import annotations

import httpx

from agents.llm.judgement import status_fault
from agents.llm.models import ModelSpec
from agents.llm.network import NetworkTransport
from agents.llm.redaction import Redactor
from data.door import SystemClock
from data.model.escape import escape_line

TIMEOUT_S = 30.0


def ask_one_token(spec: ModelSpec, key: str) -> str | None:
    """What is wrong, in one line without the key; None if it answered."""
    redactor = Redactor()
    redactor.add(key)
    limit = "max_completion_tokens" if spec.provider == "openai" else "max_tokens"
    body = {"model": spec.name, "messages": [{"role": "user", "content": "Say ok."}], limit: 1}
    transport = NetworkTransport(SystemClock(), TIMEOUT_S)
    with httpx.Client(transport=transport, timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
        try:
            told = client.post(
                f"{spec.base_url}/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
            )
        except httpx.RequestError as error:
            return escape_line(redactor.text(f"{spec.host} cannot be reached: {error or type(error).__name__}"))
    fault = status_fault(spec, spec.host, told.status_code, told.content)
    return None if fault is None else escape_line(redactor.text(fault.detail))
