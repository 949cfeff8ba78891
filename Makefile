# Every target sets up what it needs, once: an environment in $(VENV), and for the
# benchmarks one for what acmelike is measured against.
# With another interpreter: make test PYTHON=python3.13 VENV=.venv313

PYTHON ?= python3
# The interpreter that the wheel is tested with: this one, if it is there.
WHEEL_PYTHON ?= $(shell python3.12 -c "" 2>/dev/null && echo python3.12 || echo $(PYTHON))
VENV ?= .venv
ARGS ?=

PROGRAM ?= programs.dqn
ENVIRONMENT ?= CartPole-v1
LAUNCH ?= processes
# Above the 475 that it is to end with: the last evaluation is of fresh episodes.
STOP_AT_RETURN ?= 490
OUT ?= runs/$(shell date +%Y%m%d-%H%M%S)

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := .venv-bench/.installed
# dm-reverb has no wheel for a later one.
REVERB_PYTHON ?= python3.11
REVERB_VENV ?= .venv-reverb
REVERB_STAMP := $(REVERB_VENV)/.installed
RLLIB_STAMP := .venv-rllib/.installed
RPC_STAMP := .venv-rpc/.installed
RAY_VENV ?= .venv-ray
RAY_STAMP := $(RAY_VENV)/.installed
TORCH_VENV ?= .venv-torch
TORCH_STAMP := $(TORCH_VENV)/.installed
SB3_STAMP := .venv-sb3/.installed
ENVPOOL_VENV ?= .venv-envpool
ENVPOOL_STAMP := $(ENVPOOL_VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-runs test-slow test-learning test-wheel
.PHONY: test-reverb test-torch test-envpool test-hosts test-ray
.PHONY: check bench bench-env reverb-env rllib-env rpc-env torch-env envpool-env ray-env
.PHONY: sb3-env
.PHONY: docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## Install acmelike and its tools into .venv
	@echo "$(VENV) is ready"

run: $(STAMP) ## Train DQN on CartPole in processes; make run ARGS="--seed 3"
	@$(BIN)/python -m $(PROGRAM) --environment $(ENVIRONMENT) --launch $(LAUNCH) \
	    --stop-at-return $(STOP_AT_RETURN) --out $(OUT) $(ARGS)

# A file's tests share what they have compiled, and so go to one process.
# With a debugger: make test ARGS="-n0 --pdb"
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: $(STAMP) ## Run the tests, but the slow and the learning ones
	@$(BIN)/python -m pytest -q $(PARALLEL) $(ARGS)

FAST := tests/test_checks.py tests/test_layers.py tests/core tests/graph tests/launchers \
    tests/replay
test-fast: $(STAMP) ## Run tests of core, graph, launchers and replay, in some seconds
	@$(BIN)/python -m pytest -q -k "not processes" \
	    -m "not long and not slow and not learning and not wheel and not hosts and not ray" $(FAST) $(ARGS)

# Left out are random programs and crowds of processes in tests/replay, which take minutes,
# and the trials in tests/benchmarks that show only that a benchmark can run: `make
# test-slow` has them.
SLOW := tests/rpc tests/agents tests/benchmarks/test_rpc_traffic.py \
    tests/benchmarks/test_scaling.py tests/docs tests/experiments \
    tests/graph tests/launchers tests/programs tests/topologies
test-runs: $(STAMP) ## Run the slow tests of agents, programs, documents and edges
	@$(BIN)/python -m pytest -q -m slow -o faulthandler_timeout=180 $(PARALLEL) $(ARGS) $(SLOW)

test-slow: $(STAMP) ## Run all slow tests, in some minutes
	@$(BIN)/python -m pytest -q -m slow -o faulthandler_timeout=0 $(ARGS)

test-learning: $(STAMP) ## Train every agent to its score
	@$(BIN)/python -m pytest -q -m learning --timeout 0 -o faulthandler_timeout=0 $(ARGS)

test-hosts: $(STAMP) ## Run programs on three hosts, which are network namespaces (as root)
	@$(BIN)/python -m pytest -q -rs -m hosts -o faulthandler_timeout=0 $(ARGS) tests/hosts

test-wheel: $(STAMP) ## Install the wheel and a checkout as users do, and test both
	@WHEEL_PYTHON=$(WHEEL_PYTHON) $(BIN)/python -m pytest -q -m wheel \
	    -o faulthandler_timeout=0 $(ARGS) tests/packaging

test-reverb: $(REVERB_STAMP) ## Test replay, and agents, with a real Reverb as the engine
	@$(REVERB_VENV)/bin/python -c "import reverb"
	@$(REVERB_VENV)/bin/python -m pytest -q $(PARALLEL) tests/replay tests/programs/test_reverb.py $(ARGS)

test-ray: $(RAY_STAMP) ## Run programs, and the contract of nodes, on a real Ray
	@$(RAY_VENV)/bin/python -c "import ray"
	@$(RAY_VENV)/bin/python -m pytest -q -rs -m ray -o faulthandler_timeout=0 $(ARGS) tests/ray tests/launchers

test-torch: $(TORCH_STAMP) ## Test an agent whose learner is PyTorch's, without JAX
	@$(TORCH_VENV)/bin/python -m pytest -q tests/torch_learner $(ARGS)

test-envpool: $(ENVPOOL_STAMP) ## Test environments with EnvPool, Atari and dm_control, without JAX
	@$(ENVPOOL_VENV)/bin/python -c "import envpool, ale_py, dm_control"
	@$(ENVPOOL_VENV)/bin/python -m pytest -q tests/environments $(ARGS)

check: $(STAMP) ## Check format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(STAMP) $(BENCH_STAMP) $(REVERB_STAMP) $(RLLIB_STAMP) $(RPC_STAMP) $(RAY_STAMP) $(SB3_STAMP) ## Make all benchmarks into runs/bench; keep the machine quiet
	@$(BIN)/python -m benchmarks $(ARGS)

bench-env: $(BENCH_STAMP) ## Install the peers that benchmarks compare with into .venv-bench
	@echo ".venv-bench is ready"

reverb-env: $(REVERB_STAMP) ## Install Reverb, and what it wants, into .venv-reverb
	@echo "$(REVERB_VENV) is ready"

rllib-env: $(RLLIB_STAMP) ## Install RLlib, which benchmarks compare with, into .venv-rllib
	@echo ".venv-rllib is ready"

rpc-env: $(RPC_STAMP) ## Install gRPC, Ray, ..., which calls are compared with, into .venv-rpc
	@echo ".venv-rpc is ready"

torch-env: $(TORCH_STAMP) ## Install PyTorch, and what acmelike needs but JAX, into .venv-torch
	@echo "$(TORCH_VENV) is ready"

envpool-env: $(ENVPOOL_STAMP) ## Install EnvPool, Atari, dm_control, ..., into .venv-envpool
	@echo "$(ENVPOOL_VENV) is ready"

sb3-env: $(SB3_STAMP) ## Install acmelike beside Stable-Baselines3, Atari and MuJoCo into .venv-sb3
	@echo ".venv-sb3 is ready"

ray-env: $(RAY_STAMP) ## Install acmelike with Ray into .venv-ray
	@echo "$(RAY_VENV) is ready"

docs: $(STAMP) ## Check that the links of the docs resolve and their code runs
	@$(BIN)/python -m pytest -q tests/docs $(ARGS)

clean: ## Remove the environment, caches and builds; keep runs/
	@rm -rf $(VENV) .venv-bench .venv-sb3 .venv-rllib .venv-rpc $(REVERB_VENV) $(RAY_VENV) $(TORCH_VENV) $(ENVPOOL_VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# Prints the interpreter's version as 311, or one line of error and stops.
define VERSION
import sys
if sys.version_info < (3, 10):
    sys.exit("acmelike needs Python 3.10 or later; $(PYTHON) is %d.%d. "
             "Try: make PYTHON=python3.11" % sys.version_info[:2])
print("%d%d" % sys.version_info[:2])
endef
export VERSION

$(STAMP): setup.py $(wildcard constraints/py*.txt)
	@command -v $(PYTHON) >/dev/null || { \
	    echo "$(PYTHON) not found. Try: make PYTHON=python3.11" >&2; exit 1; }
	@version=$$($(PYTHON) -c "$$VERSION") || exit 1; \
	pins=constraints/py$$version.txt; \
	echo "Making $(VENV) with $$($(PYTHON) --version)"; \
	$(PYTHON) -m venv --clear $(VENV) || exit 1; \
	if [ -f $$pins ]; then \
	    echo "Installing acmelike as pinned in $$pins"; pins="-c $$pins"; \
	else \
	    echo "Installing acmelike with the latest packages: there is no $$pins"; pins=; \
	fi; \
	$(BIN)/python -m pip install -q --disable-pip-version-check $$pins -e '.[cluster,dev,minatar,tensorboard,video,wandb]'
	@touch $@

# An environment .venv-NAME for peers. Torch first and by itself: what needs it would else
# take another build of it.
define make_peers
@command -v $(PYTHON) >/dev/null || { \
    echo "$(PYTHON) not found. Try: make PYTHON=python3.11" >&2; exit 1; }
@echo "Making .venv-$(1) with $$($(PYTHON) --version), as pinned in constraints/$(1).txt"
@$(PYTHON) -m venv --clear .venv-$(1)
@.venv-$(1)/bin/python -m pip install -q --disable-pip-version-check \
    -c constraints/$(1).txt torch==2.13.0
@.venv-$(1)/bin/python -m pip install -q --disable-pip-version-check \
    -c constraints/$(1).txt $(2)
endef

$(BENCH_STAMP): constraints/bench.txt
	$(call make_peers,bench,sbx-rl==0.28.0)
	@touch $@

$(SB3_STAMP): setup.py constraints/sb3.txt
	$(call make_peers,sb3,-e '.[atari]' -e '.[mujoco]' stable-baselines3==2.9.2)
	@touch $@

$(RLLIB_STAMP): constraints/rllib.txt
	$(call make_peers,rllib,'ray[rllib]==2.60.0' MinAtar==1.0.15)
	@touch $@

$(RPC_STAMP): constraints/rpc.txt
	$(call make_peers,rpc,grpcio pyzmq ray torchmonarch numpy)
	@touch $@

$(REVERB_STAMP): setup.py constraints/reverb.txt
	@command -v $(REVERB_PYTHON) >/dev/null || { \
	    echo "$(REVERB_PYTHON) not found, and dm-reverb has no later Python" >&2; \
	    exit 1; }
	@echo "Making $(REVERB_VENV) with $$($(REVERB_PYTHON) --version), as pinned in constraints/reverb.txt"
	@$(REVERB_PYTHON) -m venv --clear $(REVERB_VENV)
	@$(REVERB_VENV)/bin/python -m pip install -q --disable-pip-version-check \
	    -c constraints/reverb.txt -e '.[dev,reverb]'
	@touch $@

$(RAY_STAMP): setup.py constraints/ray.txt
	@command -v $(PYTHON) >/dev/null || { \
	    echo "$(PYTHON) not found. Try: make PYTHON=python3.11" >&2; exit 1; }
	@echo "Making $(RAY_VENV) with $$($(PYTHON) --version), as pinned in constraints/ray.txt"
	@$(PYTHON) -m venv --clear $(RAY_VENV)
	@$(RAY_VENV)/bin/python -m pip install -q --disable-pip-version-check \
	    -c constraints/ray.txt -e '.[dev,ray]'
	@touch $@

# acmelike itself is found where it is, as its own needs would bring JAX.
$(TORCH_STAMP): constraints/torch.txt
	@command -v $(PYTHON) >/dev/null || { \
	    echo "$(PYTHON) not found. Try: make PYTHON=python3.11" >&2; exit 1; }
	@echo "Making $(TORCH_VENV) with $$($(PYTHON) --version), as pinned in constraints/torch.txt"
	@$(PYTHON) -m venv --clear $(TORCH_VENV)
	@$(TORCH_VENV)/bin/python -m pip install -q --disable-pip-version-check \
	    -c constraints/torch.txt torch==2.13.0
	@$(TORCH_VENV)/bin/python -m pip install -q --disable-pip-version-check \
	    -c constraints/torch.txt cloudpickle dm-env gymnasium optree pytest pytest-timeout
	@touch $@

$(ENVPOOL_STAMP): constraints/envpool.txt
	@command -v $(PYTHON) >/dev/null || { \
	    echo "$(PYTHON) not found. Try: make PYTHON=python3.11" >&2; exit 1; }
	@echo "Making $(ENVPOOL_VENV) with $$($(PYTHON) --version), as pinned in constraints/envpool.txt"
	@$(PYTHON) -m venv --clear $(ENVPOOL_VENV)
	@$(ENVPOOL_VENV)/bin/python -m pip install -q --disable-pip-version-check \
	    -c constraints/envpool.txt envpool ale-py opencv-python-headless dm_control \
	    'mujoco<4' imageio cloudpickle dm-env gymnasium optree pytest pytest-timeout
	@touch $@
