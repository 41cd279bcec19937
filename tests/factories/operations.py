"""The operations of the API, those for anybody apart from those for people who signed in."""

from axisor.api.app import list_operations

PUBLIC = frozenset(
    {
        ("POST", "/auth/start"),
        ("POST", "/auth/login"),
        ("POST", "/auth/refresh"),
        ("POST", "/auth/logout"),
        ("GET", "/instance"),
        ("POST", "/auth/register"),
        ("POST", "/auth/register/confirm"),
        ("POST", "/auth/reset"),
        ("POST", "/auth/reset/confirm"),
        ("POST", "/auth/factor"),
        ("POST", "/auth/reauthenticate"),
        ("POST", "/auth/passkey/options"),
        ("POST", "/auth/passkey"),
        ("POST", "/auth/wallet"),
        ("GET", "/auth/wallet/callback"),
        ("POST", "/auth/wallet/finish"),
    }
)
"""What anybody may call: signing in, and what this instance is."""

PRIVATE = [(method, route) for method, route in list_operations() if (method, route.path) not in PUBLIC]
