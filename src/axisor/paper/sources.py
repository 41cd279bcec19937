"""Where a market's prices come from."""

from axisor.domain.units import price_from_usd
from axisor.paper.clock import epoch_ms
from axisor.paper.config import PaperConfig
from axisor.paper.market.fundings import FUNDING_INTERVAL_MS
from axisor.paper.market.paths import PricePath
from axisor.paper.market.scenarios import MANUAL, scenario
from axisor.paper.market.tape import TapePath, load_tape
from axisor.paper.player import ManualPath

__all__ = ["MANUAL", "funding_offset_ms", "open_path", "source_name"]


def source_name(config: PaperConfig) -> str:
    """Return what identifies the prices of a configuration: the same name, the same prices."""
    if config.tape is not None:
        return f"tape {config.tape.name} from {config.tape_start} seed {config.seed}"
    return f"scenario {config.scenario} seed {config.seed}"


def funding_offset_ms(path: PricePath) -> int:
    """Return how long before the path's start its last funding settlement was, by a tape's own UTC clock."""
    return epoch_ms(path.starts_at) % FUNDING_INTERVAL_MS if isinstance(path, TapePath) else 0


def open_path(config: PaperConfig) -> PricePath:
    """Return the price path of a configuration.

    Raises:
        ConfigurationError: there is no such scenario, or the tape cannot be read.
    """
    if config.tape is not None:
        return load_tape(config.tape, start=config.tape_start, seed=config.seed)
    if config.scenario == MANUAL:
        return ManualPath(price_from_usd(config.start_price_usd))
    return scenario(config.scenario, config.seed)
