# Everything a newcomer needs: `make demo` and `make test`. Each sets up what it needs first.

PYTHON ?= python3
# The Qt binding, pyqt5 or pyqt6; each has an environment of its own.
QT ?= pyqt5
# Processes that share the tests, file by file: one more than two cores have, for they wait for windows and workers.
PROCESSES ?= 3
VENV := $(if $(filter pyqt5,$(QT)),.venv,.venv-$(QT))
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
# Without a display the GUI runs on a virtual one; Qt's offscreen platform cannot draw napari's layers.
SCREEN := $(if $(DISPLAY),,xvfb-run -a -s "-screen 0 1600x1000x24")
# glibc returns every large buffer to the system by default, which costs inference up to 1.7x.
export MALLOC_MMAP_THRESHOLD_ := 4294967296
export MALLOC_TRIM_THRESHOLD_ := 17179869184
# Threads that wait for each other sleep instead of spinning: spinning beside a busy process costs eight times as much.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: setup demo pictures test test-qt6 nightly lint bench soak clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt tools/install_system_packages
	tools/install_system_packages
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,$(QT)]"
	touch $(STAMP)

demo: $(STAMP)
	$(SCREEN) $(BIN)/lens demo --folder demo $(if $(DISPLAY),,--journey)

# The pictures of README and docs are those of the last demo.
PICTURES := review-cross-slice box models one-expert overview keys tour truth retraining jobs add-scans test-set adjudication
pictures:
	mkdir -p docs/images
	cp $(PICTURES:%=demo/screenshots/%.png) docs/images/

# Their networks are so small that threads would wait for each other longer than they compute.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(SCREEN) $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(TESTS)

# The viewer's tests with the other Qt binding.
test-qt6:
	$(MAKE) QT=pyqt6 TESTS="$(or $(TESTS),tests/test_napari)" test

# The published network for 20 steps at its published size, then every recipe from data to FROC at the tiny scale, about
# four minutes for each training (a sweep has seven); leaves runs/NAME for each.
nightly: $(STAMP)
	$(BIN)/python -m benchmarks.published_training
	for recipe in $$($(BIN)/lens recipe list --names); do $(BIN)/lens recipe run $$recipe --anew || exit 1; done

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/npe2 validate lens-napari
	$(BIN)/typos

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Viewer, workers, the processes of their jobs and a database are killed at random moments; docs/reliability.md.
KILLS ?= 200
SEED ?= 2026
DATABASES ?= sqlite postgresql
soak: $(STAMP)
	for database in $(DATABASES); do \
	  (cd tests && PYTHONPATH=. $(SCREEN) ../$(BIN)/python -m soak --kills $(KILLS) --seed $(SEED) --database $$database) || exit 1; \
	done
	LENS_TEST_EXAMPLES=1000 $(BIN)/python -m pytest tests/test_engine/io/untrusted/test_fuzzing.py
	LENS_TEST_PATIENTS=200 $(SCREEN) $(BIN)/python -m pytest tests/test_engine/worker/test_department.py

clean:
	rm -rf .venv .venv-pyqt6 demo runs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
