# `make` alone explains every target.
UV_VERSION := 0.13.8
# The Pythons that requirements.lock serves; another than the first: PYTHON=python3.12 make env
PYTHONS := python3.11 python3.12 python3.13
PYTHON ?= $(firstword $(PYTHONS))
DEPS := .deps
UV := $(DEPS)/bin/uv
PY := .venv/bin/python
INSTALLED := .venv/.installed
# The pairs that `make figures` takes of those that the study has.
INSTRUMENTS := piano-violin+violin-trumpet
WITHIN := $(INSTRUMENTS)+classical-rock+jazz-pop
ACROSS := violin-jazz+rock-piano

# A mirror that pip was told of serves uv as well.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

.DEFAULT_GOAL := help
.PHONY: help env demo figures test test-browser test-slow test-cluster attack symbolic bench check lint format lock tiny \
	tiny-long sae structure gpu wheel clean

help: ## explain every target
	@echo "mech_music: mechanistic interpretability of MusicGen. Usage: make <target>"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Needs Python 3.11 (or 3.12, 3.13: PYTHON=python3.12 make env), make and (once) a package index."
	@echo "Everything stays in .venv/ and .deps/."

env: $(INSTALLED) ## make the environment in .venv from requirements.lock (once; needs a package index)

demo: $(INSTALLED) ## what turns a piano into a violin in the bundled model? each component replaced, with its controls; a report
	$(PY) -m mech_music.run -m component=mlp,sa,ca layer=together pair=piano-violin prompts=20 hydra.sweep.dir=multirun/demo
	$(PY) -m mech_music.report multirun/demo
	@echo "Look and listen: open multirun/demo/report.html in a browser."

figures: $(INSTALLED) ## draw every figure of experiments/velez2024 with the bundled model
	@for figure in lens_fit fig2 fig2_tuned fig3 fig4 fig5 fig6 fig7 fig8 fig9 within across; do \
		echo "== $$figure"; \
		case $$figure in \
			fig[4578]) size="prompts=10 pair=$(INSTRUMENTS)";; \
			fig[69]) size="prompts=10 pair=$(WITHIN)+$(ACROSS)";; \
			within) size="prompts=10 pair=$(WITHIN)";; \
			across) size="prompts=10 pair=$(ACROSS)";; \
			lens_fit) size="";; \
			*) size="prompts=20";; \
		esac; \
		$(PY) -m mech_music.run experiment=velez2024/$$figure model=tiny $$size logger=none \
			hydra.run.dir=outputs/velez2024/$$figure hydra.sweep.dir=outputs/velez2024/$$figure || exit 1; \
	done
	@echo "Every figure: outputs/velez2024/*/figures"

test: $(INSTALLED) ## run the tests
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-browser: $(INSTALLED) ## run the tests of the report in a real browser (needs Playwright and a Chromium; says how)
	@$(PY) -m tests.report.browser
	$(PY) -m pytest tests/report/test_browser.py tests/report/test_browser_screens.py tests/report/test_browser_features.py

test-slow: $(INSTALLED) ## run the tests at the published models' real size (minutes, 4 GB of memory, 3 GB of disk)
	$(PY) -m pytest -m slow

test-cluster: $(INSTALLED) ## run the tests on a Slurm and a Ray of this machine (needs root, slurm-wlm, munge and ray; says which are missing)
	@for needed in slurmctld slurmd munged; do command -v $$needed > /dev/null || \
		echo "Slurm's tests are skipped, $$needed is missing: apt install slurm-wlm munge (and be root)"; done
	@$(PY) -c "import ray" 2> /dev/null || echo "Ray's tests are skipped: $(UV) pip install --python $(PY) ray"
	$(PY) -m pytest -m cluster tests/cluster/test_slurm.py tests/cluster/test_ray.py

bench: $(INSTALLED) ## measure against plain audiocraft, transformers and the machine's limits (minutes; see conf/benchmarks)
	$(PY) -m mech_music.benchmarks

gpu: $(INSTALLED) ## measure this machine's GPU: parity, memory, clips a second at every published shape, hours for the grid; docs/gpu/<card>.md
	$(PY) -m mech_music.benchmarks size=gpu

