"""Faults: injected, listed, withdrawn."""

from typing import Any

from axisor.paper.faults import STREAM_KINDS, Fault
from axisor.paper.server.control.routes import ControlCall, ControlTable


async def _list(call: ControlCall) -> Any:
    return call.exchange.faults.faults


async def _add(call: ControlCall) -> Any:
    fault = await call.read(Fault)
    call.exchange.faults.add(fault)
    if fault.kind in STREAM_KINDS:
        await call.stream.strike(fault)
    return fault


async def _clear(call: ControlCall) -> Any:
    return {"withdrawn": call.exchange.faults.clear(call.request.match_info.get("fault"))}


FAULTS: ControlTable = {
    ("GET", "/faults"): _list,
    ("POST", "/faults"): _add,
    ("DELETE", "/faults"): _clear,
    ("DELETE", "/faults/{fault}"): _clear,
}
