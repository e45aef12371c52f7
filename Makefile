# The interpreter that makes the virtual environment.
PYTHON ?= python3.11

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
INCOMPLETE := $(VENV)/incomplete

.DEFAULT_GOAL := help

.PHONY: help
help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1  /p' $(MAKEFILE_LIST) \
	  | awk '{ name = $$1; $$1 = ""; printf "make %-10s%s\n", name, $$0 }'

.PHONY: install
install: $(INSTALLED)  ## Make the virtual environment .venv

.PHONY: demo
demo: $(INSTALLED)  ## Train a Glow on cartoon faces; results in runs/demo
	$(BIN)/python -m training.demo

.PHONY: pretrained
pretrained: $(INSTALLED)  ## Train the faces of tfp_glow.pretrained anew
	$(BIN)/python -m training.train \
	  --config training/configs/faces_pretrained.py --workdir runs/pretrained
	$(BIN)/python -m training.pretrain --workdir runs/pretrained --name faces

.PHONY: images
images: $(INSTALLED)  ## Draw the README's pictures anew, of the pretrained faces
	$(BIN)/python -m training.sample --workdir pretrained:faces \
	  --temperatures 0.7,1 --rows 2 --columns 10 --seed 0 \
	  --output runs/images/samples.png
	$(BIN)/python -m training.interpolate --workdir pretrained:faces \
	  --rows 4 --columns 9 --output runs/images
	$(BIN)/python -m training.manipulate --workdir pretrained:faces \
	  --attribute smile,glasses,beard --strengths 0,0.5,1,1.5,2 \
	  --output runs/images
	mkdir -p docs/images
	cd runs/images && cp samples.png interpolation.png attributes.png \
	  ../../docs/images
	$(BIN)/python -m training.studio.screenshots

# Of an export: make studio MODEL=runs/faces/export
MODEL ?=

.PHONY: studio
studio: $(INSTALLED)  ## Open a page to play with an export, MODEL=DIR
	$(BIN)/python -m training.studio $(if $(MODEL),--model $(MODEL))

.PHONY: test
test: $(INSTALLED)  ## Run the tests, less the slow ones
	$(BIN)/python -m pytest --numprocesses auto --dist loadscope

.PHONY: test-all
test-all: $(INSTALLED)  ## Run all tests, the slow ones too
	$(BIN)/python -m pytest --numprocesses auto --dist loadscope -m 'slow or not slow'

.PHONY: lint
lint: $(INSTALLED)  ## Check the code's style
	$(BIN)/python -m ruff check .

.PHONY: docs
docs: $(INSTALLED)  ## Build the documentation into site/; a dead link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

.PHONY: clean
clean:  ## Remove the virtual environment, caches and build products; keep runs/
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What an interrupted installation leaves may look complete to pip, so it starts
# afresh after one.
$(INSTALLED): setup.py pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed;\
	 name another interpreter, 3.11 or newer, with: make PYTHON=..." >&2; \
	  exit 1; }
	@echo 'Installing TensorFlow and all that training and tests need into $(VENV):'
	@echo 'about 3.0 GB on the disk. It takes some minutes, once.'
	if [ -e $(INCOMPLETE) ]; then rm -rf $(VENV); fi
	mkdir -p $(VENV) && touch $(INCOMPLETE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
	  --editable '.[train,test]'
	mv $(INCOMPLETE) $@
