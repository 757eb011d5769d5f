"""Processes that run the same models and map the same weights: what servers and batch jobs hand their work to."""
