"""Searches: which of very many configurations is best, by Optuna, on validation data.

`agenda.py` has all searches of a study, `arm.py` one arm's: trials asked and told in an order that
makes a search a function of its study file. `space.py` says what may be tried, `samplers.py` and
`pruners.py` how, `finalists.py` what is trained again.
"""
