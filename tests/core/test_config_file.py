"""Flags out of a TOML file: the example names every one, and whatever is said elsewhere counts before."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path

import house
import pytest

from backtesting.core.arguments import Settings, read_arguments
from backtesting.core.config_file import IN_ENVIRONMENT, flag_actions
from backtesting.core.flags import build_parser
from data.model.errors import UsageError

EXAMPLE = house.ROOT / "config.example.toml"
SWITCHED_OFF = re.compile(r"^# (\w+) = ", re.MULTILINE)


def read(folder: Path, text: str, *words: str, **environ: str) -> Settings:
    path = folder / "config.toml"
    path.write_text(text)
    return read_arguments(["--config", str(path), *words], environ)


def example(*, all_on: bool) -> str:
    text = EXAMPLE.read_text("utf-8")
    return SWITCHED_OFF.sub(r"\1 = ", text) if all_on else text


def test_the_example_names_every_flag_and_no_other() -> None:
    assert set(tomllib.loads(example(all_on=True))) == set(flag_actions(build_parser()))


def test_the_example_reads_as_it_is(tmp_path: Path) -> None:
    settings = read(tmp_path, example(all_on=False))
    assert (settings.symbols, settings.start_on, settings.model) == (("BTCUSDT",), date(2025, 4, 1), "rules")


def test_every_line_of_the_example_reads(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^resume = .*", "", example(all_on=True))
    settings = read(tmp_path, text)
    assert settings.prices == {"openai/house-model": (Decimal("2.5"), Decimal(10))}
    assert settings.agent_models == {"decision": "openai/gpt-4o"}
    assert (settings.temperature, settings.budget_usd) == (0.0, Decimal(5))


def test_what_the_example_calls_a_default_is_one(tmp_path: Path) -> None:
    given = ("symbol", "interval", "start_date", "end_date", "model")
    defaults = {name: action.default for name, action in flag_actions(build_parser()).items() if name not in given}
    said = tomllib.loads(example(all_on=True))
    compared = {name: (said[name], value) for name, value in defaults.items() if value not in (None, False)}
    compared["output_dir"] = (str(house.ROOT / said["output_dir"]), str(defaults["output_dir"]))
    assert {name: both for name, both in compared.items() if str(both[0]) != str(both[1]).removesuffix(".0")} == {}


def test_a_flag_counts_before_the_file(tmp_path: Path) -> None:
    settings = read(tmp_path, example(all_on=False), "--end-date", "2025-04-02", "--model", "ollama/x")
    assert (settings.end_on, settings.model) == (date(2025, 4, 2), "ollama/x")


def test_a_list_of_the_command_line_stands_alone_and_models_and_prices_count_by_name(tmp_path: Path) -> None:
    text = (
        example(all_on=False)
        + """
notify = "https://example.org/file"
agent_model = {technical = "openai/a", decision = "openai/b"}
price = {"openai/a" = [1, 2], "openai/b" = [3, 4]}
"""
    )
    words = (
        "--notify",
        "https://example.org/a",
        "--notify",
        "https://example.org/b",
        "--agent_model",
        "decision=openai/c",
    )
    told = read(tmp_path, text, *words, "--price", "openai/b=5,6", "--price", "openai/c=7,8")
    assert told.notify == ("https://example.org/a", "https://example.org/b")
    assert told.agent_models == {"technical": "openai/a", "decision": "openai/c"}
    assert {name: int(price) for name, (price, _) in told.prices.items()} == {
        "openai/a": 1,
        "openai/b": 5,
        "openai/c": 7,
    }


@pytest.mark.parametrize("flag", IN_ENVIRONMENT)
def test_the_environment_counts_before_the_file(tmp_path: Path, flag: str) -> None:
    text = re.sub(r"(?m)^model = .*", "", example(all_on=False)) + f'\n{flag} = "from-the-file"\n'
    told = read(tmp_path, text, **{"AGENTRADER_MODEL": "rules", IN_ENVIRONMENT[flag]: "from-outside"})
    name = {"database": "database_url"}.get(flag, flag)
    assert getattr(told, name) in ("from-outside", ("from-outside",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol = [", "is not TOML"),
        ("simbol = 'A'", "did you mean symbol?"),
        ("OPENAI_API_KEY = 'x'", "there is no flag --OPENAI_API_KEY"),
        ("config = 'other.toml'", "there is no flag --config"),
        ("mini = 'yes'", "mini is true or false"),
        ("seed = {a = 1}", "seed cannot be"),
        ("symbol = [true]", "symbol cannot be true or false"),
        ("database = ['postgresql://me:sekret@db/x']", "database cannot be a list"),
        ("api_key = 'sekret'", "there is no flag --api_key"),
        ("notify = [['https://h/sekret']]", "notify cannot be a list"),
    ],
)
def test_refuses_with_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "config.toml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sekret" not in str(caught.value)


def test_a_folder_at_home_is_one_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = read(tmp_path, example(all_on=False) + "output_dir = '~/runs'\nprompts = '~nobody-there/x'\n")
    assert (settings.output_dir, settings.prompts) == (tmp_path / "runs", Path("~nobody-there/x"))


def test_an_editor_may_begin_the_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert read(tmp_path, f"\ufeff{example(all_on=False)}").model == "rules"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_arguments(["--config", str(tmp_path / "none.toml")], {})


def test_env_example_names_only_variables_that_count() -> None:
    text = (house.ROOT / ".env.example").read_text("utf-8")
    named = set(re.findall(r"(?m)^#([A-Z_]+)=", text))
    code = "".join(path.read_text("utf-8") for path in house.modules())
    assert {name for name in named if f'"{name}"' not in code} == set()
    assert set(IN_ENVIRONMENT.values()) <= named
