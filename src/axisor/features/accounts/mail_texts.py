"""What mails to people say, in English and Portuguese."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class MailKind(StrEnum):
    VERIFY = "verify"
    ALREADY_REGISTERED = "already_registered"
    RESET = "reset"
    RESET_UNKNOWN = "reset_unknown"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a kind of mail, no secret
    CHANGE_EMAIL = "change_email"
    EMAIL_CHANGE_ASKED = "email_change_asked"
    EMAIL_CHANGED = "email_changed"
    NEW_DEVICE = "new_device"
    FACTOR_ADDED = "factor_added"
    FACTOR_REMOVED = "factor_removed"
    RECOVERY_USED = "recovery_used"
    TOKEN_CREATED = "token_created"  # noqa: S105 - a kind of mail, no secret
    DELETED = "deleted"


_NOT_YOU: Final = "If this was not you, change your password at {url} and end the other sessions."
_NAO_FOI_VOCE: Final = "Se não foi você, troque a senha em {url} e encerre as outras sessões."

_TEXTS: Final[Mapping[str, Mapping[MailKind, tuple[str, str]]]] = {
    "en": {
        MailKind.VERIFY: (
            "Confirm your address",
            (
                "Your code is {code}.\n\nOr open this link:\n{link}\n\nBoth work once, for 15 minutes. If you did not "
                "ask for an account at {url}, ignore this mail: nothing was made."
            ),
        ),
        MailKind.ALREADY_REGISTERED: (
            "You have an account already",
            (
                "Somebody asked for an account with your address at {url}. You have one: sign in there, or ask for a "
                "new password. If it was not you, nothing has happened."
            ),
        ),
        MailKind.RESET: (
            "A new password",
            (
                "Your code is {code}.\n\nOr open this link:\n{link}\n\nBoth work once, for 15 minutes. All sessions "
                "end when the password is changed. If you did not ask for this, ignore this mail."
            ),
        ),
        MailKind.RESET_UNKNOWN: (
            "A new password",
            "Somebody asked for a new password at {url} with this address, and there is no account with it.",
        ),
        MailKind.PASSWORD_CHANGED: ("Your password was changed", "Your password was changed. " + _NOT_YOU),
        MailKind.CHANGE_EMAIL: (
            "Confirm your new address",
            "Your code is {code}.\n\nOr open this link:\n{link}\n\nBoth work once, for 15 minutes.",
        ),
        MailKind.EMAIL_CHANGE_ASKED: (
            "Your address is about to change",
            "Somebody asked to change the address of your account to {email}. " + _NOT_YOU,
        ),
        MailKind.EMAIL_CHANGED: (
            "Your address was changed",
            "The address of your account is now {email}. " + _NOT_YOU,
        ),
        MailKind.NEW_DEVICE: (
            "A new device signed in",
            "A device that was not seen before signed in to your account from {address}:\n{agent}\n\n" + _NOT_YOU,
        ),
        MailKind.FACTOR_ADDED: (
            "A way to sign in was added",
            "Your account has a new way to sign in: {factor}. " + _NOT_YOU,
        ),
        MailKind.FACTOR_REMOVED: (
            "A way to sign in was removed",
            "This way to sign in was removed from your account: {factor}. " + _NOT_YOU,
        ),
        MailKind.RECOVERY_USED: (
            "A recovery code was used",
            "Somebody signed in to your account with a recovery code. {left} are left. " + _NOT_YOU,
        ),
        MailKind.TOKEN_CREATED: (
            "An API token was made",
            "The API token {name} was made for your account, for: {scopes}. " + _NOT_YOU,
        ),
        MailKind.DELETED: (
            "Your account was deleted",
            "Your account at {url} and its data were deleted.",
        ),
    },
    "pt": {
        MailKind.VERIFY: (
            "Confirme seu endereço",
            (
                "Seu código é {code}.\n\nOu abra este link:\n{link}\n\nOs dois valem uma vez, por 15 minutos. Se você "
                "não pediu uma conta em {url}, ignore este e-mail: nada foi criado."
            ),
        ),
        MailKind.ALREADY_REGISTERED: (
            "Você já tem uma conta",
            (
                "Alguém pediu uma conta com seu endereço em {url}. Você já tem uma: entre por lá, ou peça uma nova "
                "senha. Se não foi você, nada aconteceu."
            ),
        ),
        MailKind.RESET: (
            "Uma nova senha",
            (
                "Seu código é {code}.\n\nOu abra este link:\n{link}\n\nOs dois valem uma vez, por 15 minutos. Todas as "
                "sessões terminam quando a senha é trocada. Se você não pediu isto, ignore este e-mail."
            ),
        ),
        MailKind.RESET_UNKNOWN: (
            "Uma nova senha",
            "Alguém pediu uma nova senha em {url} com este endereço, e não há conta com ele.",
        ),
        MailKind.PASSWORD_CHANGED: ("Sua senha foi trocada", "Sua senha foi trocada. " + _NAO_FOI_VOCE),
        MailKind.CHANGE_EMAIL: (
            "Confirme seu novo endereço",
            "Seu código é {code}.\n\nOu abra este link:\n{link}\n\nOs dois valem uma vez, por 15 minutos.",
        ),
        MailKind.EMAIL_CHANGE_ASKED: (
            "Seu endereço vai mudar",
            "Alguém pediu para trocar o endereço da sua conta para {email}. " + _NAO_FOI_VOCE,
        ),
        MailKind.EMAIL_CHANGED: (
            "Seu endereço foi trocado",
            "O endereço da sua conta agora é {email}. " + _NAO_FOI_VOCE,
        ),
        MailKind.NEW_DEVICE: (
            "Um novo dispositivo entrou",
            "Um dispositivo que não era conhecido entrou na sua conta, de {address}:\n{agent}\n\n" + _NAO_FOI_VOCE,
        ),
        MailKind.FACTOR_ADDED: (
            "Uma forma de entrar foi adicionada",
            "Sua conta tem uma nova forma de entrar: {factor}. " + _NAO_FOI_VOCE,
        ),
        MailKind.FACTOR_REMOVED: (
            "Uma forma de entrar foi removida",
            "Esta forma de entrar foi removida da sua conta: {factor}. " + _NAO_FOI_VOCE,
        ),
        MailKind.RECOVERY_USED: (
            "Um código de recuperação foi usado",
            "Alguém entrou na sua conta com um código de recuperação. Restam {left}. " + _NAO_FOI_VOCE,
        ),
        MailKind.TOKEN_CREATED: (
            "Um token de API foi criado",
            "O token de API {name} foi criado para sua conta, para: {scopes}. " + _NAO_FOI_VOCE,
        ),
        MailKind.DELETED: (
            "Sua conta foi excluída",
            "Sua conta em {url} e seus dados foram excluídos.",
        ),
    },
}


def render(kind: MailKind, locale: str, words: Mapping[str, str]) -> tuple[str, str]:
    """Return the subject and the text of a mail.

    Words are put in as they are; a line break in one would let its author write lines of ours, so there is none.
    """
    subject, body = _TEXTS["pt" if locale.lower().startswith("pt") else "en"][kind]
    clean = {key: "".join(each if each.isprintable() else " " for each in word) for key, word in words.items()}
    return f"Axisor: {subject}", body.format_map(clean) + "\n"
