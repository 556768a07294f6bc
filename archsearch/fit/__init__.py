"""Fitting additive objectives to tables of measured networks: reading, regression, evidence."""
