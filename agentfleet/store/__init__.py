"""Postgres, and the only package that knows it: tables, one hot statement per ``.sql`` file, and reads."""
