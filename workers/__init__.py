"""The processes: one file is one kind of process, one Deployment, one Helm template.

=================  ==========================================================  =================
module             what runs                                                   how many
=================  ==========================================================  =================
``ingress``        the HTTP API                                                any number
``steps``          a Celery worker that runs the steps of one pool             any number
``dispatcher``     admits the backlog of one pool                              one, and standbys
``reconciler``     promotes, rescues, republishes, expires                     one, and standbys
``batches``        sends model calls as Message Batches, brings home results  one, and standbys
``flower``         Celery's own view of the workers                            one
=================  ==========================================================  =================

A setting that is not valid ends any of them with one line that names it.
"""

import sys

from agentfleet.cli.problems import hook

sys.excepthook = hook
