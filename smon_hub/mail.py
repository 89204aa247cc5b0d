"""Messages as mail: a text and an HTML part, threaded by alert, over SMTP with or without TLS."""

from __future__ import annotations

import html
import re
import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from string import Template
from typing import Any, List, Mapping, NamedTuple, Tuple

from . import assets
from .messages import Message
from .outbound import TIMEOUT_SECONDS, DeliveryError, Way, said

AUTHENTICATION = (530, 534, 535, 538)  # refusals that concern the hub's account, not this message
TOO_LARGE = 552                        # of a refused sender the one that concerns this message, not all of them


class Server(NamedTuple):
    """The mail server and the sender. security: auto, starttls, tls or none."""

    host: str
    port: int
    sender: str
    user: str
    password: str
    security: str


def server(settings: Mapping[str, Any]) -> Server:
    """What the settings say. Raises DeliveryError when they can not work."""
    found = Server(settings["alert_email_smtp_host"], settings["alert_email_smtp_port"],
                   settings["alert_email_from"] or "smon@" + _own_name(), settings["alert_email_smtp_user"],
                   settings["alert_email_smtp_password"], settings["alert_email_smtp_security"])
    if not found.host:
        raise DeliveryError("alert_email_smtp_host is not set.")
    if found.password and found.security == "none":
        raise DeliveryError("A password is only sent over TLS: alert_email_smtp_security is none.")
    return found


def recipients(text: str) -> List[str]:
    return [address.strip() for address in text.split(",") if address.strip()]


def send(way: Way, settings: Mapping[str, Any], to: List[str], message: Message) -> str:
    """Hand a message over for each of these recipients; who was refused for good, or an empty text.

    Raises DeliveryError; its `left` are the recipients to try again when others have it.
    """
    if not to:
        raise DeliveryError("alert_email_to names nobody.")
    place = server(settings)
    mail = written(message, place.sender, to)
    try:
        session = _session(way, place)
        try:
            refused = session.send_message(mail, place.sender, to)
            _part(session)
        finally:
            session.close()
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise _failure(error) from None
    return _sorted_out(to, refused)


def written(message: Message, sender: str, to: List[str]) -> EmailMessage:
    """The mail itself. Its texts were cleaned before; what is not is refused here rather than sent."""
    mail = EmailMessage()
    domain = sender.rpartition("@")[2]
    mail["Subject"] = "[smon] " + message.title
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Date"] = formatdate(message.sent_at / 1000)
    mail["Message-ID"] = "<%s@%s>" % (message.delivery_id, domain)
    if message.root != message.delivery_id:
        mail["In-Reply-To"] = mail["References"] = "<%s@%s>" % (message.root, domain)
    mail["Auto-Submitted"] = "auto-generated"  # nobody's holiday notice is wanted
    mail.set_content(_text(message))
    mail.add_alternative(_page(message), subtype="html")
    return mail


def _text(message: Message) -> str:
    facts = "\n".join("%-11s %s" % (name + ":", value) for name, value in message.facts)
    text = Template(assets.template("mail.txt")).substitute(lines="\n".join(message.lines), facts=facts,
                                                            url=message.url)
    return re.sub("\n{3,}", "\n\n", text).strip() + "\n"


def _page(message: Message) -> str:
    lines = "".join("<p>%s</p>\n" % html.escape(line) for line in message.lines)
    facts = "".join("<tr><th align=\"left\">%s</th><td>%s</td></tr>\n" % (html.escape(name), html.escape(value))
                    for name, value in message.facts)
    link = "<p><a href=\"%s\">%s</a></p>" % ((html.escape(message.url),) * 2) if message.url else ""
    return Template(assets.template("mail.html")).substitute(title=html.escape(message.title), lines=lines,
                                                             facts=facts, link=link)


class _Smtp(smtplib.SMTP):
    """SMTP over a way: smtplib asks this method for its socket."""

    def __init__(self, way: Way, place: Server):
        self._way, self._place = way, place
        super().__init__(place.host, place.port, local_hostname=_own_name(), timeout=TIMEOUT_SECONDS)

    def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:
        plain = self._way.connect(host, port)
        return self._way.secured(plain, host) if self._place.security == "tls" else plain

    def starttls_with(self, context: ssl.SSLContext) -> None:
        self.starttls(context=context)
        self.ehlo()


def _session(way: Way, place: Server) -> smtplib.SMTP:
    """Greeted, encrypted as wanted, logged in."""
    session = _Smtp(way, place)
    try:
        session.ehlo_or_helo_if_needed()
        if place.security in ("auto", "starttls"):
            _encrypt(session, way, place)
        if place.user:
            _log_in(session, place)
    except BaseException:
        session.close()
        raise
    return session


def _encrypt(session: _Smtp, way: Way, place: Server) -> None:
    """STARTTLS. Without a password and by `auto`, any certificate is better than plain text."""
    required = place.security == "starttls" or bool(place.password)
    if session.has_extn("starttls"):
        session.starttls_with(way.context(verify=required))
    elif required:
        raise DeliveryError("%s offers no STARTTLS, and %s needs it." % (
            place.host, "a password" if place.password else "alert_email_smtp_security"))


def _log_in(session: _Smtp, place: Server) -> None:
    try:
        session.login(place.user, place.password)
    except UnicodeError:  # whose words hold a part of the password
        raise DeliveryError("alert_email_smtp_user and alert_email_smtp_password can only be ASCII.") from None


def _part(session: smtplib.SMTP) -> None:
    """Say goodbye; the message has been taken, so that what happens now changes nothing."""
    try:
        session.quit()
    except (smtplib.SMTPException, OSError):
        return


def _sorted_out(to: List[str], refused: Mapping[str, Tuple[int, bytes]]) -> str:
    """Nobody refused, some for good, or some for now. Raises DeliveryError unless the rest have it."""
    words = "; ".join("%s was refused: %s" % (who, _reply(*reply)) for who, reply in refused.items())
    later = [who for who, (code, _) in refused.items() if code < 500]
    if len(refused) == len(to):
        raise DeliveryError(words + ".", permanent=not later, left=later if later and len(later) < len(to) else None)
    if later:
        raise DeliveryError(words + ".", left=later)
    return words + "." if words else ""


def _failure(error: Exception) -> DeliveryError:
    """What smtplib or the network reports, as a decision."""
    if isinstance(error, smtplib.SMTPResponseException):
        looked_at = isinstance(error, (smtplib.SMTPDataError, smtplib.SMTPSenderRefused))
        permanent = looked_at and error.smtp_code >= 500 and error.smtp_code not in AUTHENTICATION
        if isinstance(error, smtplib.SMTPSenderRefused):
            looked_at = permanent = error.smtp_code == TOO_LARGE
        return DeliveryError("The mail server said: %s." % _reply(error.smtp_code, error.smtp_error), permanent,
                             looked_at)
    if isinstance(error, ValueError) and not isinstance(error, OSError):  # as errors of certificates are
        return DeliveryError("This can not be sent as mail: %s." % said(error), permanent=True)
    return DeliveryError("The mail server failed: %s." % said(error))


def _reply(code: int, text: Any) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return said("%d %s" % (code, words))


def _own_name() -> str:
    """This machine's name as a mail domain; asking the name service for it may take for ever."""
    name = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()).strip(".-")
    return name or "localhost"
