.DEFAULT_GOAL := help
.PHONY: help run token receive redrive test lint format typecheck guards validate scan build bench openapi lock clean setup setup-sam setup-sec

# A Python from 3.11 to 3.13; choose another with `make PYTHON=/path/to/python`.
PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3; do \
	"$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo "$$candidate" && break; done)
PY := .venv/bin/python
SAM := .venv-sam/bin/sam
LOCK := .venv/bin/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --generate-hashes $(UPGRADE)

help:  ## Show this list
	@awk -F ':.*## *' '/^[a-z-]+:.*##/ { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: setup  ## Serve the application on http://127.0.0.1:8000 (PORT= changes it; AUTH=1 demands tokens; ALLOW_LOOPBACK= names ports here that may be called; TIMEOUT= makes workers stop sooner)
	@$(PY) -m local$(if $(filter-out 0,$(AUTH)), --auth)$(if $(TIMEOUT), --timeout "$(TIMEOUT)") --allow-loopback "$(ALLOW_LOOPBACK)"

# A shell has a USER of its own, whom nobody means here.
token: setup  ## Print a token for `make run AUTH=1`: make token USER=7 (SCOPE=admin may act for every user; SECONDS= it is valid for)
	@$(if $(filter command,$(origin USER)),,$(error Whose token? make token USER=7))$(PY) -m local.tokens $(if $(SCOPE),--scope "$(SCOPE)" )$(if $(SECONDS),--seconds "$(SECONDS)" )-- "$(USER)"

receive: setup  ## Give JSON to whoever asks and print the webhooks that come in, on port 9000 (PORT= changes it)
	@$(PY) -m local.receiver

redrive: setup  ## Run failed jobs of `make run` again, or with ARGS="--stack NAME" those of a deployed stack (ARGS=--help tells more)
	@PYTHONPATH=layers/afterward:layers/catalog $(PY) -m $(if $(findstring --stack,$(ARGS)),afterward,local).redrive $(ARGS)

# One worker more than cores, since many tests wait for processes of the local cloud; and files in their order, since those
# that wait longest have few tests and would come last.
test: setup  ## Run the tests (ARGS= goes to pytest)
	@$(PY) -m pytest -n "$$(( $$(getconf _NPROCESSORS_ONLN) + 1 ))" --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup  ## Check format and style
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .

format: setup  ## Format, and mend what ruff can mend
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

typecheck: setup  ## Check the types
	$(PY) -m mypy

guards: setup  ## Take every guard of the library out of a copy, and see a test fail (minutes; ARGS="--only TEXT" picks)
	@$(PY) -m tests.faults.guards $(ARGS)

validate: setup setup-sam  ## Check the template (the tests check it as SAM expands it)
	.venv/bin/cfn-lint template.yaml
	$(SAM) validate --region us-east-1
	$(SAM) validate --region us-east-1 --lint

scan: setup setup-sec  ## Scan the template, the code and the lock (scripts/accepted.py says what is left, and why)
	@$(PY) -m scripts.scan

build: setup setup-sam  ## Build what `sam deploy` uploads, into .aws-sam/build
	$(SAM) build

bench: setup  ## Run the benchmarks
	@for benchmark in benchmarks/[!_]*.py; do $(PY) "$$benchmark" || exit 1; done

openapi: setup  ## Write docs/openapi.json anew, after a change to the API
	@$(PY) scripts/openapi.py

lock: setup  ## Lock the requirements anew (UPGRADE=--upgrade takes newer versions)
	$(LOCK) --universal --python-version 3.11 requirements/uv.in -o requirements/uv.txt
	$(LOCK) --universal --python-version 3.11 requirements/dev.in -o requirements/dev.txt
	$(LOCK) --universal --python-version 3.11 requirements/sam.in -o requirements/sam.txt
	$(LOCK) --universal --python-version 3.11 --excludes requirements/sec_excluded.in requirements/sec.in -o requirements/sec.txt
	$(LOCK) --universal --python-version 3.11 -c requirements/dev.txt requirements/base.in -o layers/afterward/requirements.txt
	$(LOCK) --universal --python-version 3.11 -c requirements/dev.txt --no-emit-package urllib3 requirements/outbound.in -o layers/outbound/requirements.txt

clean:  ## Remove the environments and everything built
	rm -rf .venv .venv-sam .venv-sec .aws-sam

setup: .venv/.ready
setup-sam: .venv-sam/.ready
setup-sec: .venv-sec/.ready

.venv/.ready: requirements/uv.txt requirements/dev.txt
.venv-sam/.ready: requirements/uv.txt requirements/sam.txt
.venv-sec/.ready: requirements/uv.txt requirements/sec.txt
.venv/.ready .venv-sam/.ready .venv-sec/.ready:
	@test ! -L $(@D) || { echo "$(@D) is a link to another environment, which this would empty. Remove the link." >&2; exit 1; }
	@test -n "$(PYTHON)" || { echo "Afterward needs Python 3.11, 3.12 or 3.13; none was found. Name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
		|| { echo "$(PYTHON) is not a Python from 3.11 to 3.13. Name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make environments (no venv or ensurepip; on Debian: apt install python3-venv)." >&2; exit 1; }
	@echo "Setting up $(@D) ..."
	@"$(PYTHON)" -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@VIRTUAL_ENV=$(@D) $(@D)/bin/uv pip sync --quiet --require-hashes requirements/uv.txt $(lastword $^)
	@touch $@
