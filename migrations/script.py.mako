"""${message}

Must work with the code that runs now: add first, remove one release later. Locks are waited for
4 s at most (migrations/env.py); build indexes on large tables concurrently.
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
