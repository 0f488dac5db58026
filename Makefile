# Two commands do everything: `make demo` and `make test`. Both need Python 3.11+, make and git, and bring the rest.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test check coverage torture figures bench bench-quick screenshots audit clean

# each has a server and daemons of its own, and waits for them a third of the time: three keep two cores busy
WORKERS ?= 3
# such as ARGS=--keep for demo, ARGS="-k planner" for test

# uv brings certificates of its own; where the system has some, a company's may be among them (two names: uv changed it)
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# "in under a minute" says nothing beside another test: these have the machine for themselves
TIMED := tests/acceptance/test_demo.py
PLANNER_TESTS := $(wildcard tests/unit/test_planner_*.py) tests/unit/test_tag_name.py tests/property/test_decide.py

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name text; \
		do printf '  make %-11s %s\n' "$$name" "$$text"; done

setup: ## create .venv from uv.lock; quick when there is nothing to do
	@scripts/bootstrap.sh

demo: setup ## run the main job on real images against a real lakeFS server (ARGS=--keep leaves it running)
	@$(BIN)/syncd demo $(ARGS)

test: setup ## all checks and tests; the first run builds lakeFS, which takes some minutes
	@scripts/while_preparing.sh $(MAKE) --no-print-directory check coverage
ifndef ARGS
	$(PYTEST) $(TIMED)
endif
	$(PYTEST) -n $(WORKERS) --dist worksteal $(if $(ARGS),$(ARGS),$(TIMED:%=--ignore=%))

check: setup ## style, types and import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(PYTEST) -q tests/unit/test_import_rules.py

coverage: export COVERAGE_FILE := .coverage-planner
coverage: setup ## every branch of the planner is tested
	$(BIN)/coverage run --source=syncd/planner -m pytest -q $(PLANNER_TESTS)
	$(BIN)/coverage report --fail-under=100

FIGURES := .cache/torture.jsonl
# the longest first; those of load measure time and memory, and have the machine for themselves
LOAD := tests/torture/test_load.py
LONGEST := tests/torture/test_machine.py tests/torture/test_random.py tests/acceptance/test_snapshot_is_complete.py
LONG := $(LONGEST) $(filter-out $(LONGEST) $(LOAD),$(wildcard tests/torture/test_*.py)) tests/crashes tests/faults

torture: export SYNCD_TORTURE := $(or $(SCALE),1)
torture: export SYNCD_TEST_SEED := $(SEED)
torture: export SYNCD_TORTURE_FIGURES := $(FIGURES)
torture: export SYNCD_CRASH_POINTS := all
torture: setup ## kills, faults, storms and random histories, for hours (SCALE=0.1 takes a tenth, SEED=… repeats one)
	@mkdir -p $(dir $(FIGURES))
	@rm -f $(FIGURES)
	$(PYTEST) --instafail --timeout=0 -n $(WORKERS) --dist load --maxschedchunk 1 $(if $(ARGS),$(ARGS),$(LONG))
ifndef ARGS
	$(PYTEST) --instafail --timeout=0 $(LOAD)
endif
	$(BIN)/python -m tests.torture.results Torture $(FIGURES)

COST := tests/operations tests/container/test_image.py::test_it_syncs_and_is_healthy_without_any_rights

figures: export SYNCD_TORTURE := $(or $(SCALE),1)
figures: export SYNCD_TORTURE_FIGURES := .cache/figures.jsonl
figures: setup ## what it costs to have it running, into tests/RESULTS.md: about an hour (SCALE=0.1 takes a tenth)
	@mkdir -p $(dir $(SYNCD_TORTURE_FIGURES))
	@rm -f $(SYNCD_TORTURE_FIGURES)
	$(PYTEST) --instafail --timeout=0 $(if $(ARGS),$(ARGS),$(COST))
	$(BIN)/python -m tests.torture.results "The running service" $(SYNCD_TORTURE_FIGURES)

bench: setup ## how fast it is, beside its peers on the same server: hours (ARGS="first pull" measures those alone)
	$(BIN)/python bench/run.py $(ARGS)

bench-quick: setup ## some of it on few files, in three minutes; results are only printed
	$(BIN)/python bench/run.py --quick $(ARGS)

SHOTS := test_now_tells_how_it_stands or test_a_snapshot_shows_what_changed
screenshots: setup ## the two pictures of the page in docs/, by the tests that look at it (others are in .cache/screenshots)
	$(PYTEST) tests/acceptance/test_page.py -k "$(SHOTS)"
	cp .cache/screenshots/now.png .cache/screenshots/snapshot.png docs/

audit: setup ## known vulnerabilities of the locked libraries, and dist/sbom.cdx.json; CI does it too
	@scripts/audit.sh

clean: ## remove the environment and everything made by tests; the lakeFS in your cache stays
	rm -rf .venv .cache .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache dist
	find syncd tests bench -name __pycache__ -prune -exec rm -rf {} +