check: lint ## the same as lint

lint: $(INSTALLED) ## check style (ruff) and types (basedpyright)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m basedpyright

format: $(INSTALLED) ## format the code and sort the imports
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

lock: $(UV) ## remake requirements.lock (hashes, no hosts, all platforms) from pyproject.toml; needs a package index
	$(UV) pip compile --quiet pyproject.toml --universal --extra dev --generate-hashes --python-version 3.11 \
		--upgrade --custom-compile-command "make lock" --output-file requirements.lock

attack: $(INSTALLED) ## try hundreds of bad inputs at every entry point; each has to end in one line (minutes)
	$(PY) -m tests.attack

symbolic: $(INSTALLED) ## train symbolic-tiny again (20 minutes on one core)
	$(PY) -m mech_music.models.symbolic.train bundle=mech_music/tiny/symbolic

tiny: $(INSTALLED) ## train the bundled model again (hours on two cores)
	$(PY) -m mech_music.tiny.train

tiny-long: $(INSTALLED) ## train the bundled model of long pieces again (three hours on two cores)
	$(PY) -m mech_music.tiny.long.train

sae: $(INSTALLED) ## which features has the bundled model, what are they called, and do they steer it? three reports (20 minutes)
	@for study in evaluate labels steer; do \
		case $$study in steer) layers=4;; *) layers=2,4,6;; esac; \
		$(PY) -m mech_music.run experiment=singh2025/$$study model=tiny duration=4 layer=$$layers sae.width=256 sae.k=16 \
			logger=none hydra.sweep.dir=outputs/sae/$$study || exit 1; \
		$(PY) -m mech_music.report outputs/sae/$$study || exit 1; \
	done
	@echo "Look and listen: outputs/sae/*/report.html, and features/index.html of each job of outputs/sae/evaluate."

structure: $(INSTALLED) ## does the bundled model of long pieces foresee returns, and which heads carry them? two reports
	$(PY) -m mech_music.run experiment=structure/causes logger=none hydra.run.dir=outputs/structure/causes
	$(PY) -m mech_music.report outputs/structure/causes
	$(PY) -m mech_music.run experiment=structure/forecast causal=outputs/structure/causes logger=none \
		hydra.run.dir=outputs/structure/forecast
	$(PY) -m mech_music.report outputs/structure/forecast

wheel: $(INSTALLED) ## build the wheel into dist/
	$(PY) -m hatchling build -t wheel

clean: ## remove the environment, caches and built files (results and stored outcomes stay)
	rm -rf .venv $(DEPS) build dist .pytest_cache .ruff_cache

# One line that says what to do, where requirements.lock does not hold: another Python, an Intel Mac, Windows.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
define CHECK_MACHINE
@case "$$(uname -sm)" in Linux*|"Darwin arm64") ;; \
	*) echo "requirements.lock is for Linux and for macOS on ARM, not for $$(uname -sm)" >&2; exit 1;; esac
@$(PYTHON) -c "$(FITS)" 2> /dev/null || { \
	for found in $(PYTHONS) none; do $$found -c "$(FITS)" 2> /dev/null && break; done; \
	case $$found in none) fix="install Python 3.11, 3.12 or 3.13";; *) fix="type: PYTHON=$$found make env";; esac; \
	echo "$(PYTHON) is no Python 3.11, 3.12 or 3.13 that runs here: $$fix" >&2; exit 1; }
endef

$(UV):
	$(CHECK_MACHINE)
	$(PYTHON) -m venv $(DEPS)
	$(DEPS)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# The stamp makes a second run instant, and possible without a network. The import at the end compiles what every
# command imports, so that the first one does not wait for it (nor all of them, where Python may not write bytecode).
$(INSTALLED): pyproject.toml requirements.lock | $(UV)
	$(CHECK_MACHINE)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(PY) requirements.lock
	$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	PYTHONDONTWRITEBYTECODE= $(PY) -W ignore -c "import mech_music.cli.job, mech_music.models.musicgen.model, \
		mech_music.results.figures, mech_music.benchmarks.__main__, hear21passt.base, matplotlib.pyplot, pyarrow.parquet, wandb" 2> /dev/null
	@touch $@
