"""Tables of people and their sessions."""

import sqlalchemy as sa

metadata = sa.MetaData()
_ID = sa.Uuid(as_uuid=False)
_AT = sa.DateTime(timezone=True)

app_user = sa.Table(
    "app_user",
    metadata,
    sa.Column("user_id", _ID, primary_key=True),
    sa.Column("email", sa.Text),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("locale", sa.Text, nullable=False),
    sa.Column("is_demo", sa.Boolean, nullable=False),
    sa.Column("created_at", _AT, nullable=False),
    sa.Column("disabled_at", _AT),
    sa.Column("email_verified_at", _AT),
)

refresh_session = sa.Table(
    "refresh_session",
    metadata,
    sa.Column("user_id", _ID, primary_key=True),
    sa.Column("session_id", _ID, primary_key=True),
    sa.Column("family_id", _ID, nullable=False),
    sa.Column("token_hash", sa.LargeBinary, nullable=False),
    sa.Column("user_agent", sa.Text),
    sa.Column("created_at", _AT, nullable=False),
    sa.Column("expires_at", _AT, nullable=False),
    sa.Column("used_at", _AT),
    sa.Column("revoked_at", _AT),
)

start_link = sa.Table(
    "start_link",
    metadata,
    sa.Column("user_id", _ID, primary_key=True),
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("expires_at", _AT, nullable=False),
    sa.Column("used_at", _AT),
)
