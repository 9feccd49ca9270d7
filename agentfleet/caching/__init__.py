"""Doing a thing once that many ask for, in whatever process: flights over Redis, and answers that are used again."""
