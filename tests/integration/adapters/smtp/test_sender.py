"""Mails to a real server, over TLS and with a password."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.fixtures.mail_server import PASSWORD, USERNAME, MailServer, Security, a_certificate, a_mail_server

from axisor.adapters.smtp.sender import SmtpConfig, SmtpSender
from axisor.infra.clock import SystemClock
from axisor.ports.mail import Mail, MailRefused, MailUnavailable

MAIL = Mail(
    mail_id="01a2-mail", to="ada@example.com", subject="Código: olá", body="Your code is 123456.\n\nÀ bientôt.\n"
)


def config_for(server: MailServer, security: Security, ca_file: Path | None) -> SmtpConfig:
    return SmtpConfig(
        host="127.0.0.1",
        port=server.port,
        security=security,
        sender="Axisor <axisor@example.org>",
        username=USERNAME,
        password=PASSWORD,
        ca_file=ca_file,
    )


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_mail_goes_over_tls_after_signing_in_and_carries_its_id(tmp_path: Path, security: Security) -> None:
    certificate = a_certificate(tmp_path)
    async with a_mail_server(certificate, security) as server:
        await SmtpSender(config_for(server, security, certificate.chain), clock=SystemClock()).send(MAIL)
    (taken,) = server.taken
    assert server.sign_ins == [True]
    assert (taken["to"], taken["from"], taken["subject"]) == (MAIL.to, "Axisor <axisor@example.org>", MAIL.subject)
    assert taken["message-id"] == "<01a2-mail@example.org>"
    assert taken.get_content().replace("\r\n", "\n") == MAIL.body


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_certificate_that_nobody_vouches_for_gets_no_password(tmp_path: Path, security: Security) -> None:
    async with a_mail_server(a_certificate(tmp_path), security) as server:
        with pytest.raises(MailUnavailable):
            await SmtpSender(config_for(server, security, None), clock=SystemClock()).send(MAIL)
    assert (server.taken, server.sign_ins) == ([], [])


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_certificate_for_another_name_gets_no_password(tmp_path: Path, security: Security) -> None:
    certificate = a_certificate(tmp_path, name="mail.elsewhere.example")
    async with a_mail_server(certificate, security) as server:
        with pytest.raises(MailUnavailable):
            await SmtpSender(config_for(server, security, certificate.chain), clock=SystemClock()).send(MAIL)
    assert (server.taken, server.sign_ins) == ([], [])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("451 later please", MailUnavailable), ("550 no such person", MailRefused), ("554 spam", MailRefused)],
)
async def test_a_refusal_for_now_is_told_apart_from_one_for_good(
    tmp_path: Path, answer: str, expected: type[Exception]
) -> None:
    certificate = a_certificate(tmp_path)
    async with a_mail_server(certificate, "starttls") as server:
        server.answers.append(answer)
        sender = SmtpSender(config_for(server, "starttls", certificate.chain), clock=SystemClock())
        with pytest.raises(expected):
            await sender.send(MAIL)
        await sender.send(MAIL)
    assert len(server.taken) == 1


async def test_a_wrong_password_for_the_server_leaves_the_mail_to_be_sent_again(tmp_path: Path) -> None:
    certificate = a_certificate(tmp_path)
    async with a_mail_server(certificate, "tls") as server:
        config = replace(config_for(server, "tls", certificate.chain), password="another")
        with pytest.raises(MailUnavailable) as refused:
            await SmtpSender(config, clock=SystemClock()).send(MAIL)
    assert server.taken == []
    assert set(server.sign_ins) == {False}
    assert "another" not in str(refused.value)


def test_neither_the_password_nor_what_a_mail_says_is_in_a_repr() -> None:
    shown = repr(config_for(MailServer(), "tls", None)) + repr(MAIL)
    assert not any(secret in shown for secret in (PASSWORD, "123456", "ada@example.com"))
