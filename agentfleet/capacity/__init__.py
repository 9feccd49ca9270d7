"""How much fleet a load needs: a model of the closed loop of load, scaler, cluster and provider, and a planner.

``simulate`` plays a scenario (arrivals, steps, pods, KEDA and the HorizontalPodAutoscaler, the provider's limits) with
the scaler's own decision (``domain.scaling``) and judges it by four gates. ``plan`` computes a fleet, its servers, the
provider's tier and the money from the measured cost of a step. Nothing here speaks to a running fleet.
"""
