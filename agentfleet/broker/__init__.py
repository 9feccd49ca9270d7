"""Celery's seams: how a step becomes one Celery message and back. Only this package and ``workers`` know Celery."""
