"""Plan capacity: what is expected, what each pool did, and how the autoscaler decided.

Revision: 0006
Revises: 0005

pre: runs before the code that needs it.
"""

revision = "0006"
down_revision = "0005"


def upgrade() -> None: ...


def downgrade() -> None: ...
