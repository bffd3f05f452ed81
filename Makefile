# make run: retrain on the embedded sandbox. make test: everything that must hold.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install run test coverage lint bench bench-watch crash-test lock clean help

help:            ## what there is
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  +##' $(MAKEFILE_LIST) | sed 's/:.*##/  /'

install: .venv/installed  ## make .venv with the retrain command in it, from the lock file

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("retrain needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q lib
	@touch $@

run: install  ## the main job: a model whose F1 fell is retrained, judged, put live and watched
	$(BIN)/retrain sandbox scenario f1_drop
	$(BIN)/retrain run

test: install lint  ## everything that must hold
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile
	@$(MAKE) --no-print-directory coverage

coverage: install  ## the record, the effects and the engine's account are tested to the last branch, in one process
	$(BIN)/python -m pytest --quiet --cov --cov-config=tests/coverage.ini --cov-report=term \
	  tests/ledger tests/test_effects.py tests/crash/test_effects_branches.py \
	  tests/engine/test_account.py tests/engine/test_keeper.py tests/engine/test_every_way.py tests/engine/test_writing.py \
	  --ignore=tests/ledger/test_tamper.py -k "not whatever_breaks"  # long, and of no branch that the others miss

lint: install  ## style, types, and which way imports go
	$(BIN)/ruff check .
	$(BIN)/ruff format --check lib tests
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install  ## every benchmark, held against its bar and the stored baseline; BENCH=--quick, BENCH=--store
	$(BIN)/python -m compileall -q lib  # as an installation is, where PYTHONDONTWRITEBYTECODE is set too
	$(BIN)/python tests/benchmarks/all.py $(BENCH)

bench-watch: install  ## six rules for the watch after a swap, simulated; writes the README's tables
	$(BIN)/python tests/benchmarks/bench_watch.py --document

crash-test: install  ## the effects killed at every boundary over a service with faults, 200 kills during writes, 12 of whole runs
	PYTHONPATH=tests $(BIN)/python -m crash.kill_matrix --cases 1200 --jobs 2
	PYTHONPATH=tests $(BIN)/python -m crash.torn_files --kills 200
	PYTHONPATH=tests $(BIN)/python -m crash.whole_runs --cases 12

lock:  ## renew the lock file from pyproject.toml
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet uv
	.venv/lock/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --custom-compile-command 'make lock' --quiet --output-file requirements.lock

clean:  ## stop the sandbox and throw away what can be made again (never records/)
	-$(BIN)/retrain sandbox down
	rm -rf .venv .sandbox .pytest_cache .mypy_cache .ruff_cache
