"""Activities in words, one line each, for a terminal: English and Portuguese."""

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any, Final, Literal

from axisor.features.notifications.events import ActivityKind

type Language = Literal["en", "pt"]
type _Data = Mapping[str, Any]
type _Words = Callable[["_Line"], str]


def language_of(tag: str | None) -> Language:
    """Return the language of a locale such as `pt_BR.UTF-8` or `pt-BR,en;q=0.5`; English for any other.

    >>> language_of("pt_BR.UTF-8"), language_of("de_DE"), language_of(None)
    ('pt', 'en', 'en')
    """
    return "pt" if (tag or "").lower().startswith("pt") else "en"


def line_of(
    kind: ActivityKind,
    data: Mapping[str, Any],
    *,
    at: datetime,
    language: Language,
    is_guarded: bool = True,
    zone: tzinfo | None = None,
) -> str:
    """Return `14:02:07  60 784.5  25x long: …`: local time, the price where it matters, and what happened."""
    line = _Line(data, language)
    price = line.optional_price("price") or line.optional_price("exit_price") or ""
    unguarded = "" if is_guarded else " (sem guarda)" if language == "pt" else " (no guard)"
    label = f"{data['label']}{unguarded}: " if data.get("label") else ""
    return f"{at.astimezone(zone):%H:%M:%S}  {price:>8}  {label}{_WORDS[language][kind](line)}"


class _Line:
    """The figures of one activity, formatted; a figure that is missing reads as a question mark."""

    def __init__(self, data: _Data, language: Language) -> None:
        self._data = data
        self._language = language

    def get(self, name: str) -> Any:
        return self._data.get(name)

    def sats(self, name: str) -> str:
        value = self._data.get(name)
        return "? sat" if value is None else f"{_grouped(int(value))} sat"

    def signed_sats(self, name: str) -> str:
        value = self._data.get(name)
        if value is None:
            return "? sat"
        return f"{'+' if value > 0 else '−' if value < 0 else ''}{_grouped(abs(int(value)))} sat"

    def price(self, name: str) -> str:
        return self.optional_price(name) or "?"

    def optional_price(self, name: str) -> str | None:
        value = self._data.get(name)
        if value is None:
            return None
        whole, half = divmod(round(float(value) * 2), 2)
        point = "," if self._language == "pt" else "."
        return _grouped(whole) + (f"{point}5" if half else "")

    def share(self, name: str) -> str:
        value = self._data.get(name)
        return "? %" if value is None else f"{round(float(value) * 100)} %"

    def number(self, name: str) -> str:
        value = self._data.get(name)
        if value is None:
            return "?"
        text = f"{float(value):.1f}".removesuffix(".0")
        return text.replace(".", ",") if self._language == "pt" else text

    def word(self, name: str, words: Mapping[str, tuple[str, str]]) -> str:
        value = str(self._data.get(name))
        pair = words.get(value)
        if pair is None:
            return "?" if self._data.get(name) is None else value.replace("_", " ")
        return pair[1] if self._language == "pt" else pair[0]

    def if_known(self, name: str, text: Callable[[], str]) -> str:
        """Return a part of the sentence only where its figure is known."""
        return "" if self._data.get(name) is None else text()

    def if_positive(self, name: str, text: Callable[[], str]) -> str:
        """Return a part of the sentence only where its figure is above 0."""
        return text() if (self._data.get(name) or 0) > 0 else ""


def _grouped(value: int) -> str:
    return f"{value:,}".replace(",", " ")


