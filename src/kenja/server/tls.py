"""The local certificate authority and what it vouches for: AWS's names and this machine, nothing else. No sockets here.

`cryptography` and `ssl` are imported when the first TLS connection comes, so that a server without one starts faster.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kenja.core import ids
from kenja.core.clock import Clock, utc
from kenja.server.chain import hosts

if TYPE_CHECKING:
    import ssl

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=397)  # the longest that browsers accept; CA/Browser Forum, Baseline Requirements 6.3.2
LEAF_USE = timedelta(days=200)  # after that a new one is made
EARLY = timedelta(days=1)  # before its making that a certificate holds, for clocks that are behind
MOST = 512  # hosts whose contexts are remembered
LOCAL = ("localhost", "127.0.0.1", "::1")
_LOOPBACK = ("127.0.0.0/8", "::1/128")


class Authority:
    """The certificate authority of one data folder, made when it is first asked for. Safe to use from several processes."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self._clock = clock
        self._folder = folder
        path = folder / "authority.pem"  # key and certificate in one file: whoever sees it sees both
        if not path.exists():
            self._make(path)
        text = path.read_bytes()
        self.certificate: x509.Certificate = x509.load_pem_x509_certificate(text)
        key = load_pem_private_key(text, password=None)
        self._key: EllipticCurvePrivateKey = key  # type: ignore[assignment]
        if self.certificate.not_valid_after_utc < utc(clock.wall()):
            raise RuntimeError(f"the local certificate authority has expired; remove {folder} and it is made anew")
        self.file = folder / "authority.crt"  # the certificate alone, for clients to trust
        if not self.file.exists():
            self._publish()

    def leaf(self, names: Iterable[str]) -> bytes:
        """A key and its certificate for these hosts, the first of which is its common name, as PEM."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509.oid import ExtendedKeyUsageOID

        names = list(names)
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate.subject
        builder = self._builder(_name(names[0][:64]), issuer, key, LEAF_LIFE)  # 64: X.520's longest common name
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        return _private(key) + builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _make(self, path: Path) -> None:
        """Write a new authority, whole or not at all; of processes that do so together, one wins."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding

        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"Kenja on this machine {ids.token(8)}")
        builder = self._builder(name, name, key, AUTHORITY_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_signs_certificates(), critical=True)
        builder = builder.add_extension(_only_aws_and_this_machine(), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        text = _private(key) + builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._folder / f".authority-{ids.token(16)}"
        try:
            _write(draft, text)
            os.link(draft, path)  # unlike a rename, it fails when another process was first
        except FileExistsError:
            return
        finally:
            draft.unlink(missing_ok=True)

    def _publish(self) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding

        draft = self._folder / f".authority-{ids.token(16)}"
        _write(draft, self.certificate.public_bytes(Encoding.PEM))
        draft.replace(self.file)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, life: timedelta
    ) -> x509.CertificateBuilder:
        from cryptography import x509

        now: datetime = utc(self._clock.wall())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - EARLY)
            .not_valid_after(now + life)
        )


class Contexts:
    """TLS contexts of a server by host, each with a certificate of its own. Thread safe."""

    def __init__(self, folder: Path, clock: Clock, bound: str) -> None:
        self._folder = folder
        self._clock = clock
        self._bound = bound
        self._lock = threading.Lock()
        self._authority: Authority | None = None
        self._made: OrderedDict[str, tuple[float, ssl.SSLContext]] = OrderedDict()

    def of(self, host: str) -> ssl.SSLContext:
        """The context for a host of AWS; for every other one, that of this machine."""
        name = hosts.bare(host)
        if hosts.parse(name) is None:
            name = ""
        now = self._clock.wall()
        with self._lock:
            made, context = self._made.get(name, (0.0, None))
            if context is None or now - made > LEAF_USE.total_seconds():
                context = self._make(name)
                self._made[name] = (now, context)
            self._made.move_to_end(name)
            while len(self._made) > MOST:
                self._made.popitem(last=False)
            return context

    def _make(self, name: str) -> ssl.SSLContext:
        import ssl

        self._authority = self._authority or Authority(self._folder, self._clock)
        names = [name] if name else list(dict.fromkeys((*LOCAL, *_certifiable(self._bound))))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".leaf-") as file:  # ssl reads keys from files only
            file.write(self._authority.leaf(names))
            file.flush()
            context.load_cert_chain(file.name)
        if not name:
            context.sni_callback = self._named
        return context

    def _named(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _first: ssl.SSLContext) -> None:
        """A client that names a host of AWS without CONNECT gets that host's certificate."""
        if name and hosts.parse(name) is not None:
            connection.context = self.of(name)


def _certifiable(bound: str) -> tuple[str, ...]:
    """The address that the server listens on, where the authority may vouch for it."""
    try:
        return (bound,) if ipaddress.ip_address(bound).is_loopback else ()
    except ValueError:
        return ()


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _signs_certificates() -> x509.KeyUsage:
    from cryptography import x509

    others = ["content_commitment", "key_encipherment", "data_encipherment", "key_agreement"]
    never = dict.fromkeys(["digital_signature", *others, "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **never)


def _only_aws_and_this_machine() -> x509.NameConstraints:
    """What the authority may vouch for, so that its key is worth little to a thief."""
    from cryptography import x509

    names = [x509.DNSName(name) for name in (*hosts.suffixes(), "localhost")]
    networks = [x509.IPAddress(ipaddress.ip_network(network)) for network in _LOOPBACK]
    return x509.NameConstraints(permitted_subtrees=[*names, *networks], excluded_subtrees=None)


def _private(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
