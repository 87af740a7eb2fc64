"""The command line: what is refused is one line that says what to do."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from backtesting.core.arguments import read_arguments
from backtesting.core.flags import SAMPLE_SYMBOL
from data.model.errors import UsageError

WINDOW = ["--symbol", "BTCUSDT", "--interval", "1h", "--start_date", "2025-04-01", "--end_date", "2025-04-10"]
RULES = [*WINDOW, "--model", "rules"]


def test_reads_a_window() -> None:
    settings = read_arguments(RULES, {})
    assert settings.symbols == ("BTCUSDT",)
    assert (settings.start_on, settings.end_on) == (date(2025, 4, 1), date(2025, 4, 10))
    assert settings.initial_cash == Decimal(10000)


def test_hyphens_and_underscores_are_the_same() -> None:
    hyphens = [word.replace("_", "-") if word.startswith("--") else word for word in RULES]
    assert read_arguments([*hyphens, "--initial-cash=500"], {}) == read_arguments([*RULES, "--initial_cash", "500"], {})


def test_a_hyphen_in_a_value_stays() -> None:
    assert read_arguments([*RULES, "--base-url=http://my-host_1/v1"], {}).base_url == "http://my-host_1/v1"


def test_several_symbols_in_a_fixed_order() -> None:
    argv = [*RULES, "--symbol", "ETHUSDT,SOLUSDT", "BTCUSDT"]
    assert read_arguments(argv, {}).symbols == ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def test_the_sample_needs_nothing_else() -> None:
    settings = read_arguments(["--sample", "--model", "rules"], {})
    assert settings.symbols == (SAMPLE_SYMBOL,)


def test_settings_come_from_flags_then_the_environment() -> None:
    environ = {"AGENTRADER_MODEL": "openai/gpt-4o", "DATABASE_URL": "postgresql://db/one"}
    assert read_arguments(WINDOW, environ).model == "openai/gpt-4o"
    assert read_arguments(RULES, environ).model == "rules"
    assert read_arguments(RULES, environ).database_url == "postgresql://db/one"
    assert read_arguments([*RULES, "--database", "postgresql://db/two"], environ).database_url == "postgresql://db/two"


def test_a_resumed_run_finds_the_database_that_the_environment_names(tmp_path: Path) -> None:
    begun = read_arguments([*RULES, "--decide_every", "2"], {}).invocation
    environ = {"DATABASE_URL": "postgresql://db/one", "AGENTRADER_MODEL": "openai/gpt-4o"}
    again = read_arguments(["--resume", str(tmp_path)], environ, lambda _folder: begun)
    assert (again.database_url, again.model, again.decide_every) == ("postgresql://db/one", "rules", 2)


def test_a_budget_of_a_file_is_one_however_often_its_run_goes_on(tmp_path: Path) -> None:
    begun = read_arguments([*RULES, "--budget_usd", "5"], {}).invocation
    file = tmp_path / "config.toml"
    again = ["--config", str(file), "--resume", str(tmp_path)]
    file.write_text("budget_usd = 5.0")
    settings = read_arguments(again, {}, lambda _folder: begun)
    assert (settings.budget_usd, settings.budget_goes_on) == (5, True)
    settings = read_arguments([*again, "--budget_usd", "5"], {}, lambda _folder: begun)
    assert (settings.budget_usd, settings.budget_goes_on) == (5, False)
    file.write_text("budget_usd = 9")
    with pytest.raises(UsageError, match=r"new money is said on the command line: --budget_usd USD$"):
        read_arguments(again, {}, lambda _folder: begun)


def test_a_price_belongs_to_its_model_or_to_the_model() -> None:
    words = ["--price", "OpenAI/house=2.5,10", "1,2"]
    told = read_arguments([*WINDOW, "--model", "ollama/own:7b", *words], {}).prices
    assert told == {"openai/house": (Decimal("2.5"), Decimal(10)), "ollama/own:7b": (Decimal(1), Decimal(2))}


def test_prices_may_be_said_one_after_the_other() -> None:
    told = read_arguments([*RULES, "--price", "openai/a=1,2", "--price", "openai/b=3,4"], {}).prices
    assert [*told] == ["openai/a", "openai/b"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (WINDOW, "--model rules"),
        ([*RULES, "--price", "2.5"], "MODEL=IN,OUT"),
        ([*RULES, "--price", "openai/x=2,many"], "'many' is not a number"),
        ([*RULES, "--price", "openai/x=-1,2"], "from 0 to 1,000,000 dollars"),
        ([*RULES, "--price", "openai/x=1,1e999999"], "from 0 to 1,000,000 dollars"),
        ([*RULES, "--budget_usd", "-1"], "--budget_usd must be from 0 to"),
        ([*RULES, "--budget_usd", "1E+9999999"], "--budget_usd must be from 0 to"),
        ([*RULES, "--budget_usd", "inf"], "not a finite number"),
        ([*RULES, "--timeout", "-5"], "--timeout must be more than 0"),
        ([*RULES, "--timeout", "nan"], "--timeout must be more than 0"),
        ([*RULES, "--resume", "nowhere"], "there is no run nowhere"),
        ([*RULES, "--concurrency", "0"], "--concurrency must be from 1 to 256"),
        ([*RULES, "--end_date", "2025-03-01"], "lies before"),
        ([*RULES, "--start_date", "01.04.2025"], "YYYY-MM-DD"),
        ([*RULES, "--interval", "7m"], "unknown interval"),
        ([*RULES, "--initial_cash", "many"], "--initial_cash 'many' is not a number"),
        ([*RULES, "--initial_cash", "nan"], "not a finite number"),
        ([*RULES, "--max_failures", "0"], "--max_failures must be from 1 to"),
        ([*RULES, "--max_failures", str(2**60)], "--max_failures must be from 1 to"),
        ([*RULES, "--tokens_per_minute", str(2**60)], "--tokens_per_minute must be from 1 to"),
        ([*RULES, "--agent_model", "decision"], "AGENT=PROVIDER/NAME"),
        ([*RULES, "--symbol", "A,A"], "twice"),
        (["--model", "rules"], "--sample --model rules"),
    ],
)
def test_refuses_with_one_line(argv: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_arguments(argv, {})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("argv", [["--no_such_flag"], [*RULES, "--seed", "x"], [*RULES, "--protocol", "vote"]])
def test_unknown_words_exit_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_arguments(argv, {})
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.endswith("(python -m backtesting.core.authentic_backtest --help shows what there is)")


def test_a_flag_that_is_misspelt_is_told_the_one_it_looks_like(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--smaple", "--model", "rules"], {})
    assert "unrecognized arguments: --smaple; did you mean --sample?" in capsys.readouterr().err
