"""Training and evaluation: one loop, used by everything that learns from data."""
