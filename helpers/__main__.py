"""List the commands: `python -m helpers`, or `make help`."""

import sys

COMMANDS = """\
Near the Pivot: two commands do everything, on Python 3.11 or newer, make and git.

  make reports     set up, execute the notebooks, write HTML and an index     helpers.publish
                   PROFILE=smoke|quick|full   how much to compute (quick)
                   MODEL=...                  chibi, a Stable Diffusion folder or hub id
                   SCORER=...                 CLIP that scores; chibi's knows chibi only
                   CONCEPT=...                a name in data/concepts, or a folder of images
                   CLASS_WORD=...             what the concept is: girl, dog, mug, ...
                   TRAIN=missing|never        train what is missing, or only draw again
  make test        set up, unit tests, every notebook on the smoke profile    helpers.check
  make test-slow   the tests that take minutes                                helpers.check --slow
  make lab         JupyterLab on the notebooks                                helpers.lab
                   every run of a grid once, resumable, on many machines    helpers.sweep
  make world       train the chibi world (PRESET=cpu|gpu, UNET_B=yes)         helpers.world.build
                   then: measure it, draw 200 pictures to check by eye,     helpers.world.card, .eye
                   look for a tradeoff, draw the concepts again             helpers.world.pilot, .newcomers
  make bench       time drawing, sampling, training (DIFFUSERS=<checkout>)    benchmarks.bench
  make lint        check code and notebooks                                   helpers.lint

VENV=<folder> lets several clones share one environment; PYTHON=<command> names the Python to use.
Without make: `python -m helpers.bootstrap` sets up .venv; then run `python -m <the name on the
right>` with the Python in it (.venv/bin/python, on Windows .venv\\Scripts\\python).
"""

if __name__ == "__main__":
    sys.stdout.write(COMMANDS)
