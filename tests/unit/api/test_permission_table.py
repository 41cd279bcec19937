"""Every operation of the API asks for one permission, and the table says who has which."""

import pytest
from fastapi.routing import APIRoute
from tests.factories.operations import PRIVATE, PUBLIC

from axisor.api.app import API_PREFIX, describe_app, list_operations, openapi
from axisor.features.accounts.auth import permissions_in
from axisor.features.accounts.permissions import PERMISSIONS, Permission, Role, permissions_of


@pytest.mark.parametrize(("method", "route"), PRIVATE, ids=[f"{method} {route.path}" for method, route in PRIVATE])
def test_every_private_route_declares_one_permission(method: str, route: APIRoute) -> None:
    assert len(permissions_in(route.dependant)) == 1, f"{method} {route.path} has none, or is public"


def test_no_documented_operation_escapes_the_walk() -> None:
    documented = {
        (method.upper(), path) for path, operations in openapi(describe_app())["paths"].items() for method in operations
    }
    walked = {(method, API_PREFIX + route.path) for method, route in list_operations()}
    assert documented - walked == {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/.well-known/jwks.json"),
    }


def test_what_is_public_exists_and_asks_for_nothing() -> None:
    known = {(method, route.path): route for method, route in list_operations()}
    for each in PUBLIC:
        assert each in known
        assert not permissions_in(known[each].dependant)


def test_who_runs_the_service_sees_no_accounts_and_a_viewer_changes_none() -> None:
    assert not PERMISSIONS[Role.OPERATOR] & {
        Permission.VIEW_ACCOUNTS,
        Permission.TRADE,
        Permission.WITHDRAW,
        Permission.MANAGE_KEYS,
        Permission.CHANGE_GUARD,
    }
    assert PERMISSIONS[Role.VIEWER] == {Permission.OWN_PROFILE, Permission.VIEW_MARKET, Permission.VIEW_ACCOUNTS}
    assert PERMISSIONS[Role.OWNER] == frozenset(Permission)
    assert Permission.ASSIGN_OWNER not in PERMISSIONS[Role.ADMINISTRATOR]


def test_a_role_that_is_not_known_may_do_nothing() -> None:
    assert permissions_of("emperor") == frozenset()