_SIDES: Final = {"long": ("long", "long"), "short": ("short", "short")}
_CLOSE_REASONS: Final = {
    "user": ("closed on request", "fechado a pedido"),
    "stop_loss": ("closed by its stop", "fechado pelo stop"),
    "take_profit": ("closed by its take-profit", "fechado pelo take-profit"),
    "liquidation": ("LIQUIDATED", "LIQUIDADO"),
    "unknown": ("closed, the exchange does not say why", "fechado, a corretora não diz por quê"),
}
_REASONS: Final = {
    "timeout": ("no answer in time", "sem resposta a tempo"),
    "connection_lost": ("the connection broke", "a conexão caiu"),
    "no_balance": ("not enough free sats at the exchange", "sats livres insuficientes na corretora"),
    "balance_unknown": ("the free balance is not known", "o saldo livre não é conhecido"),
    "spending_stopped": ("spending is stopped", "os gastos estão parados"),
    "nothing_to_reduce": ("there is nothing that could be reduced", "não há nada que possa ser reduzido"),
}
_PRESETS: Final = {
    "watch": ("Watch", "Observar"),
    "hold": ("Hold", "Segurar"),
    "hold_longer": ("Hold longer", "Segurar mais"),
    "cut": ("Cut", "Cortar"),
    "custom": ("own rule", "regra própria"),
    "None": ("none of its own", "nenhuma própria"),
}
_SHORT_OF: Final = {
    "balance": ("the free balance does not hold them", "o saldo livre não os tem"),
    "day_limit": ("the limit of 24 hours leaves less", "o limite de 24 horas deixa menos"),
    "account_limit": ("the limit of the account leaves less", "o limite da conta deixa menos"),
}
_COMMANDS: Final = {
    "close_trade": ("close", "fechar"),
    "add_margin": ("add margin", "adicionar margem"),
    "cash_in": ("take sats back", "retirar sats de volta"),
    "cancel_order": ("cancel an order", "cancelar uma ordem"),
    "set_stop_loss": ("move the stop", "mover o stop"),
    "set_take_profit": ("set the take-profit", "definir o take-profit"),
    "open_trade": ("open a trade", "abrir uma operação"),
    "cross_deposit": ("add to the cross margin", "adicionar à margem cruzada"),
    "cross_withdraw": ("take out of the cross margin", "retirar da margem cruzada"),
    "cross_order": ("deal in the cross position", "negociar na posição cruzada"),
    "reduce_cross": ("reduce the cross position", "reduzir a posição cruzada"),
    "close_cross": ("close the cross position", "fechar a posição cruzada"),
    "cancel_cross_order": ("cancel a cross order", "cancelar uma ordem cruzada"),
    "set_cross_leverage": ("set the cross leverage", "definir a alavancagem cruzada"),
    "swap": ("swap", "trocar"),
    "withdraw_lightning": ("withdraw over Lightning", "sacar pela Lightning"),
    "deposit_lightning": ("deposit from your node", "depositar do seu nó"),
}
_SOURCES: Final = {
    "cash_in": ("from another trade's profit", "do lucro de outra operação"),
    "swap": ("from synthetic dollars", "de dólares sintéticos"),
    "deposit": ("from your own node", "do seu próprio nó"),
}
_DEGRADED: Final = {
    "price_stale": ("the price is stale", "o preço está desatualizado"),
    "stream_down": ("the live connection to the exchange is down", "a conexão ao vivo com a corretora caiu"),
    "account_unread": ("the account cannot be read", "a conta não pode ser lida"),
    "data_disagree": ("the exchange states two different prices", "a corretora informa dois preços diferentes"),
    "clock_skew": ("the clocks disagree", "os relógios não concordam"),
    "key_refused": ("the exchange refuses the key", "a corretora recusa a chave"),
    "database_away": ("the database does not answer", "o banco de dados não responde"),
    "exchange_degraded": ("the exchange does not answer", "a corretora não responde"),
    "funding_unexplained": ("a funding fee is not explained yet", "uma taxa de funding ainda não está explicada"),
    "rule_unreadable": ("a rule cannot be read", "uma regra não pode ser lida"),
}
_STATUSES: Final = {
    "confirmed": ("done", "feito"),
    "refused": ("refused", "recusado"),
    "not_applied": ("without effect", "sem efeito"),
    "unknown": ("outcome not known yet", "resultado ainda desconhecido"),
    "expired": ("too late, dropped", "tarde demais, descartado"),
}


def _times_en(line: _Line) -> str:
    sent = line.if_known("tick_to_request_ms", lambda: f" · {line.number('tick_to_request_ms')} ms to send")
    return sent + line.if_known("tick_to_confirmed_ms", lambda: f", {line.number('tick_to_confirmed_ms')} ms proven")


def _times_pt(line: _Line) -> str:
    sent = line.if_known("tick_to_request_ms", lambda: f" · {line.number('tick_to_request_ms')} ms até o envio")
    return sent + line.if_known(
        "tick_to_confirmed_ms", lambda: f", {line.number('tick_to_confirmed_ms')} ms até a prova"
    )


def _liquidation(line: _Line, word: str) -> str:
    return line.if_known(
        "new_liquidation_price",
        lambda: f" · {word} {line.price('old_liquidation_price')} → {line.price('new_liquidation_price')}",
    )


def _scope(line: _Line, whole: str) -> str:
    name = line.get("name")
    return "" if line.get("scope") == "trade" else f" ({name})" if name else f" ({whole})"


