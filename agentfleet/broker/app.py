"""The Celery app, and why each setting is what it is."""

from typing import Any

from celery import Celery
from kombu.entity import Queue

from agentfleet.broker import names, transport
from agentfleet.broker.clients import sync_sentinels
from agentfleet.broker.connection import AMQP
from agentfleet.broker.place import Place, read_place
from agentfleet.broker.task import StepTask
from agentfleet.settings import Settings


def make_app(settings: Settings) -> Celery:
    """The app of workers and of Flower; producers do not need one. Raises ``InvalidInput`` for a wrong Redis URL."""
    place = read_place(settings)
    transport.register()
    app = Celery("agentfleet", broker=place.broker_url(_scheme(settings, place)), set_as_current=False, amqp=AMQP)
    app.conf.update(celery_config(settings))
    app.conf.broker_use_ssl = place.tls
    if place.master is not None:
        app.conf.broker_transport_options |= {
            "master_name": place.master, "sentinels": place.servers, "sentinel_kwargs": sync_sentinels(place),
        }  # fmt: skip
    app.register_task(StepTask())
    return app


def _scheme(settings: Settings, place: Place) -> str:
    """What kombu, and Flower, call the transport: Flower speaks TLS only under the name that says so."""
    if settings.transport == "doorbell":
        return transport.ALIAS if place.master is None else transport.ALIAS_SENTINEL
    if place.master is not None:
        return transport.STOCK_SENTINEL
    return transport.STOCK[place.tls is not None]


def celery_config(settings: Settings) -> dict[str, Any]:
    """Celery's settings, each with its reason."""
    queue = names.queue(settings.redis_prefix, settings.pool)
    # A connection that is dead at the other end only must be found several times before the watchdog calls us deaf:
    # a pop over one is given up after 1 s and at most two of these, whatever else speaks over one after one of these.
    silence = max(1.0, settings.stuck_after / 12)
    return {
        # State lives in Postgres: no result is ever written to the broker.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        # Ids only, and never pickle: a forged message can cause a no-op at worst.
        "task_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "task_protocol": 2,
        # One queue per pool, through the default exchange: a named exchange loses messages silently after FLUSHALL.
        "task_queues": [Queue(queue)],
        "task_default_queue": queue,
        "task_default_exchange": "",
        "task_create_missing_queues": False,
        # Steps wait on the network in one event loop: capacity is not a process count.
        "worker_pool": "agentfleet.broker.pool:StepPool",
        "worker_concurrency": settings.worker_capacity,
        "worker_prefetch_multiplier": 1,
        "task_acks_late": True,
        "worker_disable_rate_limits": True,  # provider limits are the fleet's, not one process's
        # Flower switches events on while it watches; nobody else pays for them.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        # Outlive the broker: retry for ever, and keep the work that is under way (duplicates fail the claim).
        "broker_connection_retry_on_startup": True,
        "broker_connection_retry": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_prefetch_count_reduction": False,
        "worker_soft_shutdown_timeout": 0,  # the drain is ours: it settles or hands back every step
        "worker_detect_quorum_queues": False,
        "broker_transport_options": {
            # With the stock transport too: Postgres re-publishes, so the unacked bookkeeping would only cost.
            "ack_emulation": False,
            "priority_steps": [0],
            "queue_order_strategy": "round_robin",
            "max_connections": 64,
            # redis-py waits for ever, or gives up under a blocking pop, unless told otherwise.
            "socket_timeout": silence,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": silence,
            "client_name": "agentfleet-worker",
        },
        # structlog owns logging.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "agentfleet_task_events": settings.task_events,
        "enable_utc": True,
        "timezone": "UTC",
    }
