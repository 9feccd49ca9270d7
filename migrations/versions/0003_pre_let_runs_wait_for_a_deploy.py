"""Let runs wait for a deploy: one whose tool the running code lacks says so instead of spending its attempts.

Revision: 0003
Revises: 0002

pre: runs before the code that needs it. Code of before never writes the new word and serves it as it is.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

WORDS = ("timer", "provider", "concurrency", "tenant_share", "budget", "approval", "signal", "children", "batch")


def upgrade() -> None:
    _allow((*WORDS, "deploy"))


def downgrade() -> None:
    op.execute("UPDATE runs SET blocked_on = 'timer' WHERE blocked_on = 'deploy'")
    _allow(WORDS)


def _allow(words: tuple[str, ...]) -> None:
    """Exchange the CHECK in an instant; the rows are read afterwards, when nobody has to wait for that."""
    with op.get_context().autocommit_block():
        op.execute(
            "ALTER TABLE runs DROP CONSTRAINT runs_blocked_on_known, ADD CONSTRAINT runs_blocked_on_known"
            f" CHECK (blocked_on IN ({', '.join(map(repr, words))})) NOT VALID"
        )
        op.execute("ALTER TABLE runs VALIDATE CONSTRAINT runs_blocked_on_known")
