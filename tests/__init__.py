"""The tests of smon: `python3 tests/run.py` runs all of them."""
