# Every target is a `python -m helpers...` call; `make help` lists both.
# Values travel through the environment and never through a recipe line: a concept may be named
# anything, quotes and dollar signs included, and no shell will read it.

PROFILE ?= quick
PRESET ?= cpu
VENV ?= .venv

VALUES := PROFILE MODEL SCORER CONCEPT CLASS_WORD TRAIN PRESET VENV PYTHON
$(foreach name,$(VALUES),$(eval override $(name) := $$(value $(name))))
export $(VALUES)

# Larger memory pages: a sixth less time for a UNet step on Linux, ignored elsewhere.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

# The first Python that is new enough, unless PYTHON names one.
FIND := for p in "$$PYTHON" python3.11 python3.12 python3.13 python3 python; do \
  if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; done
RUN := "$${VENV:-.venv}/bin/python" -m

.PHONY: help setup reports test test-slow lab world bench lint

help:
	@$(FIND); "$$p" -m helpers

setup:
	@$(FIND); "$$p" -m helpers.bootstrap

reports: setup
	@$(RUN) helpers.publish --profile "$$PROFILE" --model "$$MODEL" --scorer "$$SCORER" --concept "$$CONCEPT" \
	  --class-word "$$CLASS_WORD" --train "$$TRAIN"

test: setup
	@$(RUN) helpers.check

test-slow: setup
	@$(RUN) helpers.check --slow

lab: setup
	@$(RUN) helpers.lab

world: setup
	@$(RUN) helpers.world.build --preset "$$PRESET" $(if $(filter yes,$(value UNET_B)),--unet-b)

bench: setup
	@$(RUN) benchmarks.bench

lint: setup
	@$(RUN) helpers.lint
