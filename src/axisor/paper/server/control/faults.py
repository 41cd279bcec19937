"""Faults: injected, listed, withdrawn, and the record of what they did."""

from typing import Any

from axisor.paper.faults import fault_of
from axisor.paper.server.control.routes import ControlCall, ControlTable


async def _list(call: ControlCall) -> Any:
    return call.exchange.faults.faults


async def _add(call: ControlCall) -> Any:
    fault = fault_of(await call.read(dict[str, Any]))
    await call.strikes.put_in_force(fault)
    return fault


async def _clear(call: ControlCall) -> Any:
    return {"withdrawn": call.strikes.withdraw(call.request.match_info.get("fault"))}


async def _list_injected(call: ControlCall) -> Any:
    injections = call.exchange.injections
    return {"injected": injections.after(call.after_seq()), "count": injections.count, "totals": injections.totals}


FAULTS: ControlTable = {
    ("GET", "/faults"): _list,
    ("POST", "/faults"): _add,
    ("DELETE", "/faults"): _clear,
    ("DELETE", "/faults/{fault}"): _clear,
    ("GET", "/faults/injected"): _list_injected,
}
