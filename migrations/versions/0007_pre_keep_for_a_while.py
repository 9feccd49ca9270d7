"""Keep for a while: how long a tenant's runs stay, and where they went.

Revision: 0007
Revises: 0006

pre: runs before the code that needs it.
"""

revision = "0007"
down_revision = "0006"


def upgrade() -> None: ...


def downgrade() -> None: ...
