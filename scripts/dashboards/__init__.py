"""Grafana dashboards as rows of panels. ``python -m scripts.dashboards`` writes them into the chart."""
