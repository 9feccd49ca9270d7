"""${message}

Revision: ${up_revision}
Revises: ${down_revision | comma,n}

pre (or post): say why. The first one after a release: is that release kept? python -m scripts.release_snapshot
"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "raise NotImplementedError"}


def downgrade() -> None:
    ${downgrades if downgrades else "raise NotImplementedError"}
