"""Name the release that ran an attempt: after a bad deploy one can see which attempts it ended.

Revision: 0002
Revises: 0001

pre: runs before the code that needs it. Code of before leaves the column empty.
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE attempts ADD COLUMN release TEXT")


def downgrade() -> None:
    op.execute("ALTER TABLE attempts DROP COLUMN release")