def _of_scope_en(line: _Line) -> str:
    return {"user": " for all accounts", "account": " for the account", "cross": " for the cross position"}.get(
        str(line.get("scope")), ""
    )


def _of_scope_pt(line: _Line) -> str:
    return {"user": " para todas as contas", "account": " para a conta", "cross": " para a posição cruzada"}.get(
        str(line.get("scope")), ""
    )


_EN: Final[dict[ActivityKind, _Words]] = {
    ActivityKind.RESCUE_CONFIRMED: lambda d: (
        f"room {d.share('room_share')} → added {d.sats('amount_sats')}{_liquidation(d, 'liquidation')}{_times_en(d)}"
    ),
    ActivityKind.RESCUE_UNKNOWN: lambda d: (
        f"{d.sats('amount_sats')} sent, outcome not known yet ({d.word('reason', _REASONS)}): reading to find out"
    ),
    ActivityKind.RESCUE_SETTLED: lambda d: (
        f"after {d.number('after_s')} s: {d.sats('amount_sats')} "
        + (f"did arrive{_liquidation(d, 'liquidation')}" if d.get("applied") else "did not arrive, nothing was spent")
    ),
    ActivityKind.RESCUE_REFUSED: lambda d: (
        f"the exchange refused {d.sats('amount_sats')} ({d.word('reason', _REASONS)})"
    ),
    ActivityKind.RESCUE_HELD: lambda d: (
        f"no top-up: {d.word('reason', _REASONS)}"
        + d.if_known("shortfall_sats", lambda: f", {d.sats('shortfall_sats')} short")
    ),
    ActivityKind.ROOM_WARNED: lambda d: f"room is down to {d.share('room_share')}",
    ActivityKind.LIMIT_USED: lambda d: (
        f"the limit is used: {d.sats('spent_sats')} of {d.sats('limit_sats')} spent; the safety stop remains"
    ),
    ActivityKind.STOP_SET: lambda d: (
        f"safety stop at {d.price('stop_price')}"
        + d.if_known("returns_sats", lambda: f", about {d.sats('returns_sats')} would come back")
    ),
    ActivityKind.STOP_MOVED: lambda d: f"safety stop moved {d.price('old_stop_price')} → {d.price('new_stop_price')}",
    ActivityKind.STOP_REMOVED: lambda d: (
        f"the safety stop at {d.price('stop_price')} was taken away by hand; save the rule again to have it back"
    ),
    ActivityKind.STOP_MISSING: lambda d: (
        f"NO SAFETY STOP: the exchange takes none before liquidation at {d.price('liquidation_price')}; trying on"
    ),
    ActivityKind.TRADE_SEEN: lambda d: (
        f"new {d.word('side', _SIDES)} at {d.price('entry_price')}, {d.sats('margin_sats')}; "
        f"guard: {d.word('preset', _PRESETS)}"
        + d.if_positive("may_spend_sats", lambda: f", may spend {d.sats('may_spend_sats')}")
        + d.if_known("covered_to_price", lambda: f"; covers to {d.price('covered_to_price')}")
        + d.if_known("shortfall_sats", lambda: f". {d.sats('shortfall_sats')} short: {d.word('short_of', _SHORT_OF)}")
        + d.if_known(
            "suggested_preset",
            lambda: (
                f". {d.word('asked_preset', _PRESETS)} is not offered above 50x, a top-up would come too late; "
                f"{d.word('suggested_preset', _PRESETS)} would close in time"
            ),
        )
    ),
    ActivityKind.TRADE_CLOSED: lambda d: (
        f"{d.word('close_reason', _CLOSE_REASONS)} · result {d.signed_sats('result_sats')}"
        + d.if_known("returned_sats", lambda: f", {d.sats('returned_sats')} came back")
    ),
    ActivityKind.SPENDING_STOPPED: lambda d: f"spending stopped{_scope(d, 'everything')}; safety stops stay",
    ActivityKind.SPENDING_RESUMED: lambda d: f"spending allowed again{_scope(d, 'everything')}",
    ActivityKind.WATCH_LOST: lambda _: "NOBODY IS WATCHING: only the safety stops remain",
    ActivityKind.WATCH_BACK: lambda d: f"watching again after {d.number('gap_s')} s",
    ActivityKind.DATA_DEGRADED: lambda d: f"ATTENTION: {d.word('reason', _DEGRADED)}; safety stops stay",
    ActivityKind.DATA_RECOVERED: lambda d: f"right again after {d.number('after_s')} s: {d.word('reason', _DEGRADED)}",
    ActivityKind.FOREIGN_TOP_UP: lambda d: f"{d.sats('amount_sats')} were added, not by Axisor",
    ActivityKind.TAKEN_BACK: lambda d: f"{d.sats('amount_sats')} taken back, the limit is refilled by as much",
    ActivityKind.RULE_CHANGED: lambda d: (
        "not guarded any more, as its owner said"
        if d.get("is_guarded") is False
        else f"rule changed{_of_scope_en(d)}: {d.word('preset', _PRESETS)}"
    ),
    ActivityKind.RESCUE_FOLLOWED_UP: lambda d: (
        f"{d.number('after_hours')} h after {d.sats('added_sats')} were added: "
        + (
            "what they kept is not known"
            if d.get("kept_sats") is None
            else f"they kept {d.sats('kept_sats')}"
            if not d.get("cost_sats")
            else f"they cost {d.sats('cost_sats')}"
        )
        + ("; without them the trade would be gone" if d.get("would_have_died") else "")
    ),
    ActivityKind.ACCOUNT_FUNDED: lambda d: f"your payment of {d.sats('amount_sats')} has arrived at the exchange",
    ActivityKind.FUNDS_MOVED: lambda d: f"{d.sats('amount_sats')} fetched {d.word('source', _SOURCES)}",
    ActivityKind.REDUCED: lambda d: (
        "reduced" + d.if_known("quantity_usd", lambda: f" by {d.number('quantity_usd')} USD")
    ),
    ActivityKind.REOPENED: lambda d: (
        f"closed and opened again, smaller: {d.number('quantity_usd')} USD instead of {d.number('old_quantity_usd')}"
        if d.get("done")
        else f"closed, and NOT opened again: {d.sats('returned_sats')} came back"
    ),
    ActivityKind.FUNDING_PAID: lambda d: f"funding {d.signed_sats('fee_sats')}",
    ActivityKind.REQUEST_SETTLED: lambda d: f"request to {d.word('command', _COMMANDS)}: {d.word('status', _STATUSES)}",
}
_PT: Final[dict[ActivityKind, _Words]] = {
    ActivityKind.RESCUE_CONFIRMED: lambda d: (
        f"folga {d.share('room_share')} → reforço de {d.sats('amount_sats')}{_liquidation(d, 'liquidação')}"
        f"{_times_pt(d)}"
    ),
    ActivityKind.RESCUE_UNKNOWN: lambda d: (
        f"{d.sats('amount_sats')} enviados, resultado ainda desconhecido ({d.word('reason', _REASONS)}): "
        "lendo para saber"
    ),
    ActivityKind.RESCUE_SETTLED: lambda d: (
        f"após {d.number('after_s')} s: {d.sats('amount_sats')} "
        + (f"chegaram{_liquidation(d, 'liquidação')}" if d.get("applied") else "não chegaram, nada foi gasto")
    ),
    ActivityKind.RESCUE_REFUSED: lambda d: (
        f"a corretora recusou {d.sats('amount_sats')} ({d.word('reason', _REASONS)})"
    ),
    ActivityKind.RESCUE_HELD: lambda d: (
        f"sem reforço: {d.word('reason', _REASONS)}"
        + d.if_known("shortfall_sats", lambda: f", faltam {d.sats('shortfall_sats')}")
    ),
    ActivityKind.ROOM_WARNED: lambda d: f"a folga caiu para {d.share('room_share')}",
    ActivityKind.LIMIT_USED: lambda d: (
        f"limite usado: {d.sats('spent_sats')} de {d.sats('limit_sats')}; resta o stop de segurança"
    ),
    ActivityKind.STOP_SET: lambda d: (
        f"stop de segurança em {d.price('stop_price')}"
        + d.if_known("returns_sats", lambda: f", voltariam cerca de {d.sats('returns_sats')}")
    ),
    ActivityKind.STOP_MOVED: lambda d: (
        f"stop de segurança movido {d.price('old_stop_price')} → {d.price('new_stop_price')}"
    ),
    ActivityKind.STOP_REMOVED: lambda d: (
        f"o stop de segurança em {d.price('stop_price')} foi retirado à mão; só volta quando a regra for salva de novo"
    ),
    ActivityKind.STOP_MISSING: lambda d: (
        f"SEM STOP DE SEGURANÇA: a corretora não aceita nenhum antes da liquidação em {d.price('liquidation_price')}; "
        "tentando de novo"
    ),
    ActivityKind.TRADE_SEEN: lambda d: (
        f"novo {d.word('side', _SIDES)} a {d.price('entry_price')}, {d.sats('margin_sats')}; "
        f"guarda: {d.word('preset', _PRESETS)}"
        + d.if_positive("may_spend_sats", lambda: f", pode gastar {d.sats('may_spend_sats')}")
        + d.if_known("covered_to_price", lambda: f"; cobre até {d.price('covered_to_price')}")
        + d.if_known("shortfall_sats", lambda: f". Faltam {d.sats('shortfall_sats')}: {d.word('short_of', _SHORT_OF)}")
        + d.if_known(
            "suggested_preset",
            lambda: (
                f". {d.word('asked_preset', _PRESETS)} não é oferecido acima de 50x, o reforço chegaria tarde; "
                f"{d.word('suggested_preset', _PRESETS)} fecharia a tempo"
            ),
        )
    ),
    ActivityKind.TRADE_CLOSED: lambda d: (
        f"{d.word('close_reason', _CLOSE_REASONS)} · resultado {d.signed_sats('result_sats')}"
        + d.if_known("returned_sats", lambda: f", voltaram {d.sats('returned_sats')}")
    ),
    ActivityKind.SPENDING_STOPPED: lambda d: f"gastos parados{_scope(d, 'tudo')}; os stops de segurança ficam",
    ActivityKind.SPENDING_RESUMED: lambda d: f"gastos permitidos de novo{_scope(d, 'tudo')}",
    ActivityKind.WATCH_LOST: lambda _: "NINGUÉM ESTÁ VIGIANDO: restam só os stops de segurança",
    ActivityKind.WATCH_BACK: lambda d: f"vigiando de novo após {d.number('gap_s')} s",
    ActivityKind.DATA_DEGRADED: lambda d: f"ATENÇÃO: {d.word('reason', _DEGRADED)}; os stops de segurança ficam",
    ActivityKind.DATA_RECOVERED: lambda d: (
        f"em ordem de novo após {d.number('after_s')} s: {d.word('reason', _DEGRADED)}"
    ),
    ActivityKind.FOREIGN_TOP_UP: lambda d: f"{d.sats('amount_sats')} foram adicionados, não pelo Axisor",
    ActivityKind.TAKEN_BACK: lambda d: f"{d.sats('amount_sats')} retirados de volta, o limite foi recomposto",
    ActivityKind.RULE_CHANGED: lambda d: (
        "sem guarda a partir de agora, a pedido"
        if d.get("is_guarded") is False
        else f"regra alterada{_of_scope_pt(d)}: {d.word('preset', _PRESETS)}"
    ),
    ActivityKind.RESCUE_FOLLOWED_UP: lambda d: (
        f"{d.number('after_hours')} h depois de adicionados {d.sats('added_sats')}: "
        + (
            "não se sabe o que preservaram"
            if d.get("kept_sats") is None
            else f"preservaram {d.sats('kept_sats')}"
            if not d.get("cost_sats")
            else f"custaram {d.sats('cost_sats')}"
        )
        + ("; sem eles a operação não existiria mais" if d.get("would_have_died") else "")
    ),
    ActivityKind.ACCOUNT_FUNDED: lambda d: f"o seu pagamento de {d.sats('amount_sats')} chegou à corretora",
    ActivityKind.FUNDS_MOVED: lambda d: f"{d.sats('amount_sats')} obtidos {d.word('source', _SOURCES)}",
    ActivityKind.REDUCED: lambda d: (
        "reduzida" + d.if_known("quantity_usd", lambda: f" em {d.number('quantity_usd')} USD")
    ),
    ActivityKind.REOPENED: lambda d: (
        f"fechada e reaberta menor: {d.number('quantity_usd')} USD em vez de {d.number('old_quantity_usd')}"
        if d.get("done")
        else f"fechada e NÃO reaberta: voltaram {d.sats('returned_sats')}"
    ),
    ActivityKind.FUNDING_PAID: lambda d: f"funding {d.signed_sats('fee_sats')}",
    ActivityKind.REQUEST_SETTLED: lambda d: (
        f"pedido para {d.word('command', _COMMANDS)}: {d.word('status', _STATUSES)}"
    ),
}
_WORDS: Final[dict[Language, dict[ActivityKind, _Words]]] = {"en": _EN, "pt": _PT}
